# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where in a frame a target is looked for: around its last place, or everywhere."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stm_ros.networks.interface import Query
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import Geometry

_LEAST_MARGIN = 3  # positions: what the decoder sees around a position
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

    def slices(self, factor: int) -> tuple[slice, slice]:
        """Rows and columns of a map that has `factor`×`factor` values a position."""
        return (slice(factor * self.top, factor * self.bottom),
                slice(factor * self.left, factor * self.right))


def region_around(box: Box, geometry: Geometry, stride: int, margin: float, coasted: int = 0
                  ) -> Region | None:
    """The positions around a box in pixels of the source image; None where that is about all
    of the frame, or none of it.

    :param margin: how much wider on each side, as a share of the box.
    :param coasted: frames since the target was there; the margin is as many times wider, and once.
    """
    grid = geometry.padded[0] // stride, geometry.padded[1] // stride
    sides = []
    for axis, (start, extent) in enumerate(_in_positions(box, geometry, stride)):
        wider = (1 + coasted) * max(_LEAST_MARGIN, margin * extent)
        low, high = max(0.0, start - wider), min(float(grid[axis]), start + extent + wider)
        if high <= low:
            return None
        first, end = int(np.floor(low)), int(np.ceil(high))
        size = min(grid[axis], -(-(end - first) // _STEP) * _STEP)
        first = int(np.clip(round((low + high - size) / 2), max(0, end - size),
                            min(first, grid[axis] - size)))
        sides.append((first, first + size))
    region = Region(sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    height, width = region.shape
    return region if height * width <= _WORTH_CUTTING * grid[0] * grid[1] else None


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


@dataclass(frozen=True)
class Search:
    """Targets that are looked for together: the whole frame, or regions of one shape.

    places: of the targets, in the bank's order. regions: each one's, empty for the whole frame.
    shape: height and width in positions of what is looked at.
    """

    places: tuple[int, ...]
    regions: tuple[Region, ...]
    shape: tuple[int, int]

    def cut(self, x: Tensor, factor: int) -> Tensor:
        """What each target sees of a map 1×C×H×W that has `factor`×`factor` values a position:
        N×C×h×w, or the map itself where that is the whole frame."""
        if not self.regions:
            return x
        parts = [x[:, :, rows, columns]
                 for rows, columns in (region.slices(factor) for region in self.regions)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def cut_own(self, masks: Tensor, factor: int) -> Tensor:
        """Each target's part N×h×w of a map M×H×W, a plane for each target of the bank."""
        if not self.regions:
            return masks[list(self.places)]
        return torch.stack([masks[place][region.slices(factor)] for place, region in zip(
            self.places, self.regions, strict=True)])

    def put(self, into: Tensor, parts: Tensor, factor: int) -> None:
        """Write each target's part N×h×w into its plane of a map M×H×W."""
        if not self.regions:
            into[list(self.places)] = parts
        for place, region, part in zip(self.places, self.regions, parts, strict=False):
            into[place][region.slices(factor)] = part

    def cut_query(self, query: Query) -> Query:
        """What of an encoded frame is read for and decoded."""
        return query._replace(
            key=self.cut(query.key, 1), feature=self.cut(query.feature, 1),
            skips=tuple(self.cut(skip, skip.shape[2] // query.key.shape[2])
                        for skip in query.skips))


def searches_for(regions: Sequence[Region | None], grid: tuple[int, int]) -> list[Search]:
    """Group targets with the given regions, None for the whole frame, by what they look at."""
    places_of: dict[tuple[int, int] | None, list[int]] = {}
    for place, region in enumerate(regions):
        places_of.setdefault(region and region.shape, []).append(place)
    return [Search(tuple(places), tuple(region for region in (regions[n] for n in places)
                                        if region is not None), shape or grid)
            for shape, places in places_of.items()]
