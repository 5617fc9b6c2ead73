# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a target in a frame."""
from dataclasses import dataclass
from enum import IntEnum

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
