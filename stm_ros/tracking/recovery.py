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
                return work()
            except torch.OutOfMemoryError:
                if not self._can_reduce(shorter_side):
                    raise
            # here, because the exception's traceback keeps what the failed call had computed
            self._reduce(shorter_side)

    def _can_reduce(self, shorter_side: int) -> bool:
        return self._fewer_slots() is not None or self._smaller_input(shorter_side) is not None

    def _reduce(self, shorter_side: int) -> None:
        """Halve memory, then the input size, and so on in turn, as far as each goes."""
        tracker = self.tracker
        slots, size = self._fewer_slots(), self._smaller_input(shorter_side)
        if slots is not None and (self._halve_memory_next or size is None):
            words = f'memory cut from {tracker.bank.layout.slots} to {slots} frames'
            shrink_memory(tracker, slots)
        else:
            assert size is not None
            words = f'input size cut to {size} pixels'
            tracker.config = replace(tracker.config, input_size=size)
        self._halve_memory_next = not self._halve_memory_next
        self.reductions.append(words)
        gc.collect()
        if tracker.device.type == 'cuda':
            torch.cuda.empty_cache()

    def _fewer_slots(self) -> int | None:
        bank = self.tracker.bank
        needed = len(bank.references()) + (1 if bank.policy.keeps_recent else 0)
        slots = max(LEAST_SLOTS, needed, bank.layout.slots // 2)
        return slots if slots < bank.layout.slots else None

    def _smaller_input(self, shorter_side: int) -> int | None:
        seen = [side for side in (self.tracker.config.input_size, shorter_side) if side]
        if not seen:
            return None
        size = max(LEAST_INPUT_SIZE, min(seen) // 2)
        return size if size < min(seen) else None


def shrink_memory(tracker: Tracker, slots: int) -> None:
    """Give `tracker` a bank of so many slots: references stay, of the rest the policy chooses.

    A device's old tensors are freed before the new ones are made.

    :param slots: fewer than now, and at least as many as there are references.
    """
    # results handed out before read from the old bank
    tracker.moves += 1
    old = tracker.bank
    while sum(slot is not None for slot in old.slots) > slots:
        old.give_up()
    kept = [(index, slot) for index, slot in enumerate(old.slots) if slot is not None]
    held = [(slot, old.keys[:, index].cpu(), old.values[:, index].cpu()) for index, slot in kept]
    columns, layout = dict(old.columns), replace(old.layout, slots=slots)
    old.keys = old.values = torch.empty(0)
    bank = MemoryBank(layout, tracker.policy, tracker.device)
    bank.columns = columns
    for index, (slot, keys, values) in enumerate(held):
        bank.slots[index] = slot
        bank.keys[:, index] = keys.to(tracker.device)
        bank.values[:, index] = values.to(tracker.device)
    bank.continue_order(max((slot.order for slot, _, _ in held), default=0))
    tracker.bank = bank
    tracker.config = replace(tracker.config, max_frames=slots)
