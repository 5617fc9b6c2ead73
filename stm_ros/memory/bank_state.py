# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A bank as tensors by name and a JSON-able table, for snapshots."""
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.fine_keys import FineKeys
from stm_ros.memory.slots import Extent
from stm_ros.memory.slots import ReferenceSource
from stm_ros.memory.slots import Slot
from stm_ros.memory.slots import SlotKind
from stm_ros.memory.snapshot import SnapshotError


def export_bank(bank: MemoryBank) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `bank` holds: only slots and columns in use are copied."""
    tensors: dict[str, Tensor] = {}
    rows = []
    for index, slot in enumerate(bank.slots):
        if slot is None:
            continue
        tensors[f'key.{index}'] = bank.keys_of([index])[0].clone()
        tensors[f'value.{index}'] = bank.values_of([index])[0].clone()
        tensors[f'descriptor.{index}'] = torch.from_numpy(slot.descriptor)
        for target, jpeg in slot.crops.items():
            tensors[f'crop.{index}.{target}'] = _bytes_tensor(jpeg)
        if slot.source is not None:
            tensors[f'image.{index}'] = _bytes_tensor(slot.source.image_png)
            tensors[f'mask.{index}'] = _bytes_tensor(slot.source.mask_png)
        fine_targets: list[int] = []
        if slot.fine is not None:
            fine_targets = sorted(slot.fine.masks)
            tensors[f'fine.{index}'] = slot.fine.key.clone()
            tensors[f'fine_places.{index}'] = slot.fine.places.clone()
            for target, mask in slot.fine.masks.items():
                tensors[f'fine_mask.{index}.{target}'] = mask.clone()
        rows.append({
            'index': index, 'kind': slot.kind.value, 'stream': slot.stream,
            'stamp_ns': slot.stamp_ns, 'confidence': slot.confidence, 'order': slot.order,
            'extent': list(slot.extent), 'targets': sorted(slot.targets), 'usage': slot.usage,
            'due': slot.due, 'core': slot.core and list(slot.core), 'fine': fine_targets,
            'kept_for': None if slot.kept_for is None else sorted(slot.kept_for)})
    return tensors, {'columns': {str(t): c for t, c in bank.columns.items()}, 'slots': rows}


def needs_of(content: dict[str, Any]) -> tuple[int, int]:
    """Targets, and positions a frame, that a bank needs to hold what export_bank gave."""
    positions = max((row['extent'][0] * row['extent'][1] for row in content['slots']), default=0)
    return len(content['columns']), positions


def import_bank(bank: MemoryBank, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Fill an empty `bank`, large enough for it, with what export_bank gave.

    :raises SnapshotError: where the snapshot has more slots than the bank.
    """
    rows = content['slots']
    highest = max((row['index'] for row in rows), default=-1)
    if highest >= bank.layout.slots:
        raise SnapshotError(f'the snapshot uses memory slot {highest + 1} and this tracker has '
                            f'{bank.layout.slots}: raise max_frames or '
                            'max_megabytes')
    bank.columns = {int(target): column for target, column in content['columns'].items()}
    for row in rows:
        index = row['index']
        bank.slots[index] = _slot(row, tensors, bank.device)
        bank.keys_of([index])[0].copy_(tensors[f'key.{index}'])
        bank.values_of([index])[0].copy_(tensors[f'value.{index}'])
    bank.continue_order(max((row['order'] for row in rows), default=0))


def _slot(row: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> Slot:
    index = row['index']
    fine = None
    if row['fine']:
        fine = FineKeys(tensors[f'fine.{index}'].to(device),
                        tensors[f'fine_places.{index}'].to(device),
                        {target: tensors[f'fine_mask.{index}.{target}'].to(device)
                         for target in row['fine']})
    crops = {target: tensors[name].numpy().tobytes() for target in row['targets']
             if (name := f'crop.{index}.{target}') in tensors}
    source = None
    if f'image.{index}' in tensors:
        source = ReferenceSource(tensors[f'image.{index}'].numpy().tobytes(),
                                 tensors[f'mask.{index}'].numpy().tobytes())
    return Slot(SlotKind(row['kind']), row['stream'], row['stamp_ns'], row['confidence'],
                row['order'], Extent(*row['extent']), frozenset(row['targets']),
                tensors[f'descriptor.{index}'].numpy(), crops, row['usage'], row['due'], source,
                Extent(*row['core']) if row['core'] else None, fine,
                None if row['kept_for'] is None else frozenset(row['kept_for']))


def _bytes_tensor(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())
