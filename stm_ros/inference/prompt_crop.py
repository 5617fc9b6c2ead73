# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The part of an image that the prompted head looks at, and the planes that tell it the prompt."""
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from math import floor

import cv2
import numpy as np

from stm_ros.vision.boxes import Box

#: side of what the head sees, px
SIZE = 256
#: of the box's longer side (a share), that is seen around it on every side
MARGIN = 0.25
_MOST_STRETCH = 1.5
_LEAST_SIDE = 16
_POINT_RADIUS = 5
_GREY = (127, 127, 127)


@dataclass(frozen=True)
class Crop:
    """A rectangle of whole pixels, perhaps beyond the image, seen as SIZE×SIZE."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, image: np.ndarray, fill: tuple[int, ...] = _GREY) -> np.ndarray:
        """Return SIZE×SIZE(×C) uint8 of `image` (H×W(×C) uint8), `fill` beyond its border."""
        height, width = image.shape[:2]
        inside = image[max(0, self.top):self.top + self.height,
                       max(0, self.left):self.left + self.width]
        above, before = max(0, -self.top), max(0, -self.left)
        below = max(0, self.top + self.height - height)
        after = max(0, self.left + self.width - width)
        if above or before or below or after:
            inside = cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_CONSTANT,
                                        value=fill)
        shrinks = self.width * self.height > SIZE * SIZE
        return cv2.resize(inside, (SIZE, SIZE),
                          interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where the image's pixel position is in what is seen."""
        return (x - self.left) * SIZE / self.width, (y - self.top) * SIZE / self.height

    def paste(self, seen: np.ndarray, shape: tuple[int, ...], outside: float) -> np.ndarray:
        """Return H×W float32 of an image of `shape`: h×w float32 `seen`, else `outside`."""
        whole = np.full(shape[:2], outside, np.float32)
        large = cv2.resize(seen, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        top, left = max(0, self.top), max(0, self.left)
        bottom = min(shape[0], self.top + self.height)
        right = min(shape[1], self.left + self.width)
        whole[top:bottom, left:right] = large[top - self.top:bottom - self.top,
                                              left - self.left:right - self.left]
        return whole


def crop_around(box: Box, margin: float = MARGIN) -> Crop:
    """Return the crop around `box`: `margin` of its longer side more on every side.

    Its sides differ by no more than a factor of 1.5, since what is seen is square.
    """
    around = box.grown(margin * max(box.width, box.height), margin * max(box.width, box.height))
    width = max(around.width, around.height / _MOST_STRETCH, _LEAST_SIDE)
    height = max(around.height, around.width / _MOST_STRETCH, _LEAST_SIDE)
    x, y = box.center
    left, top = floor(x - width / 2), floor(y - height / 2)
    return Crop(left, top, ceil(x + width / 2) - left, ceil(y + height / 2) - top)


def whole_crop(shape: tuple[int, ...]) -> Crop:
    """Return the crop that holds all of an image of `shape`."""
    return crop_around(Box(0, 0, shape[1], shape[0]), 0.0)


def prompt_planes(crop: Crop, shape: tuple[int, ...], *, box: Box | None = None,
                  points: Sequence[tuple[float, float]] = (),
                  on_target: Sequence[bool] = (), earlier: np.ndarray | None = None) -> np.ndarray:
    """
    Return 5×SIZE×SIZE float32, see `PromptHead.forward`.

    :param shape: of the image that the crop, the box and the points are pixels of.
    :param earlier: SIZE×SIZE float32 in [0, 1], the mask that an earlier pass found.
    """
    planes = np.zeros((5, SIZE, SIZE), np.float32)
    if box is not None:
        planes[0] = 2 * _rectangle(crop, box) - 1
    for (x, y), on in zip(points, on_target, strict=True):
        column, row = crop.place(x + 0.5, y + 0.5)
        cv2.circle(planes[1 if on else 2], (round(column - 0.5), round(row - 0.5)), _POINT_RADIUS,
                   (1.0,), cv2.FILLED)
    if earlier is not None:
        planes[3] = 2 * earlier - 1
    planes[4] = _rectangle(crop, Box(0, 0, shape[1], shape[0]))
    return planes


def _rectangle(crop: Crop, box: Box) -> np.ndarray:
    """Return SIZE×SIZE float32: the share of each pixel seen that lies in `box`."""
    left, top = crop.place(box.x_min, box.y_min)
    right, bottom = crop.place(box.x_min + box.width, box.y_min + box.height)
    return np.outer(_covered(top, bottom), _covered(left, right))


def _covered(start: float, end: float) -> np.ndarray:
    cells = np.arange(SIZE, dtype=np.float32)
    return np.clip(np.minimum(end, cells + 1) - np.maximum(start, cells), 0, 1)
