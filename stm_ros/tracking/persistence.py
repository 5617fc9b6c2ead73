# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Saving and loading a tracker: targets, memory and streams."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import torch
from torch import Tensor

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank_state import export_bank
from stm_ros.memory.bank_state import import_bank
from stm_ros.memory.bank_state import needs_of
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.memory.snapshot import read_snapshot
from stm_ros.memory.snapshot import write_snapshot
from stm_ros.tracking.look_alikes import LookAlike
from stm_ros.tracking.motion import Motion
from stm_ros.tracking.streams import StreamState
from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import Geometry

if TYPE_CHECKING:
    from stm_ros.tracking.tracker import Tracker


@dataclass(frozen=True)
class LoadedTracker:
    """What a snapshot holds."""

    bank: MemoryBank
    labels: dict[int, str]
    streams: dict[str, StreamState]


def save_tracker(tracker: Tracker, path: Path) -> None:
    """Write `tracker`, which must have nothing pending, to `path`."""
    tensors, bank = export_bank(tracker.bank)
    streams = {}
    for index, (name, state) in enumerate(tracker.streams.items()):
        for target, mask in state.masks.items():
            tensors[f'place.{index}.{target}'] = mask.clone()
        streams[name] = {
            'index': index, 'frames': state.frames, 'stamp_ns': state.stamp_ns,
            'geometry': None if state.geometry is None else asdict(state.geometry),
            'places': sorted(state.masks),
            'motions': {str(target): asdict(motion) for target, motion in state.motions.items()},
            'states': {str(target): int(value) for target, value in state.states.items()},
            'everywhere': sorted(state.everywhere),
            'look_alikes': {str(target): [asdict(each) for each in look_alikes]
                            for target, look_alikes in state.look_alikes.items()}}
    write_snapshot(path, tensors, {
        'network': tracker.network.name, 'fingerprint': tracker.engine.fingerprint,
        'labels': {str(target): label for target, label in tracker.labels.items()},
        'bank': bank, 'streams': streams})


def load_tracker(tracker: Tracker, make_bank: Callable[[int, int], MemoryBank], path: Path
                 ) -> LoadedTracker:
    """Read `path`; `tracker` itself is not changed.

    :param make_bank: an empty bank for so many targets and positions a frame.
    :raises SnapshotError: for a damaged file, another network or too small a bank.
    """
    tensors, content = read_snapshot(path)
    network = tracker.network
    if content['network'] != network.name or content['fingerprint'] != tracker.engine.fingerprint:
        raise SnapshotError(
            f'the snapshot {path} was made by {content["network"]!r} with other weights '
            f'than this {network.name!r}; its memory means nothing here')
    bank = make_bank(*needs_of(content['bank']))
    import_bank(bank, tensors, content['bank'])
    labels = {int(target): label for target, label in content['labels'].items()}
    streams = {name: _stream(row, tensors, tracker.device)
               for name, row in content['streams'].items()}
    return LoadedTracker(bank, labels, streams)


def _stream(row: dict[str, Any], tensors: dict[str, Tensor], device: torch.device
            ) -> StreamState:
    geometry = row['geometry']
    return StreamState(
        row['frames'], row['stamp_ns'],
        None if geometry is None else Geometry(**{k: tuple(v) for k, v in geometry.items()}),
        {target: tensors[f'place.{row["index"]}.{target}'].to(device)
         for target in row['places']},
        {int(target): _motion(motion) for target, motion in row['motions'].items()},
        {int(target): TargetState(value) for target, value in row['states'].items()},
        set(row['everywhere']),
        {int(target): tuple(LookAlike(_motion(each['motion']), each['together'])
                            for each in look_alikes)
         for target, look_alikes in row['look_alikes'].items()})


def _motion(row: dict[str, Any]) -> Motion:
    return Motion(Box(**row['box']), tuple(row['velocity']), row['coasted'], row['steadiness'])
