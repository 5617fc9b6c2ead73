# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Memory-encoding several targets: each one only where it is, the rest of the frame once."""
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.networks.interface import Query
from stm_ros.networks.interface import others_of

_TOUCHED = 1e-3  # mean of a soft mask over a position under which it is not there
_REACH = 3  # positions around a mask in which its value differs from that of no mask
_HALO = 3  # positions around these that are encoded with them
_STEP = 4  # sides come in such steps: each new shape costs a preparation of every convolution
_WORTH_IT = 0.7  # share of the whole work

Encoder = Callable[[Query, Tensor], Tensor]
_Range = tuple[int, int]


def planes_of(masks: Tensor) -> Tensor:
    """Each target's mask beside the sum of the others: N×2×H×W of masks N×H×W."""
    return torch.stack([masks, others_of(masks)], dim=1)


def encode_locally(encoder: Encoder, query: Query, masks: Tensor) -> Tensor | None:
    """Values N×Cv×h×w of soft masks N×H×W; None where it would not save much.

    Where a target is not, its value is that of a target which is nowhere, the same for all.
    Exact up to what the encoder sees beyond some positions.
    """
    grid = query.key.shape[2], query.key.shape[3]
    cells = functional.avg_pool2d(masks[:, None].float(), masks.shape[1] // grid[0])[:, 0]
    touched = (cells > _TOUCHED).numpy()
    inner = [[_extent(found.any(1 - axis), _REACH, grid[axis]) for axis in (0, 1)]
             for found in touched]
    outer = [[_extent_around(side, _HALO, grid[axis]) for axis, side in enumerate(sides)]
             for sides in inner]
    areas = [_length(rows) * _length(columns) for rows, columns in outer]
    if sum(areas) + grid[0] * grid[1] > _WORTH_IT * len(masks) * grid[0] * grid[1]:
        return None
    nobody = torch.stack([torch.zeros_like(masks[0]), masks.sum(0).clamp(0, 1)])[None]
    values = encoder(query, nobody).repeat(len(masks), 1, 1, 1)
    planes = planes_of(masks)
    for places in _alike(outer):
        windows = [outer[place] for place in places]
        parts = torch.cat([_cut(planes[place:place + 1], outer[place], grid) for place in places])
        encoded = encoder(_cut_query(query, windows, grid), parts)
        for place, value in zip(places, encoded, strict=True):
            (top, bottom), (left, right) = inner[place]
            (first_row, _), (first_column, _) = outer[place]
            values[place, :, top:bottom, left:right] = value[
                :, top - first_row:bottom - first_row, left - first_column:right - first_column]
    return values


def _extent(found: np.ndarray, margin: int, most: int) -> _Range:
    """From the first to behind the last that was found, and a margin on each side."""
    places = np.flatnonzero(found)
    if not places.size:
        return 0, 0
    return max(0, int(places[0]) - margin), min(most, int(places[-1]) + 1 + margin)


def _extent_around(side: _Range, margin: int, most: int) -> _Range:
    """A range with a margin, as long as a multiple of the step where there is room."""
    if side[0] == side[1]:
        return 0, 0
    low, high = max(0, side[0] - margin), min(most, side[1] + margin)
    length = min(most, -(-(high - low) // _STEP) * _STEP)
    low = min(low, most - length)
    return low, low + length


def _length(side: _Range) -> int:
    return side[1] - side[0]


def _alike(windows: Sequence[Sequence[_Range]]) -> list[list[int]]:
    """The places of windows that have one shape and are not empty, together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, (rows, columns) in enumerate(windows):
        if _length(rows) and _length(columns):
            groups.setdefault((_length(rows), _length(columns)), []).append(place)
    return list(groups.values())


def _cut(x: Tensor, window: Sequence[_Range], grid: tuple[int, int]) -> Tensor:
    factor = x.shape[2] // grid[0]
    (top, bottom), (left, right) = window
    return x[:, :, factor * top:factor * bottom, factor * left:factor * right]


def _cut_query(query: Query, windows: Sequence[Sequence[_Range]], grid: tuple[int, int]) -> Query:
    def cut(x: Tensor) -> Tensor:
        return torch.cat([_cut(x, window, grid) for window in windows])
    return query._replace(skips=tuple(map(cut, query.skips)), trunk=cut(query.trunk))
