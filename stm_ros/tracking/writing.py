# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What of an answered frame is written to memory."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.inference.runner import Runner
from stm_ros.inference.runner import Seen
from stm_ros.inference.views import View
from stm_ros.inference.windows import Region
from stm_ros.inference.windows import boxes_in_window
from stm_ros.inference.windows import core_of
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank import NewFrame
from stm_ros.memory.descriptors import novelty_of
from stm_ros.memory.fine_keys import keep_fine
from stm_ros.memory.schedule import Candidate
from stm_ros.memory.slots import ReferenceSource
from stm_ros.networks.fine import FINE_STRIDE
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking.compose import Answer
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.evidence import crop_jpeg
from stm_ros.tracking.stream import Stream
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import prepare_masks


@dataclass(frozen=True)
class PendingWrite:
    """A frame that has been answered and is still to be memorised.

    image: H×W×3 uint8 RGB. masks: N×H'×W' for `targets`, of which `readable` are read
    in the next frame, and `kept_for` as long as the frame stays.
    core: what is kept when the frame is no longer the newest, None for all; core_only: at once, so
    that what surrounds the targets, and looks like them, is never read.
    """

    view: View
    geometry: Geometry
    image: np.ndarray
    masks: Tensor
    targets: list[int]
    readable: frozenset[int]
    kept_for: frozenset[int]
    boxes: dict[int, Box]
    stream: str
    stamp_ns: int
    confidence: float
    due: bool
    descriptor: np.ndarray
    core: Region | None = None
    core_only: bool = False

    def encode(self, runner: Runner, evidence_size: int, source: ReferenceSource | None = None
               ) -> NewFrame:
        """What the bank stores, with the evidence crops."""
        memory = runner.memorize(self.view, self.masks)
        crops = {target: crop_jpeg(self.image, box, evidence_size)
                 for target, box in self.boxes.items()}
        view = self.view
        core = None if self.core is None else view.extent_of(self.core)
        key, value, extent = memory.key, memory.value, view.extent_of(view.window)
        if core is not None and self.core_only:
            rows, columns = extent.slices_of(core)
            key, value = key[:, :, rows, columns], value[:, :, rows, columns]
            extent, core = core, None
        fine = None
        if view.query.fine is not None:
            masks = functional.avg_pool2d(view.cut(self.masks)[:, None], FINE_STRIDE)[:, 0]
            corner = 2 * view.window.top, 2 * view.window.left
            fine = keep_fine(view.query.fine, masks, self.targets, corner,
                             boxes_in_window(self.boxes.values(), self.geometry, corner))
        return NewFrame(key, value, extent, self.targets, self.readable, self.stream,
                        self.stamp_ns, self.confidence, crops, self.descriptor, source, core, fine,
                        self.kept_for)


def plan_reference(runner: Runner, image: np.ndarray, label_map: np.ndarray, ids: list[int], *,
                   geometry: Geometry, stream: str, stamp_ns: int) -> PendingWrite:
    """What is remembered for ever of a frame in which targets are shown.

    :param label_map: H×W uint8, of 0 and of `ids`, as check_label_map leaves it.
    """
    view = runner.encode(image, geometry)
    masks = prepare_masks(label_map, ids, geometry, runner.device, runner.score_dtype)
    boxes = {target: box for target in ids
             if (box := box_of_mask(label_map == target)) is not None}
    return PendingWrite(
        view=view, geometry=geometry, image=image, masks=masks, targets=ids,
        readable=frozenset(ids), kept_for=frozenset(ids), boxes=boxes, stream=stream,
        stamp_ns=stamp_ns, confidence=1.0, due=False, descriptor=runner.describe(view, masks))


def worth_remembering(targets: Sequence[TargetResult], bank: MemoryBank) -> list[TargetResult]:
    """Those of a frame's targets that the next frame reads: what is shown.

    The newest frame is replaced by the next one; a mask in doubt says where the target is now, and
    poisons nothing.
    """
    if not bank.policy.keeps_recent:
        return []
    return [target for target in targets
            if bank.policy.writes_always or target.state != TargetState.LOST]


def worth_keeping(targets: Sequence[TargetResult], bank: MemoryBank, config: TrackerConfig
                  ) -> list[TargetResult]:
    """Those whose confidence earns a place among the frames that stay."""
    return [target for target in targets
            if bank.policy.writes_always or (
                target.state == TargetState.TRACKING
                and target.confidence >= config.memorize_above)]


def plan_write(*, seen: Seen, answer: Answer, predicted: Stream, image: np.ndarray,
               geometry: Geometry, order: list[int], stream: str, bank: MemoryBank,
               config: TrackerConfig, beside: bool) -> PendingWrite | None:
    """What of a frame is to be remembered: as the newest what is shown, to stay what earns it.

    :param order: target ids, in the bank's order. :param beside: whether there are distractors.
    """
    earned = worth_remembering(answer.targets, bank)
    kept = worth_keeping(earned, bank, config)
    if not earned or predicted.stamp_ns is None:
        return None
    masks = answer.soft_masks
    if not bank.policy.writes_always:
        shown = [float(target not in answer.lost) for target in order]
        masks = masks * torch.tensor(shown, device=masks.device)[:, None, None]
    boxes = {target.id: target.box for target in earned if target.box is not None}
    keeps_all = (config.full_look_seconds == 0 or bank.policy.searches_everywhere
                 or len(boxes) < len(earned))
    core = None if keeps_all else core_of(boxes.values(), geometry, SpaceTimeNetwork.stride,
                                          seen.view.window)
    return PendingWrite(
        view=seen.view, geometry=geometry, image=image, masks=masks, targets=order,
        readable=frozenset(target.id for target in earned), boxes=boxes, stream=stream,
        stamp_ns=predicted.stamp_ns,
        confidence=float(np.mean([target.confidence for target in earned])),
        kept_for=frozenset(target.id for target in kept),
        due=bool(kept) and stays(bank, config, stream, predicted.frames, predicted.stamp_ns,
                                 seen.descriptor),
        descriptor=seen.descriptor, core=core, core_only=beside and core is not None)


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
