# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A grid of cells over an image: where they are in pixels, and the connected parts they form."""
from typing import NamedTuple

import cv2
import numpy as np

from stm_ros.tracking.kinematics import Motion
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_around
from stm_ros.vision.prepare import Geometry

#: share of the largest connected part's cells under which another part is a speck
SPECK_SHARE = 0.1
_BOX_FIELDS = (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)


class Part(NamedTuple):
    """A connected part: its number, how many cells it has, and its box in the image."""

    number: int
    cells: int
    box: Box


class Cells:
    """A grid of cells over an image or a part of it, one for each pixel or coarser."""

    def __init__(self, columns: np.ndarray, rows: np.ndarray, size: tuple[float, float]) -> None:
        """Prepare a grid, in pixels of the image.

        :param columns: middles of the cells, and `rows`. :param size: width and height of a cell.
        """
        self.columns = columns.astype(np.float32)
        self.rows = rows.astype(np.float32)
        self.size = size

    @classmethod
    def of_pixels(cls, box: Box) -> 'Cells':
        """The pixels in a box of whole numbers."""
        return cls(box.x_min + np.arange(box.width) + 0.5, box.y_min + np.arange(box.height) + 0.5,
                   (1.0, 1.0))

    @classmethod
    def of_input(cls, geometry: Geometry, size: int) -> 'Cells':
        """Cells of size×size pixels of the network's padded input."""
        scales = [source / resized
                  for source, resized in zip(geometry.source, geometry.resized, strict=True)]
        rows, columns = (
            ((np.arange(padded // size) + 0.5) * size - offset) * scale for padded, offset, scale
            in zip(geometry.padded, geometry.offset, scales, strict=True))
        return cls(columns, rows, (scales[1] * size, scales[0] * size))

    @property
    def area(self) -> float:
        """Pixels of the image in a cell."""
        return self.size[0] * self.size[1]

    def distance(self, motion: Motion) -> np.ndarray:
        """H×W: squared distance of each cell from a thing, see Motion.distance."""
        return motion.distance(self.columns[None], self.rows[:, None])

    def box_of(self, found: np.ndarray) -> Box | None:
        """The box around cells, H×W bool, specks left out; None where there are none."""
        _, parts = self.parts_of(found)
        least = SPECK_SHARE * max((part.cells for part in parts), default=0)
        boxes = [part.box for part in parts if part.cells >= least]
        return box_around(boxes) if boxes else None

    def in_image(self, inner: Box) -> Box:
        """The box in the image of one that is counted in cells."""
        width, height = self.size
        return Box(float(self.columns[int(inner.x_min)]) - width / 2,
                   float(self.rows[int(inner.y_min)]) - height / 2,
                   inner.width * width, inner.height * height)

    def parts_of(self, found: np.ndarray) -> tuple[np.ndarray, list[Part]]:
        """Number the connected parts of cells, H×W bool: the numbers H×W, and the parts."""
        count, numbers, table, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
        boxes = [Box(*(float(table[number, field]) for field in _BOX_FIELDS))
                 for number in range(1, count)]
        return numbers, [Part(number, int(table[number, cv2.CC_STAT_AREA]), self.in_image(box))
                         for number, box in enumerate(boxes, start=1)]
