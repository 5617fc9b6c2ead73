# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading memory: attention from every query position to every memory position."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_MASKED = float('-inf')


class TargetReading(NamedTuple):
    """What one target reads, for G groups and q query positions.

    readout: G×q×Cv, the values gathered by attention. slot_mass: G×S×q, the attention that each
    query position pays to each slot; sums to 1 over S. peak: G×q, the largest score.
    anchored: G×q×Cv, what the anchors alone say, where there are any.
    """

    readout: Tensor
    slot_mass: Tensor
    peak: Tensor
    anchored: Tensor | None = None


def scores_of(query: Tensor, key: Tensor, similarity: str) -> Tensor:
    """Score every query position against every memory position.

    :param query: G×q×Ck.
    :param key: G×m×Ck.
    :param similarity: 'dot' for qᵀk/√Ck (STM, Oh et al. 2019, equation 2), 'l2' for
        -|q - k|²/√Ck (STCN, Cheng et al. 2021).
    :return: G×q×m, in the dtype of the query.
    """
    scale = query.shape[-1] ** -0.5
    if similarity == 'dot':
        return (query * scale) @ key.transpose(1, 2)
    # one pass over the matrix instead of four: the squares come in with the product
    squares = key.square().sum(-1)[:, None] + query.square().sum(-1)[..., None]
    return torch.baddbmm(squares, query, key.transpose(1, 2), beta=-scale, alpha=2 * scale)


def read_memory(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], similarity: str,
                readable: Sequence[Sequence[bool]] | None = None, top_k: int = 0,
                rows: Sequence[Tensor | None] | None = None, anchors: Sequence[bool] = ()
                ) -> list[TargetReading]:
    """Gather the values of memory by attention, softmax over all readable memory positions.

    The whole matrix of attention is never held, unless `top_k` asks for a ranking: slots are
    visited one by one and merged by the sums of their exponentials, which is exact.

    :param query: G×q×Ck; groups have nothing to do with each other.
    :param keys: for each of S slots G×m×Ck; slots may differ in their number of positions m.
    :param values: for each slot G×m×N×Cv for N targets, may be of lower precision than the keys.
    :param readable: N×S, whether a target may read a slot; None for everywhere. Every target
        needs one readable slot.
    :param top_k: keep only this many largest scores of each query position; 0 keeps all.
    :param rows: for each target the query positions that it reads for, int64; None for all.
    :param anchors: S, the slots that are also read by themselves; not with `top_k`.
    """
    targets = values[0].shape[2]
    readable = readable or [[True] * len(keys)] * targets
    rows = rows or [None] * targets
    if top_k:
        return _read_top_k(query, keys, values, similarity, readable, top_k, rows)
    readings = [_GrowingReading() for _ in range(targets)]
    for slot, (key, value) in enumerate(zip(keys, values, strict=True)):
        scores = scores_of(query, key, similarity)
        peak = scores.amax(-1)
        attention = torch.softmax(scores, dim=-1)
        # the logarithm of the sum of exponentials, from the share of the largest in it
        log_sum = peak - attention.amax(-1).log()
        attention = attention.to(value.dtype)
        gathered = None
        if all(row is None for row in rows):
            gathered = (attention @ value.flatten(2)).unflatten(2, value.shape[2:])
        for target, (reading, row) in enumerate(zip(readings, rows, strict=True)):
            own = _pick(log_sum, row)
            if not readable[target][slot]:
                reading.skip(own)
                continue
            if gathered is not None:
                local = gathered[:, :, target]
            else:
                local = _pick(attention, row) @ value[:, :, target]
            reading.add(local.to(query.dtype), own, _pick(peak, row),
                        is_anchor=bool(anchors) and anchors[slot])
    return [reading.finished() for reading in readings]


def _pick(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x[:, rows]


class _GrowingReading:
    """A target's reading of the slots so far, normalised over these."""

    def __init__(self) -> None:
        self.readout: Tensor | None = None
        self.log_total: Tensor | None = None
        self.peak: Tensor | None = None
        self.log_sums: list[Tensor] = []
        self.anchored: _GrowingReading | None = None

    def skip(self, log_sum: Tensor) -> None:
        """Pass over a slot that the target does not read."""
        self.log_sums.append(torch.full_like(log_sum, _MASKED))

    def add(self, local: Tensor, log_sum: Tensor, peak: Tensor, is_anchor: bool = False) -> None:
        """Merge what a slot says by itself: readout G×q×Cv, log-sum and peak of scores G×q."""
        self.log_sums.append(log_sum)
        if is_anchor:
            self.anchored = self.anchored or _GrowingReading()
            self.anchored.add(local, log_sum, peak)
        if self.readout is None or self.log_total is None or self.peak is None:
            self.readout, self.log_total, self.peak = local, log_sum, peak
            return
        together = torch.logaddexp(self.log_total, log_sum)
        kept = torch.exp(self.log_total - together)[..., None]
        self.readout = self.readout * kept + local * torch.exp(log_sum - together)[..., None]
        self.log_total, self.peak = together, torch.maximum(self.peak, peak)

    def finished(self) -> TargetReading:
        """The reading of all slots."""
        if self.readout is None or self.peak is None:
            raise ValueError('a target needs at least one memory slot that it may read')
        mass = torch.softmax(torch.stack(self.log_sums, dim=1), dim=1)
        anchored = None if self.anchored is None else self.anchored.readout
        return TargetReading(self.readout, mass, self.peak, anchored)


def _read_top_k(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], similarity: str,
                readable: Sequence[Sequence[bool]], top_k: int, rows: Sequence[Tensor | None]
                ) -> list[TargetReading]:
    """Read with the `top_k` best positions only; a target that reads fewer slots ranks its own."""
    slot_of_position = _slot_of_position([key.shape[1] for key in keys], query.device)
    scores = scores_of(query, torch.cat(list(keys), dim=1), similarity)
    value = torch.cat(list(values), dim=1)
    groups = torch.arange(query.shape[0], device=query.device)[:, None, None]
    readings = []
    for target, row in enumerate(rows):
        readable_positions = torch.tensor(readable[target], device=query.device)[slot_of_position]
        own = _pick(scores, row).masked_fill(~readable_positions, _MASKED)
        best, where = own.topk(min(top_k, own.shape[-1]), dim=-1)
        weights = torch.softmax(best, dim=-1)
        picked = value[:, :, target][groups, where].to(weights.dtype)
        readout = (weights[..., None, :] @ picked).squeeze(2)
        mass = weights.new_zeros(query.shape[0], weights.shape[1], len(keys))
        mass = mass.scatter_add(2, slot_of_position[where], weights).transpose(1, 2)
        readings.append(TargetReading(readout, mass, best[..., 0]))
    return readings


def _slot_of_position(sizes: list[int], device: torch.device) -> Tensor:
    """The slot that each position lies in, for slots with `sizes` positions."""
    return torch.cat([torch.full((size,), slot, device=device)
                      for slot, size in enumerate(sizes)])


def attention_of_target(query: Tensor, keys: Sequence[Tensor], similarity: str, valid: Tensor,
                        weight: Tensor) -> list[Tensor]:
    """Attention mass on every memory position, averaged over query positions by `weight`.

    :param query: q×Ck.
    :param keys: for each slot m×Ck.
    :param valid: S bool, the slots that the target reads.
    :param weight: q, non-negative, with a positive sum.
    :return: for each slot m; all together sum to 1, and slots not read hold 0.
    """
    sizes = [key.shape[0] for key in keys]
    scores = scores_of(query[None], torch.cat(list(keys))[None], similarity)[0]
    readable = valid[_slot_of_position(sizes, valid.device)]
    attention = torch.softmax(scores.masked_fill(~readable[None], _MASKED), dim=-1)
    return list((weight @ attention / weight.sum()).split(sizes))
