# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets: what is known of each on each stream, and the state that confidence gives it."""
from dataclasses import dataclass
from enum import IntEnum

from stm_ros.tracking.config import TrackerConfig
from stm_ros.vision.boxes import Box


class TargetState(IntEnum):
    """How a target is doing; the numbers are those of stm_ros/msg/Target."""

    TRACKING = 0
    UNCERTAIN = 1
    LOST = 2


@dataclass(frozen=True)
class TargetResult:
    """One target in one frame.

    confidence: expected IoU of the mask with the truth, in [0, 1]. box: in pixels of the source
    image, None where the target is lost. area: pixels of the mask, 0 where lost.
    """

    id: int
    label: str
    state: TargetState
    confidence: float
    confidence_calibrated: bool
    box: Box | None
    area: int


def next_state(state: TargetState, confidence: float, area: int, in_place: bool,
               config: TrackerConfig) -> TargetState:
    """The state after a frame with this confidence and mask area.

    It falls as soon as confidence does, and rises to TRACKING only past the threshold by the
    hysteresis. A mask that is in doubt counts only where the target was expected: elsewhere it is
    LOST, and so is one without pixels. What is LOST is found only without doubt.
    """
    threshold = config.uncertain_below
    if state != TargetState.TRACKING:
        threshold += config.hysteresis
    if area and confidence >= threshold:
        return TargetState.TRACKING
    if not area or state == TargetState.LOST or not in_place or confidence < config.lost_below:
        return TargetState.LOST
    return TargetState.UNCERTAIN


def doubtful(state: TargetState, area: int) -> TargetState:
    """The state after a frame in which nobody can say which of two things the target is."""
    return TargetState.UNCERTAIN if area and state != TargetState.LOST else TargetState.LOST
