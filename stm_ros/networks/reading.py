# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading memory: attention from every query position to every memory position."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: stands for the logarithm of nothing; finite, so that nothing minus nothing is no NaN
_NOTHING = -1e30
#: query positions read at a time on a processor, whose cache holds their scores
_ROWS_AT_A_TIME = 640


class Reading(NamedTuple):
    """What N targets read, for G groups and q query positions.

    readout: G×N×q×Cv, the values gathered by attention. slot_mass: G×N×S×q, the attention that
    each query position pays to each slot; sums to 1 over S. peak: G×N×q, the largest score.
    """

    readout: Tensor
    slot_mass: Tensor
    peak: Tensor


def query_factor(query: Tensor, similarity: str) -> Tensor:
    """G×q×C of a query G×q×Ck: its product with key_factor() is the score of each memory position.

    :param similarity: 'dot' for qᵀk/√Ck (STM, Oh et al. 2019, equation 2), 'l2' for
        -|q - k|²/√Ck (STCN, Cheng et al. 2021), of which left_out() is left out.
    """
    scale = query.shape[-1] ** -0.5
    if similarity == 'dot':
        return query * scale
    return torch.cat([query * (2 * scale), torch.ones_like(query[..., :1])], dim=-1)


def key_factor(key: Tensor, similarity: str) -> Tensor:
    """G×m×C of a key G×m×Ck: with l2 similarity its square is one more channel."""
    if similarity == 'dot':
        return key
    return torch.cat([key, key.square().sum(-1, keepdim=True) * -key.shape[-1] ** -0.5], dim=-1)


def left_out(query: Tensor, similarity: str) -> Tensor | float:
    """What is the same for all that a query position is compared with: G×q, or nothing."""
    if similarity == 'dot':
        return 0.0
    return query.square().sum(-1) * -query.shape[-1] ** -0.5


def read_memory(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], similarity: str,
                readable: Sequence[Sequence[bool]] | None = None, top_k: int = 0) -> Reading:
    """Gather the values of memory by attention, softmax over all readable memory positions.

    The whole matrix of attention is never held, unless `top_k` asks for a ranking: slots are
    visited one by one and merged by the sums of their exponentials, which is exact.

    :param query: G×q×Ck; groups have nothing to do with each other.
    :param keys: for each of S slots G×m×Ck, or 1×m×Ck where the groups have the key in common;
        slots may differ in their number of positions m.
    :param values: for each slot G×m×N×Cv for N targets, may be of lower precision than the keys.
    :param readable: for each of the G·N targets S, whether it may read a slot; None for
        everywhere. Every target needs one readable slot.
    :param top_k: keep only this many largest scores of each query position; 0 keeps all.
    :raises ValueError: where a target may read nothing.
    """
    if readable is not None and not all(any(row) for row in readable):
        raise ValueError('a target needs at least one memory slot that it may read')
    targets = query.shape[0] * values[0].shape[2]
    readable = readable or [[True] * len(keys)] * targets
    if top_k:
        return _read_top_k(query, keys, values, similarity, readable, top_k)
    factor = query_factor(query, similarity)
    factors = [key_factor(key, similarity) for key in keys]
    rows = query.shape[1]
    if query.device.type == 'cpu' and not torch.is_grad_enabled():
        rows = max(1, _ROWS_AT_A_TIME // query.shape[0])
    parts = [_read_slots(part, factors, values, readable)
             for part in factor.split(rows, dim=1)]
    reading = parts[0] if len(parts) == 1 else _joined(parts)
    rest = left_out(query, similarity)
    return reading if isinstance(rest, float) else reading._replace(
        peak=reading.peak + rest[:, None])


def _joined(parts: Sequence[Reading]) -> Reading:
    """Readings of consecutive query positions as one."""
    return Reading(torch.cat([part.readout for part in parts], dim=2),
                   torch.cat([part.slot_mass for part in parts], dim=3),
                   torch.cat([part.peak for part in parts], dim=2))


def _read_slots(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor],
                readable: Sequence[Sequence[bool]]) -> Reading:
    """Read slot by slot, with a query and keys whose product is the score."""
    groups, targets = values[0].shape[0], values[0].shape[2]
    whole = _GrowingReading()
    for slot, (key, value) in enumerate(zip(keys, values, strict=True)):
        readers = [row[slot] for row in readable]
        # one product, where the key is common to all groups
        rows = query if len(key) == groups else query.flatten(0, 1)[None]
        scores = (rows @ key.transpose(1, 2)).view(groups, -1, key.shape[1])
        peak = scores.amax(-1)
        attention = torch.softmax(scores, dim=-1)
        # the logarithm of the sum of exponentials, from the share of the largest in it
        log_sum = (peak - attention.amax(-1).log())[:, None].expand(-1, targets, -1)
        peak = peak[:, None].expand(-1, targets, -1)
        gathered = attention.to(value.dtype) @ value.flatten(2)
        local = gathered.unflatten(2, value.shape[2:]).transpose(1, 2).to(query.dtype)
        if not all(readers):
            shut = torch.tensor(readers, device=query.device).logical_not().view(groups, targets, 1)
            log_sum, peak = (x.masked_fill(shut, _NOTHING) for x in (log_sum, peak))
        whole.add(local, log_sum, peak)
    return whole.finished()


class _GrowingReading:
    """A reading of the slots so far, normalised over these."""

    def __init__(self) -> None:
        self.readout: Tensor | None = None
        self.log_total: Tensor | None = None
        self.peak: Tensor | None = None
        self.log_sums: list[Tensor] = []

    def add(self, local: Tensor, log_sum: Tensor, peak: Tensor) -> None:
        """Merge what a slot says by itself: readout G×N×q×Cv, log-sum and peak of scores G×N×q."""
        self.log_sums.append(log_sum)
        if self.readout is None or self.log_total is None or self.peak is None:
            self.readout, self.log_total, self.peak = local, log_sum, peak
            return
        together = torch.logaddexp(self.log_total, log_sum)
        kept = torch.exp(self.log_total - together)[..., None]
        self.readout = self.readout * kept + local * torch.exp(log_sum - together)[..., None]
        self.log_total, self.peak = together, torch.maximum(self.peak, peak)

    def finished(self) -> Reading:
        """The reading of all slots."""
        assert self.readout is not None and self.peak is not None
        mass = torch.softmax(torch.stack(self.log_sums, dim=2), dim=2)
        return Reading(self.readout, mass, self.peak)


def _read_top_k(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], similarity: str,
                readable: Sequence[Sequence[bool]], top_k: int) -> Reading:
    """Read with the `top_k` best positions only; a target that reads fewer slots ranks its own."""
    slot_of_position = _slot_of_position([key.shape[1] for key in keys], query.device)
    value = torch.cat(list(values), dim=1)
    groups, targets = value.shape[0], value.shape[2]
    key = key_factor(torch.cat(list(keys), dim=1), similarity).expand(groups, -1, -1)
    scores = (query_factor(query, similarity) @ key.transpose(1, 2))[:, None]
    is_readable = torch.tensor(readable, device=query.device).view(groups, targets, 1, -1)
    scores = scores.masked_fill(~is_readable[..., slot_of_position], _NOTHING)
    best, where = scores.topk(min(top_k, scores.shape[-1]), dim=-1)
    weights = torch.softmax(best, dim=-1)
    group = torch.arange(groups, device=query.device)[:, None, None, None]
    target = torch.arange(targets, device=query.device)[None, :, None, None]
    picked = value[group, where, target].to(weights.dtype)
    readout = (weights[..., None, :] @ picked).squeeze(3)
    mass = weights.new_zeros(*weights.shape[:3], len(keys))
    mass = mass.scatter_add(3, slot_of_position[where], weights).transpose(2, 3)
    rest = left_out(query, similarity)
    peak = best[..., 0] if isinstance(rest, float) else best[..., 0] + rest[:, None]
    return Reading(readout, mass, peak)


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
    scores = query_factor(query, similarity) @ key_factor(torch.cat(list(keys)), similarity).T
    readable = valid[_slot_of_position(sizes, valid.device)]
    attention = torch.softmax(scores.masked_fill(~readable[None], _NOTHING), dim=-1)
    return list((weight @ attention / weight.sum()).split(sizes))
