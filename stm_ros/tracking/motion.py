# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a target is likely to be next: it goes on as it went while its mask was trusted."""
from dataclasses import dataclass
from dataclasses import replace

import torch
from torch import Tensor

from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import iou_of_boxes
from stm_ros.vision.prepare import Geometry

#: frames for which a place is foretold without a trusted mask
COAST_FRAMES = 20
_NEW_SHARE = 0.3
_MOST_OF_BOX = 0.5


@dataclass(frozen=True)
class Motion:
    """A target's last trusted box in pixels of the source image, and how it moves.

    velocity: x, y in pixels a frame, an average that forgets. coasted: frames since the box.
    steadiness: IoU of trusted boxes with what was foretold of them, an average that forgets.
    """

    box: Box
    velocity: tuple[float, float] = (0.0, 0.0)
    coasted: int = 0
    steadiness: float = 0.0

    def seen(self, box: Box) -> 'Motion':
        """The motion after one more frame in which the target's box can be trusted."""
        if self.coasted:
            return Motion(box, self.velocity, steadiness=self.steadiness)
        old, new = _center(self.box), _center(box)
        limit = _MOST_OF_BOX * max(box.width, box.height)
        velocity = [
            (1 - _NEW_SHARE) * before + _NEW_SHARE * min(limit, max(-limit, after - at))
            for before, at, after in zip(self.velocity, old, new, strict=True)]
        steadiness = ((1 - _NEW_SHARE) * self.steadiness
                      + _NEW_SHARE * iou_of_boxes(box, self.expected_box))
        return Motion(box, (velocity[0], velocity[1]), steadiness=steadiness)

    def unseen(self) -> 'Motion | None':
        """The motion after a frame that cannot be trusted; None where too many have gone by."""
        if self.coasted >= COAST_FRAMES:
            return None
        return Motion(self.expected_box, self.velocity, self.coasted + 1, self.steadiness)

    @property
    def expected_box(self) -> Box:
        """Where the target is one frame on, if it goes on as it went."""
        return replace(self.box, x_min=self.box.x_min + self.velocity[0],
                       y_min=self.box.y_min + self.velocity[1])


def shift_mask(mask: Tensor, motion: Motion, geometry: Geometry) -> Tensor:
    """A mask H'×W' of the network's input, one frame on along a motion; zeros come in."""
    scale = geometry.resized[0] / geometry.source[0]
    columns, rows = (round(scale * (motion.coasted + 1) * speed)
                     - round(scale * motion.coasted * speed) for speed in motion.velocity)
    height, width = mask.shape
    if abs(rows) >= height or abs(columns) >= width:
        return torch.zeros_like(mask)
    shifted = torch.roll(mask, (rows, columns), (0, 1))
    shifted[:rows if rows > 0 else 0] = 0
    shifted[:, :columns if columns > 0 else 0] = 0
    if rows < 0:
        shifted[rows:] = 0
    if columns < 0:
        shifted[:, columns:] = 0
    return shifted


def _center(box: Box) -> tuple[float, float]:
    return box.x_min + box.width / 2, box.y_min + box.height / 2
