# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a memory frame keeps for matching at stride 8: every position near its targets, few others."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.networks.fine import FineFrame
from stm_ros.networks.fine import grid_places

#: newest frames of a stream that are matched at stride 8, beside the references
FINE_RECENT = 3
#: positions around a target that are all kept; of the rest every second row and column
_MARGIN = 6
_COVERED = 0.3


@dataclass(frozen=True)
class FineKeys:
    """Positions of one frame: key C×m, places m×2 (row, column), masks by target id, m each."""

    key: Tensor
    places: Tensor
    masks: dict[int, Tensor]

    @property
    def bytes(self) -> int:
        """What the tensors take."""
        held = (self.key, self.places, *self.masks.values())
        return sum(x.numel() * x.element_size() for x in held)

    def frame(self, targets: Sequence[int], readable: frozenset[int], anywhere: bool,
              each_its_own: bool) -> FineFrame:
        """The frame as `targets` match it, in this order.

        :param each_its_own: whether each target's queries are a batch entry of their own.
        """
        blank = torch.zeros_like(self.key[0])
        masks = torch.stack([self.masks.get(target, blank) for target in targets])
        readers = torch.tensor([[float(target in readable)] for target in targets],
                               device=masks.device)
        if each_its_own:
            return FineFrame(self.key[None], masks[:, None], self.places, anywhere, readers)
        return FineFrame(self.key[None], masks[None], self.places, anywhere, readers.T)


def keep_fine(fine: Tensor, masks: Tensor, targets: Sequence[int], corner: tuple[int, int]
              ) -> FineKeys:
    """Choose what is kept of a frame or a window of it.

    :param fine: 1×C×h×w unit vectors. :param masks: N×h×w soft masks of `targets`.
    :param corner: row and column in the frame where the window begins.
    """
    covered = masks.amax(0) > _COVERED
    near = functional.max_pool2d(covered[None, None].float(), 2 * _MARGIN + 1, 1, _MARGIN)[0, 0]
    near[::2, ::2] = 1
    chosen = near.flatten().nonzero()[:, 0]
    places = grid_places(fine.shape[2], fine.shape[3], fine.device)
    places = places + torch.tensor(corner, device=fine.device)
    return FineKeys(fine.flatten(2)[0][:, chosen], places[chosen],
                    {target: mask.flatten()[chosen].to(fine.dtype)
                     for target, mask in zip(targets, masks, strict=True)})
