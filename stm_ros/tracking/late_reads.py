# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a result says of memory at once, and what is computed when somebody asks."""
from typing import NoReturn

import numpy as np
import torch
from torch.nn import functional

from stm_ros.inference.runner import Runner
from stm_ros.inference.runner import Seen
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.slots import Slot
from stm_ros.networks.reading import attention_of_target
from stm_ros.tracking.compose import Answer
from stm_ros.tracking.result import Evidence
from stm_ros.tracking.result import LazyParts
from stm_ros.tracking.result import MemoryReport
from stm_ros.tracking.result import Readout
from stm_ros.tracking.result import Result
from stm_ros.tracking.result import SlotReport
from stm_ros.tracking.result import StaleResultError
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import restore_logits


class BankView:
    """The slots that an answer was read from, as long as the bank holds what it held."""

    def __init__(self, bank: MemoryBank, indices: tuple[int, ...]) -> None:
        """View the slots at `indices` as they are now."""
        self._bank = bank
        self._generation = bank.generation
        self.indices = list(indices)

    def bank(self) -> MemoryBank:
        """The bank.

        :raises StaleResultError: once it holds something else.
        """
        if self._bank.generation != self._generation:
            raise StaleResultError('the tracker has moved on; ask a result before the next step')
        return self._bank

    def slots(self) -> list[Slot]:
        """What is known of each slot."""
        return [self.bank().slot(index) for index in self.indices]


def memory_report(view: BankView, order: list[int], mass: np.ndarray) -> MemoryReport:
    """Report the slots of a view and the attention mass N×S on each, targets in `order`."""
    slots = tuple(
        SlotReport(slot.stamp_ns, slot.stream, slot.kind.value, slot.confidence, slot.usage)
        for slot in view.slots())
    attention = {target: row.astype(np.float32) for target, row in zip(order, mass, strict=True)}
    entropy = {target: float(-(row * np.log(np.maximum(row, 1e-12))).sum())
               for target, row in attention.items()}
    return MemoryReport(slots, attention, entropy)


def empty_result(stream: str, stamp_ns: int, geometry: Geometry) -> Result:
    """The answer while there are no targets: all background."""
    height, width = geometry.source
    background = np.zeros((height, width), np.uint8)
    return Result(stream, stamp_ns, background, (), MemoryReport(), False, LazyParts(
        soft_masks=lambda: np.ones((1, height, width), np.float32),
        readout=lambda: Readout((), np.zeros((0, 0, 0, 0), np.float32), 0),
        attention_maps=_no_target, evidence=_no_target), background)


def _no_target(target_id: int, count: int = 0) -> NoReturn:
    raise KeyError(f'target {target_id} is not tracked')


class LateReads:
    """Computes a result's further parts while memory is still what the step read."""

    def __init__(self, *, runner: Runner, bank: BankView, image: np.ndarray, seen: Seen,
                 answer: Answer, geometry: Geometry, order: list[int], mass: np.ndarray) -> None:
        """Keep what an answer was made from.

        :param order: target ids, in the bank's order. :param mass: N×S, attention on each slot.
        """
        self._runner = runner
        self._bank = bank
        self._image = image
        self._seen = seen
        self._answer = answer
        self._geometry = geometry
        self._order = order
        self._mass = mass

    def parts(self) -> LazyParts:
        """The functions that a result carries."""
        return LazyParts(self._soft_masks, self._readout, self._attention_maps, self._evidence)

    @torch.inference_mode()
    def _soft_masks(self) -> np.ndarray:
        """Probabilities that agree with the label map: what a pixel's owner lacks, it gets."""
        self._bank.bank()
        logits = restore_logits(self._seen.logits, self._geometry)
        soft = torch.softmax(logits, dim=0).float().cpu().numpy()
        channel_of = np.zeros(256, np.uint8)
        channel_of[self._order] = np.arange(1, len(self._order) + 1)
        said, found = channel_of[self._answer.label_map], self._seen.channels
        rows, columns = np.nonzero(said != found)
        first, second = found[rows, columns], said[rows, columns]
        soft[first, rows, columns], soft[second, rows, columns] = (
            soft[second, rows, columns], soft[first, rows, columns])
        return soft[[0, *(channel_of[target] for target in sorted(self._order))]]

    @torch.inference_mode()
    def _readout(self) -> Readout:
        bank = self._bank.bank()
        ids = sorted(self._order)
        rows = [self._order.index(target) for target in ids]
        view = self._seen.view
        if not view.is_whole:
            view = self._runner.encode(self._image, self._geometry)
        readout = self._runner.read_whole(view, bank, self._bank.indices)
        return Readout(tuple(ids), readout[rows].float().cpu().numpy(),
                       self._runner.network.stride)

    @torch.inference_mode()
    def _attention_maps(self, target_id: int) -> list[np.ndarray]:
        bank, network, indices = self._bank.bank(), self._runner.network, self._bank.indices
        column = self._column(target_id)
        keys = [key[0 if network.shares_key else column] for key in bank.keys_of(indices)]
        view = self._seen.view
        query = view.query.key.flatten(2)[0].T.to(keys[0].dtype)
        mask = view.cut(self._answer.soft_masks[column][None])
        weight = functional.avg_pool2d(mask, network.stride).flatten()
        if float(weight.sum()) <= 1e-6:
            weight = torch.ones_like(weight)
        valid = torch.tensor(bank.readable(indices)[column], device=query.device)
        maps = attention_of_target(query, keys, network.similarity, valid, weight)
        return [slot.extent.in_frame(part.float().cpu().numpy())
                for part, slot in zip(maps, self._bank.slots(), strict=True)]

    def _evidence(self, target_id: int, count: int) -> tuple[Evidence, ...]:
        slots = self._bank.slots()
        mass = self._mass[self._column(target_id)]
        found = [Evidence(slots[n].stamp_ns, slots[n].stream, slots[n].kind.value, float(mass[n]),
                          slots[n].crops[target_id])
                 for n in np.argsort(-mass, kind='stable') if target_id in slots[n].crops]
        return tuple(found[:count])

    def _column(self, target_id: int) -> int:
        if target_id not in self._order:
            _no_target(target_id)
        return self._order.index(target_id)
