# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What tests of the tracker share."""
import numpy as np

from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import shared_area

SIZE = (240, 320)


def make_tracker(**changes) -> Tracker:
    """A tracker with the shipped weights in float32, so that numbers can be compared."""
    return Tracker.from_pretrained(config=TrackerConfig(**{'dtype': 'float32', **changes}))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def follow(tracker: Tracker, clip, stream: str = 'camera', first: int = 1):
    """Step through a clip, a result at a time."""
    for time, (image, _) in enumerate(clip[first:], start=first):
        yield tracker.step(image, stream, stamp_ns=time * 40_000_000)


def iou_of_boxes(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    shared = shared_area(one, other)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union else 0.0
