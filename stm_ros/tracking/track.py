# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A track: one thing that is followed through a stream, a target or a distractor."""
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from torch import Tensor

from stm_ros.tracking.kinematics import GATE
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box


@dataclass(frozen=True)
class Track:
    """What is known of one thing on one stream, at the time of the stream's last frame.

    id: of a target; None for a distractor, which is something that looks like the target
    `resembles` and is another thing. motion: None where nobody knows its place. confidence: the
    last that was said of it. mask: H'×W' soft mask of the network's input, when it was last
    believed; mask_center: column and row of its box then, in pixels of the source image. area: its
    pixels then. everywhere: whether the next frame is searched as a whole for it. unsure: seconds
    since a mask of it was last worth showing.
    """

    id: int | None = None
    resembles: int | None = None
    motion: Motion | None = None
    state: TargetState = TargetState.LOST
    confidence: float = 0.0
    mask: Tensor | None = None
    mask_center: tuple[float, float] = (0.0, 0.0)
    area: int = 0
    everywhere: bool = False
    unsure: float = 0.0

    def after(self, seconds: float, coast_seconds: float) -> 'Track':
        """The track `seconds` later; its place is unknown once it was not seen for too long."""
        later = replace(self, unsure=self.unsure + seconds)
        if self.motion is None:
            return later
        motion = self.motion.after(seconds)
        if motion.age - seconds > coast_seconds:
            return later.nowhere()
        return replace(later, motion=motion)

    def believed(self, box: Box, mask: Tensor, area: int) -> 'Track':
        """The track once it was seen at a box, with a soft mask H'×W' of `area` source pixels."""
        leapt = self.motion is None or self.motion.surprise(box) > GATE
        motion = Motion.at(box) if leapt or self.motion is None else self.motion.seen(box)
        return replace(self, motion=motion, mask=mask, mask_center=motion.box.center, area=area)

    def nowhere(self) -> 'Track':
        """The track of a thing that may be anywhere."""
        return replace(self, motion=None, mask=None)

    def without_mask(self) -> 'Track':
        """The track when the network's input gets another size."""
        return replace(self, mask=None)


def shown_tracks(label_map: np.ndarray, boxes: Mapping[int, Box], masks: Iterable[Tensor]
                 ) -> list[Track]:
    """Tracks of targets that a person has just shown, by their masks.

    :param label_map: H×W uint8, ids of targets. :param boxes: around them, by id.
    :param masks: H'×W' each, of the network's input, in the order of `boxes`.
    """
    return [Track(target, state=TargetState.TRACKING, confidence=1.0, everywhere=True)
            .believed(box, mask, int((label_map == target).sum()))
            for (target, box), mask in zip(boxes.items(), masks, strict=True)]
