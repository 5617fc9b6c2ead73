# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What of an answered frame is written to memory."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank import NewFrame
from stm_ros.memory.descriptors import novelty_of
from stm_ros.memory.schedule import Candidate
from stm_ros.memory.slots import ReferenceSource
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.engine import Engine
from stm_ros.tracking.evidence import crop_jpeg
from stm_ros.tracking.regions import Region
from stm_ros.tracking.search import View
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box


@dataclass(frozen=True)
class PendingWrite:
    """A frame that has been answered and is still to be memorised.

    image: H×W×3 uint8 RGB. masks: N×H'×W' for `targets`, of which `readable` may be read later.
    core: what is kept when the frame is no longer the newest, None for all; core_only: at once, so
    that what surrounds the targets, and looks like them, is never read.
    """

    view: View
    image: np.ndarray
    masks: Tensor
    targets: list[int]
    readable: frozenset[int]
    boxes: dict[int, Box]
    stream: str
    stamp_ns: int
    confidence: float
    due: bool
    descriptor: np.ndarray
    core: Region | None = None
    core_only: bool = False

    def encode(self, engine: Engine, evidence_size: int, source: ReferenceSource | None = None
               ) -> NewFrame:
        """What the bank stores, with the evidence crops."""
        memory = engine.memorize(self.view, self.masks)
        crops = {target: crop_jpeg(self.image, box, evidence_size)
                 for target, box in self.boxes.items()}
        view = self.view
        core = None if self.core is None else view.extent_of(self.core)
        key, value, extent = memory.key, memory.value, view.extent_of(view.window)
        if core is not None and self.core_only:
            rows, columns = extent.slices_of(core)
            key, value = key[:, :, rows, columns], value[:, :, rows, columns]
            extent, core = core, None
        return NewFrame(key, value, extent, self.targets, self.readable, self.stream,
                        self.stamp_ns, self.confidence, crops, self.descriptor, source, core)


def worth_remembering(targets: Sequence[TargetResult], bank: MemoryBank, config: TrackerConfig
                      ) -> list[TargetResult]:
    """Those of a frame's targets whose confidence earns a place in memory."""
    if not bank.policy.keeps_recent:
        return []
    return [target for target in targets
            if bank.policy.writes_always or (
                target.state == TargetState.TRACKING
                and target.confidence >= config.memorize_above)]


def stays(bank: MemoryBank, config: TrackerConfig, stream: str, frames: int, stamp_ns: int,
          descriptor: np.ndarray) -> bool:
    """Whether a stream's frame is to be kept when it is no longer the newest.

    :param frames: how many the stream has had before.
    """
    kept = bank.kept_slots(stream)
    own = [slot.stamp_ns for slot in kept
           if slot.stream == stream and slot.stamp_ns <= stamp_ns]
    return config.schedule.keeps(Candidate(
        frames, (stamp_ns - max(own)) / 1e9 if own else None,
        novelty_of(descriptor, (slot.descriptor for slot in kept))))
