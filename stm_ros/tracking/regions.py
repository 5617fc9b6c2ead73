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
from stm_ros.vision.prepare import to_device

_LEAST_MARGIN = 4  # positions: what the decoder sees around a position
_WORTH_CUTTING = 0.7  # share of the frame above which a region saves nothing


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


def region_around(box: Box, geometry: Geometry, stride: int, margin: float) -> Region | None:
    """The positions around a box in pixels of the source image; None where that is about all
    of the frame, or none of it.

    :param margin: how much wider on each side, as a share of the box.
    """
    scale = geometry.resized[0] / geometry.source[0], geometry.resized[1] / geometry.source[1]
    grid = geometry.padded[0] // stride, geometry.padded[1] // stride
    sides = []
    for low, extent, axis in ((box.y_min, box.height, 0), (box.x_min, box.width, 1)):
        start = (low * scale[axis] + geometry.offset[axis]) / stride
        size = extent * scale[axis] / stride
        wider = max(_LEAST_MARGIN, margin * size)
        sides.append((max(0, int(np.floor(start - wider))),
                      min(grid[axis], int(np.ceil(start + size + wider)))))
    region = Region(sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    height, width = region.shape
    if height <= 0 or width <= 0:
        return None
    return region if height * width <= _WORTH_CUTTING * grid[0] * grid[1] else None


@dataclass(frozen=True)
class QueryRows:
    """The positions that any target looks at, and each target's among them.

    indices: int64 of the frame's h·w positions, None for all. rows: for each target int64 places
    in `indices`, None for all of them.
    """

    indices: Tensor | None
    rows: tuple[Tensor | None, ...]


def query_rows(regions: Sequence[Region | None], grid: tuple[int, int], device: torch.device
               ) -> QueryRows:
    """Which positions of a `grid` (height, width) are read for the targets' regions."""
    if any(region is None for region in regions):
        everywhere = np.arange(grid[0] * grid[1]).reshape(grid)
        indices, places = None, everywhere
    else:
        wanted = np.zeros(grid, bool)
        for region in regions:
            assert region is not None
            wanted[region.slices(1)] = True
        indices = to_device(np.flatnonzero(wanted), device)
        places = (np.cumsum(wanted) - 1).reshape(grid)
    rows = tuple(None if region is None else
                 to_device(places[region.slices(1)].flatten(), device)
                 for region in regions)
    return QueryRows(indices, rows)


def cut_query(query: Query, region: Region) -> Query:
    """The part of an encoded frame that the decoder needs for a region."""
    def cut(x: Tensor) -> Tensor:
        rows, columns = region.slices(x.shape[2] // query.key.shape[2])
        return x[:, :, rows, columns]
    return query._replace(feature=cut(query.feature), skips=tuple(map(cut, query.skips)))
