# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A frame as it is encoded and searched: a window of it, and the targets looked for together."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stm_ros.inference.windows import Region
from stm_ros.memory.slots import Extent
from stm_ros.networks.interface import Query


@dataclass(frozen=True)
class View:
    """What was encoded of a frame: a window of its `grid` of positions (height, width)."""

    query: Query
    window: Region
    grid: tuple[int, int]

    def extent_of(self, region: Region) -> Extent:
        """A region of the frame, the window or a part of it, for the bank."""
        return Extent(*region.shape, region.top, region.left, *self.grid)

    @property
    def is_whole(self) -> bool:
        """Whether all of the frame was encoded."""
        return self.window.shape == self.grid

    def cut(self, masks: Tensor) -> Tensor:
        """The window's part of masks or cells N×H×W of the whole frame."""
        rows, columns = self.window.slices(masks.shape[1] // self.grid[0])
        return masks[:, rows, columns]


@dataclass(frozen=True)
class Search:
    """Targets that are looked for together: the whole frame, or regions of one shape.

    places: of the targets, in the bank's order. regions: each one's, empty for the whole frame.
    shape: height and width in positions of what is looked at.
    """

    places: tuple[int, ...]
    regions: tuple[Region, ...]
    shape: tuple[int, int]

    def cut_query(self, view: View) -> Query:
        """What of a view is read for and decoded: N parts, or one that is all of it."""
        if not self.regions or self.regions == (view.window,):
            return view.query
        regions = [region.within(view.window) for region in self.regions]

        def cut(x: Tensor) -> Tensor:
            factor = x.shape[2] // view.query.key.shape[2]
            parts = [x[:, :, rows, columns]
                     for rows, columns in (region.slices(factor) for region in regions)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        query = view.query
        return query._replace(key=cut(query.key), feature=cut(query.feature),
                              skips=tuple(map(cut, query.skips)),
                              fine=None if query.fine is None else cut(query.fine))

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
            return
        for place, region, part in zip(self.places, self.regions, parts, strict=True):
            into[place][region.slices(factor)] = part


def searches_for(regions: Sequence[Region | None], grid: tuple[int, int]) -> list[Search]:
    """Group targets with the given regions, None for the whole frame, by what they look at."""
    places_of: dict[tuple[int, int] | None, list[int]] = {}
    for place, region in enumerate(regions):
        places_of.setdefault(region.shape if region else None, []).append(place)
    return [Search(tuple(places), tuple(region for region in (regions[n] for n in places)
                                        if region is not None), shape or grid)
            for shape, places in places_of.items()]
