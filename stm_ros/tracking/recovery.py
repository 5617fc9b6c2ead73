# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""When the device runs out of memory: less of it, then smaller images, and on."""
import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from stm_ros.memory.bank import MemoryBank
from stm_ros.tracking.tracker import Tracker

LEAST_SLOTS = 2
LEAST_INPUT_SIZE = 96
ResultT = TypeVar('ResultT')


class Recovery:
    """Does a tracker's work again with less, by halves, where the device had no room for it.

    reductions: what has been given up so far, in words, oldest first.
    """

    def __init__(self, tracker: Tracker) -> None:
        """Look after `tracker`."""
        self.tracker = tracker
        self.reductions: list[str] = []
        self._halve_memory_next = True

    def run(self, work: Callable[[], ResultT], shorter_side: int = 0) -> ResultT:
        """Return what `work` returns, in the end.

        :param work: steps the tracker or the like; it is called again after each reduction.
        :param shorter_side: of the image that it looks at, in pixels; 0 where it is not known.
        :raises torch.OutOfMemoryError: where nothing is left to give up.
        """
        while True:
            try:
                if is_waiting(self.tracker.bank):
                    self._cut_memory(_least_slots(self.tracker.bank))
                return work()
            except torch.OutOfMemoryError as error:
                # without its traceback, which keeps what the failed call had computed
                failure = error.with_traceback(None)
            if not self.reduce(shorter_side):
                raise failure

    def reduce(self, shorter_side: int = 0) -> bool:
        """Halve memory, then the input size, and so on in turn, as far as each goes.

        :param shorter_side: as for run().
        :return: whether there was anything left to give up.
        :raises torch.OutOfMemoryError: where there is no room for the smaller memory either.
        """
        tracker = self.tracker
        slots, size = self._fewer_slots(), self._smaller_input(shorter_side)
        if slots is None and size is None:
            return False
        if slots is not None and (self._halve_memory_next or size is None):
            self._cut_memory(slots)
        else:
            assert size is not None
            tracker.reduce(input_size=size)
            self.reductions.append(f'input size cut to {size} pixels')
        self._halve_memory_next = not self._halve_memory_next
        gc.collect()
        if tracker.device.type == 'cuda':
            torch.cuda.empty_cache()
        return True

    def _cut_memory(self, slots: int) -> None:
        before = self.tracker.bank.layout.slots
        shrink_memory(self.tracker, slots)
        self.reductions.append(
            f'memory cut from {before} to {self.tracker.bank.layout.slots} frames')

    def _fewer_slots(self) -> int | None:
        bank = self.tracker.bank
        slots = max(_least_slots(bank), bank.layout.slots // 2)
        return slots if slots < bank.layout.slots else None

    def _smaller_input(self, shorter_side: int) -> int | None:
        seen = [side for side in (self.tracker.config.input_size, shorter_side) if side]
        if not seen:
            return None
        size = max(LEAST_INPUT_SIZE, min(seen) // 2)
        return size if size < min(seen) else None


def _least_slots(bank: MemoryBank) -> int:
    needed = len(bank.references()) + (1 if bank.policy.keeps_recent else 0)
    return max(LEAST_SLOTS, needed)


def shrink_memory(tracker: Tracker, slots: int) -> None:
    """Leave `tracker` so many slots: references stay, of the rest the policy chooses.

    A device's old tensors are freed before the new ones are made; what they held waits on the
    processor. Where somebody else has taken what was freed, there will be fewer slots still.

    :param slots: fewer than now, and at least as many as there are references.
    :raises torch.OutOfMemoryError: where the device has no room for the references and one frame
        either; memory goes on waiting then, see is_waiting().
    """
    bank = tracker.bank
    bank.keys, bank.values = bank.keys.cpu(), bank.values.cpu()
    least = _least_slots(bank)
    while True:
        try:
            bank.resize(replace(bank.layout, slots=slots))
            break
        except torch.OutOfMemoryError:
            if slots <= least:
                raise
        slots = max(least, slots // 2)
    tracker.reduce(max_frames=slots)


def is_waiting(bank: MemoryBank) -> bool:
    """Whether a bank's tensors wait on the processor for room on its device."""
    return bank.keys.device.type != bank.device.type
