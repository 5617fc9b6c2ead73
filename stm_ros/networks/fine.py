# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Matching at stride 8: masks that memory holds, carried over by the trunk's own features.

Positions of stride 16 are as large as a thin part of a target. Here the features of strides 8 and
16 together say which memory position a query position looks like, foreground and background apart
(FEELVOS, Voigtlaender et al., CVPR 2019; CFBI, Yang et al., ECCV 2020): in references anywhere, in
past frames only nearby. Nothing of it is trained, so that it fits no training data either: keys are
the principal components of ImageNet features, and the decoder learns how far to believe a match.
"""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

#: pixels of the network's input between positions
FINE_STRIDE = 8
#: stride 8 to stride 16 in the joined features: as in the trial that this grew from, not tuned
FINE_SHARE = 0.5
#: principal components that are kept of the joined features, and the temperature of cosine
#: similarities (what differs by so much counts e times as much): docs/notes/accuracy.md has the
#: ablation
KEY_CHANNELS = 64
TEMPERATURE = 0.045
#: how far a target moves between a past frame and the query: standard deviation in positions of
#: stride 8. Its square is a power of two, so that places are exact in numbers of eight bits
REACH_SQUARED = 32
REACH = REACH_SQUARED ** 0.5
#: maps that a target gets from matching, see match_memory
MATCH_CHANNELS = 5
_LEAST_LOG = -16.0
_NEGLIGIBLE = -40.0
_LOG_SCALE = 8.0
_ROWS_AT_A_TIME = 128
_MOST_LOGIT = 4.0


class FineFrame(NamedTuple):
    """A memory frame, or a part of it, for matching: m positions for B queries and N targets.

    key: B×C×m, unit length. masks: B×N×m, soft masks in [0, 1]. places: m×2, row and column in the
    frame. anywhere: whether its positions are compared with all of the query's, or with near ones.
    readers: B×N, 1 for targets that may read it, 0 for others; None for all.
    """

    key: Tensor
    masks: Tensor
    places: Tensor
    anywhere: bool
    readers: Tensor | None = None


class MatchKey(nn.Module):
    """Joins features of strides 8 and 16 to keys: their principal components, as unit vectors."""

    def __init__(self, stride8_channels: int, stride16_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(stride8_channels + stride16_channels, KEY_CHANNELS, 1)

    def forward(self, stride8: Tensor, stride16: Tensor) -> Tensor:
        """Map N×C×H/8×W/8 and N×C'×H/16×W/16 to unit vectors N×64×H/8×W/8."""
        return functional.normalize(self.project(join_features(stride8, stride16)), dim=1)

    @torch.no_grad()
    def fit(self, joined: Tensor) -> None:
        """Set the projection to the principal components of joined features n×(C+C')."""
        mean = joined.mean(0)
        components = torch.linalg.svd(joined - mean, full_matrices=False).Vh[:KEY_CHANNELS]
        self.project.weight.copy_(components[..., None, None])
        self.project.bias.copy_(-components @ mean)  # type: ignore[union-attr]


def join_features(stride8: Tensor, stride16: Tensor) -> Tensor:
    """Join features N×C×H/8×W/8 and N×C'×H/16×W/16 to N×(C+C')×H/8×W/8."""
    coarse = functional.interpolate(functional.normalize(stride16, dim=1), scale_factor=2.0,
                                    mode='bilinear', align_corners=False)
    return torch.cat([FINE_SHARE * functional.normalize(stride8, dim=1), coarse], dim=1)


def grid_places(height: int, width: int, device: torch.device) -> Tensor:
    """Rows and columns (height·width)×2 of a grid, row by row."""
    return torch.cartesian_prod(torch.arange(height, device=device),
                                torch.arange(width, device=device))


def match_memory(query: Tensor, places: Tensor, frames: Sequence[FineFrame]) -> Tensor:
    """Compare query positions with memory: what looks like each target, and like the rest.

    :param query: B×q×C, unit length. :param places: q×2 or B×q×2, row and column in the frame.
    :param frames: at least one; their B may be 1.
    :return: B×N×5×q: similarity to target and to the rest in the frames that are read anywhere,
        the same in those that are read nearby, as scaled logarithms; and the logit of the mask that
        all of them together carry over, a quarter of it.
    """
    memory = _join(frames)
    places = places if places.dim() == 3 else places[None]
    high, low = _halves(_share_of_distance(places), query.dtype)
    at = places.to(query.dtype).expand(len(query), -1, -1)
    one = torch.ones_like(at[..., :1])
    left = torch.cat([query, at, high.expand_as(one), low.expand_as(one), one, one], dim=-1)
    # as many rows at a time as a processor's cache holds
    rows = left.split(left.shape[1] if torch.is_grad_enabled() else _ROWS_AT_A_TIME, dim=1)
    sums = torch.cat([memory.sums_of(each) for each in rows], dim=1).float()
    return _maps_of(sums.unflatten(2, (-1, 4)).permute(3, 0, 2, 1))


class _JoinedFrames(NamedTuple):
    """All frames side by side, so that scores and distances are one product, as are all sums.

    right: B×(C+6)×m. columns: B×4N×m, what is each target and what is not, in the frames that are
    read anywhere, and the same in the others.
    """

    right: Tensor
    columns: Tensor

    def sums_of(self, left: Tensor) -> Tensor:
        """B×q×4N: the sums of weights for queries B×q×(C+6)."""
        # below it is nothing, and numbers near to none are slow on processors
        weights = (left @ self.right).clamp_(min=_NEGLIGIBLE).exp_()
        if len(self.columns) == 1:
            return functional.linear(weights, self.columns[0])
        return weights @ self.columns.transpose(1, 2)


def _join(frames: Sequence[FineFrame]) -> _JoinedFrames:
    rights, columns = [], []
    for frame in frames:
        key, masks = frame.key, frame.masks.to(frame.key.dtype)
        # of a squared distance one part is a product of places, the others are squares
        apart = _share_of_distance(frame.places).T
        near = torch.zeros_like(apart) if frame.anywhere else torch.ones_like(apart)
        high, low = _halves(apart * near - 1 / TEMPERATURE, key.dtype)
        where = frame.places.T * near / REACH_SQUARED
        rows = torch.cat([where.to(key.dtype), near.to(key.dtype), near.to(key.dtype), high, low])
        rights.append(torch.cat([key / TEMPERATURE, rows.expand(len(key), -1, -1)], dim=1))
        readers = masks.new_ones(masks.shape[:2]) if frame.readers is None else frame.readers
        every = readers.to(key.dtype)[..., None]
        pair, none = [masks * every, (1 - masks) * every], [torch.zeros_like(masks)] * 2
        both = torch.stack(pair + none if frame.anywhere else none + pair, dim=2)
        columns.append(both.flatten(1, 2))
    return _JoinedFrames(torch.cat(rights, dim=2), torch.cat(columns, dim=2))


def _share_of_distance(places: Tensor) -> Tensor:
    """What places ...×2 add to minus half a squared distance in REACHes: ...×1, float32."""
    return -places.float().square().sum(-1, keepdim=True) / (2 * REACH_SQUARED)


def _halves(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two numbers of a short type whose sum is `x`."""
    high = x.to(dtype)
    return high, (x - high).to(dtype)


def _maps_of(sums: Tensor) -> Tensor:
    """Maps B×N×5×q of sums 4×B×N×q; 0 where a target reads no frames anywhere, or none nearby."""
    like, unlike = sums[0::2], sums[1::2]
    reads = like + unlike > 0
    maps = [torch.where(reads[kind], 1 + _log(total[kind]) / _LOG_SCALE, 0.0)
            for kind in (0, 1) for total in (like, unlike)]
    carried = _log(like.sum(0)) - _log(unlike.sum(0))
    maps.append(carried.clamp(-_MOST_LOGIT, _MOST_LOGIT) / _MOST_LOGIT)
    return torch.stack(maps, dim=2)


def reference_logits(maps: Tensor) -> Tensor:
    """The logit N×h×w of the mask that references alone carry over, of maps N×5×h×w."""
    return (_LOG_SCALE * (maps[:, 0] - maps[:, 1])).clamp(-_MOST_LOGIT, _MOST_LOGIT)


def recent_logits(maps: Tensor) -> Tensor:
    """The same of past frames alone."""
    return (_LOG_SCALE * (maps[:, 2] - maps[:, 3])).clamp(-_MOST_LOGIT, _MOST_LOGIT)


def _log(total: Tensor) -> Tensor:
    return (total + torch.finfo(torch.float32).tiny).log().clamp(min=_LEAST_LOG)
