# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Axis-aligned boxes in pixel edges."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """A box in pixels of the source image; the origin is the upper left corner of pixel (0, 0).

    The values are pixel edges: one pixel at column 3 has `x_min` 3 and `width` 1.
    """

    x_min: float
    y_min: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """Column and row of the middle."""
        return self.x_min + self.width / 2, self.y_min + self.height / 2

    @property
    def size(self) -> float:
        """The side of a square of the same area."""
        return float(np.sqrt(self.width * self.height))

    def moved(self, x: float, y: float) -> 'Box':
        """The box elsewhere."""
        return Box(self.x_min + x, self.y_min + y, self.width, self.height)

    def grown(self, x: float, y: float) -> 'Box':
        """The box with so much more on each side."""
        return Box(self.x_min - x, self.y_min - y, self.width + 2 * x, self.height + 2 * y)


def box_of_mask(mask: np.ndarray) -> Box | None:
    """Return the tightest box around the true pixels of `mask` (H×W), None where there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    return Box(float(left), float(top), float(right - left + 1), float(bottom - top + 1))


def box_around(boxes: Sequence[Box]) -> Box:
    """The tightest box around one or more boxes."""
    left, top = min(box.x_min for box in boxes), min(box.y_min for box in boxes)
    right = max(box.x_min + box.width for box in boxes)
    bottom = max(box.y_min + box.height for box in boxes)
    return Box(left, top, right - left, bottom - top)


def shared_area(one: Box, other: Box) -> float:
    """What two boxes have in common, in pixels."""
    width = min(one.x_min + one.width, other.x_min + other.width) - max(one.x_min, other.x_min)
    height = min(one.y_min + one.height, other.y_min + other.height) - max(one.y_min, other.y_min)
    return max(0.0, width) * max(0.0, height)
