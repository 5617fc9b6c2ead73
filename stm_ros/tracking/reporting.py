# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From predictions to results: the memory report, and what is computed when asked for."""
from __future__ import annotations

from typing import TYPE_CHECKING
from typing import NoReturn

import numpy as np
import torch
from torch.nn import functional

from stm_ros.memory.bank import MemoryBank
from stm_ros.networks.reading import attention_of_target
from stm_ros.tracking.engine import Prediction
from stm_ros.tracking.result import Evidence
from stm_ros.tracking.result import LazyParts
from stm_ros.tracking.result import MemoryReport
from stm_ros.tracking.result import Readout
from stm_ros.tracking.result import Result
from stm_ros.tracking.result import SlotReport
from stm_ros.tracking.result import StaleResultError
from stm_ros.tracking.search import View
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import restore_logits

if TYPE_CHECKING:
    from stm_ros.tracking.tracker import Tracker


def memory_report(bank: MemoryBank, indices: list[int], order: list[int], mass: np.ndarray
                  ) -> MemoryReport:
    """Report the slots at `indices` and the attention mass N×S on each, targets in `order`."""
    slots = tuple(
        SlotReport(slot.stamp_ns, slot.stream, slot.kind.value, slot.confidence, slot.usage)
        for slot in map(bank.slot, indices))
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
        attention_maps=_no_target, evidence=_no_target))


def _no_target(target_id: int, count: int = 0) -> NoReturn:
    raise KeyError(f'target {target_id} is not tracked')


class LateReads:
    """Computes a result's further parts while memory is still what the step read."""

    def __init__(self, tracker: Tracker, image: np.ndarray, view: View, prediction: Prediction,
                 geometry: Geometry, indices: list[int], order: list[int], mass: np.ndarray
                 ) -> None:
        self._tracker = tracker
        self._image = image
        self._view = view
        self._prediction = prediction
        self._geometry = geometry
        self._indices = indices
        self._order = order
        self._mass = mass
        self._moves = tracker.moves

    def parts(self) -> LazyParts:
        """The functions that a result carries."""
        return LazyParts(self._soft_masks, self._readout, self._attention_maps, self._evidence)

    def _check(self) -> None:
        if self._tracker.moves != self._moves:
            raise StaleResultError('the tracker has moved on; ask a result before the next step')

    @torch.inference_mode()
    def _soft_masks(self) -> np.ndarray:
        self._check()
        logits = restore_logits(self._prediction.logits, self._geometry)
        rows = [0, *(1 + self._order.index(target) for target in sorted(self._order))]
        return torch.softmax(logits[rows], dim=0).float().cpu().numpy()

    @torch.inference_mode()
    def _readout(self) -> Readout:
        self._check()
        ids = sorted(self._order)
        rows = [self._order.index(target) for target in ids]
        tracker = self._tracker
        view = self._view
        if not view.is_whole:
            view = tracker.engine.encode(self._image, self._geometry)
        readout = tracker.engine.read_whole(view, tracker.bank, self._indices)
        features = readout[rows].float().cpu().numpy()
        return Readout(tuple(ids), features, tracker.network.stride)

    @torch.inference_mode()
    def _attention_maps(self, target_id: int) -> list[np.ndarray]:
        self._check()
        column = self._column(target_id)
        bank, network = self._tracker.bank, self._tracker.network
        group = 0 if network.shares_key else column
        keys = [key[group] for key in bank.keys_of(self._indices)]
        query = self._view.query.key.flatten(2)[0].T.to(keys[0].dtype)
        mask = self._view.cut(self._prediction.soft_masks[column][None])
        weight = functional.avg_pool2d(mask, network.stride).flatten()
        if float(weight.sum()) <= 1e-6:
            weight = torch.ones_like(weight)
        valid = torch.tensor(bank.readable(self._indices)[column], device=query.device)
        maps = attention_of_target(query, keys, network.similarity, valid, weight)
        return [bank.slot(index).extent.in_frame(part.float().cpu().numpy())
                for part, index in zip(maps, self._indices, strict=True)]

    def _evidence(self, target_id: int, count: int) -> tuple[Evidence, ...]:
        self._check()
        mass = self._mass[self._column(target_id)]
        found = []
        for place in np.argsort(-mass, kind='stable'):
            slot = self._tracker.bank.slot(self._indices[place])
            if target_id in slot.crops:
                found.append(Evidence(slot.stamp_ns, slot.stream, slot.kind.value,
                                      float(mass[place]), slot.crops[target_id]))
        return tuple(found[:count])

    def _column(self, target_id: int) -> int:
        if target_id not in self._order:
            _no_target(target_id)
        return self._order.index(target_id)
