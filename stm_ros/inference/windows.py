# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where in a frame a target is looked for: around its last place, or everywhere."""
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm_ros.networks.fine import FINE_STRIDE
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import Geometry

_LEAST_MARGIN = 3  # positions: what the decoder sees around a position
_KEPT_AROUND = 1  # positions: around targets, in past frames
_HALO = 2  # positions: around regions, so that the trunk does not see its own edge there
_WORTH_CUTTING = 0.7  # share of the frame above which a region saves nothing
# positions: sides come in such steps, since each new shape costs a preparation of every
# convolution, and targets whose regions have one shape are looked for together
_STEP = 4


@dataclass(frozen=True)
class Region:
    """Rows [top, bottom) and columns [left, right) of a network's positions."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in positions."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        """Positions."""
        return (self.bottom - self.top) * (self.right - self.left)

    def within(self, window: 'Region') -> 'Region':
        """The same positions, counted from the first of a window around them."""
        return Region(self.top - window.top, self.left - window.left,
                      self.bottom - window.top, self.right - window.left)

    def slices(self, factor: int) -> tuple[slice, slice]:
        """Rows and columns of a map that has `factor`×`factor` values a position."""
        return (slice(factor * self.top, factor * self.bottom),
                slice(factor * self.left, factor * self.right))


def region_around(box: Box, geometry: Geometry, stride: int, margin: float) -> Region | None:
    """The positions around a box in pixels of the source image; None where that is about all
    of the frame, or none of it.

    :param margin: how much wider on each side, as a share of the box.
    """
    grid = geometry.padded[0] // stride, geometry.padded[1] // stride
    sides = []
    for axis, (start, extent) in enumerate(_in_positions(box, geometry, stride)):
        wider = max(_LEAST_MARGIN, margin * extent)
        low, high = max(0.0, start - wider), min(float(grid[axis]), start + extent + wider)
        if high <= low:
            return None
        sides.append(_in_steps(low, high, grid[axis]))
    return _worth_cutting(Region(sides[0][0], sides[1][0], sides[0][1], sides[1][1]), grid)


def window_around(regions: Sequence[Region | None], grid: tuple[int, int]) -> Region:
    """The part of a frame of `grid` (height, width) that has to be encoded for the regions."""
    everywhere = Region(0, 0, *grid)
    known = [region for region in regions if region is not None]
    if not known or len(known) < len(regions):
        return everywhere
    lows = (min(r.top for r in known), min(r.left for r in known))
    highs = (max(r.bottom for r in known), max(r.right for r in known))
    (top, bottom), (left, right) = (
        _in_steps(max(0, low - _HALO), min(most, high + _HALO), most)
        for low, high, most in zip(lows, highs, grid, strict=True))
    return _worth_cutting(Region(top, left, bottom, right), grid) or everywhere


def core_of(boxes: Collection[Box], geometry: Geometry, stride: int, window: Region
            ) -> Region | None:
    """The part of a window with the targets in it: what later frames need of a past one.

    :param boxes: in pixels of the source image, in the window; where there are none, None is
        returned.
    """
    if not boxes:
        return None
    # N×2×2: of each box, by rows and by columns, start and extent
    places = np.array([_in_positions(box, geometry, stride) for box in boxes])
    top, left = np.floor(places[:, :, 0].min(axis=0)).astype(int) - _KEPT_AROUND
    bottom, right = np.ceil(places.sum(axis=2).max(axis=0)).astype(int) + _KEPT_AROUND
    return Region(max(int(top), window.top), max(int(left), window.left),
                  min(int(bottom), window.bottom), min(int(right), window.right))


def boxes_in_window(boxes: Iterable[Box], geometry: Geometry, corner: tuple[int, int]
                    ) -> list[tuple[int, int, int, int]]:
    """Boxes in positions of stride 8 of a window: top and left, and those behind the last.

    :param boxes: in pixels of the source image. :param corner: where the window begins.
    """
    found = []
    for box in boxes:
        (top, height), (left, width) = _in_positions(box, geometry, FINE_STRIDE)
        found.append((int(np.floor(top)) - corner[0], int(np.floor(left)) - corner[1],
                      int(np.ceil(top + height)) - corner[0],
                      int(np.ceil(left + width)) - corner[1]))
    return found


def _in_steps(low: float, high: float, most: int) -> tuple[int, int]:
    """The whole numbers around low..high, as many as a multiple of the step, within 0..most."""
    first, end = int(np.floor(low)), int(np.ceil(high))
    size = min(most, -(-(end - first) // _STEP) * _STEP)
    first = int(np.clip(round((low + high - size) / 2), max(0, end - size),
                        min(first, most - size)))
    return first, first + size


def _worth_cutting(region: Region, grid: tuple[int, int]) -> Region | None:
    return region if region.area <= _WORTH_CUTTING * grid[0] * grid[1] else None


def reaches_out(box: Box, region: Region, geometry: Geometry, stride: int) -> bool:
    """Whether a box found in a region ends less than a position from a side of it that is not
    the frame's: the target may go on where it was not looked for."""
    grid = geometry.padded[0] // stride, geometry.padded[1] // stride
    (top, height), (left, width) = _in_positions(box, geometry, stride)
    return ((region.top > 0 and top < region.top + 1)
            or (region.bottom < grid[0] and top + height > region.bottom - 1)
            or (region.left > 0 and left < region.left + 1)
            or (region.right < grid[1] and left + width > region.right - 1))


def _in_positions(box: Box, geometry: Geometry, stride: int
                  ) -> tuple[tuple[float, float], tuple[float, float]]:
    """Start and extent of a box, by rows and by columns, in positions of the padded input."""
    vertical, horizontal = (
        ((low * resized / source + offset) / stride, extent * resized / source / stride)
        for low, extent, source, resized, offset in zip(
            (box.y_min, box.x_min), (box.height, box.width), geometry.source, geometry.resized,
            geometry.offset, strict=True))
    return vertical, horizontal
