# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How many memory frames fit: a budget in frames or in megabytes, and what the device has free."""
from dataclasses import replace
from pathlib import Path

import torch

from stm_ros.memory.layout import BankLayout
from stm_ros.vision.errors import InputError

MEGABYTE = 10 ** 6
MIN_SLOTS = 2


def layout_within(layout: BankLayout, max_megabytes: float, spare_bytes: int | None = None
                  ) -> BankLayout:
    """The layout with as many of its slots as fit.

    :param max_megabytes: at most this many are used, in 10⁶ bytes; 0 for as many as `layout` has.
    :param spare_bytes: what the device can still give, None where that is not known.
    :raises InputError: with the arithmetic, where not even two slots fit into the budget, or the
        result does not fit into the device.
    """
    # any slot may be a reference, and those keep what is matched at stride 8
    per_slot = layout.most_bytes_per_slot
    if max_megabytes and per_slot:
        slots = min(layout.slots, int(max_megabytes * MEGABYTE) // per_slot)
        if slots < MIN_SLOTS:
            raise InputError(
                f'a memory of {max_megabytes:g} MB holds {slots} frames, at least {MIN_SLOTS} '
                f'are needed: {arithmetic(layout)}')
        layout = replace(layout, slots=slots)
    if spare_bytes is not None and layout.most_bytes > spare_bytes:
        raise InputError(
            f'memory of {layout.slots} frames takes {layout.most_bytes / MEGABYTE:.0f} MB and the '
            f'device has {spare_bytes / MEGABYTE:.0f} MB: {arithmetic(layout)}; lower '
            'max_frames, max_targets or input_size')
    return layout


def arithmetic(layout: BankLayout) -> str:
    """How a frame's size comes about, for people."""
    copies = '' if layout.shares_key else f'{layout.targets} targets × '
    fine = '' if not layout.fine_bytes_per_slot else (
        f' + {layout.fine_bytes_per_slot / MEGABYTE:.2f} MB for matching at stride 8')
    return (f'one frame takes {layout.most_bytes_per_slot / MEGABYTE:.2f} MB = {layout.positions} '
            f'positions × ({copies}{layout.key_channels} key channels × '
            f'{layout.key_dtype.itemsize} bytes + {layout.targets} targets × '
            f'{layout.value_channels} value channels × {layout.value_dtype.itemsize} bytes){fine}')


def spare_bytes(device: torch.device) -> int | None:
    """Bytes that `device` can still give, None where nobody knows."""
    if device.type == 'cuda':
        # what torch holds for later is free to it
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(':')[0]: line.split()[1] for line in lines if ':' in line}
    return 1024 * int(kilobytes['MemAvailable']) if 'MemAvailable' in kilobytes else None
