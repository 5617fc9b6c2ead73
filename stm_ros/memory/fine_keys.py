# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a memory frame keeps for matching at stride 8: all near its targets, little else."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stm_ros.networks.fine import FineFrame

#: newest frames of a stream that are matched at stride 8, beside the references
FINE_RECENT = 2
#: positions around a target of which every second is kept, as on a chess board; of the rest every
#: third row and column. Keeping all of them gave the same masks on dev, at twice the time
_MARGIN = 6


@dataclass(frozen=True)
class FineKeys:
    """Positions of one frame: key C×m, places m×2 (row, column), masks by target id, m each."""

    key: Tensor
    places: Tensor
    masks: dict[int, Tensor]

    @property
    def bytes(self) -> int:
        """What the tensors take."""
        return sum(each.numel() * each.element_size()
                   for each in (self.key, self.places, *self.masks.values()))

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


def keep_fine(fine: Tensor, masks: Tensor, targets: Sequence[int], corner: tuple[int, int],
              boxes: Sequence[tuple[int, int, int, int]]) -> FineKeys:
    """Choose what is kept of a frame or a window of it; nothing is asked of the device.

    :param fine: 1×C×h×w unit vectors. :param masks: N×h×w soft masks of `targets`.
    :param corner: row and column in the frame where the window begins.
    :param boxes: of the targets: first row and column in the window, and those behind the last.
    """
    height, width = fine.shape[2:]
    near = np.zeros((height, width), bool)
    near[::3, ::3] = True
    board = np.indices((height, width)).sum(0) % 2 == 0
    for top, left, bottom, right in boxes:
        rows = slice(max(0, top - _MARGIN), max(0, bottom + _MARGIN))
        columns = slice(max(0, left - _MARGIN), max(0, right + _MARGIN))
        near[rows, columns] |= board[rows, columns]
    chosen = torch.from_numpy(np.flatnonzero(near)).to(fine.device)
    places = torch.from_numpy(np.argwhere(near) + np.array(corner)).to(fine.device)
    return FineKeys(fine.flatten(2)[0][:, chosen], places,
                    {target: mask.flatten()[chosen].to(fine.dtype)
                     for target, mask in zip(targets, masks, strict=True)})
