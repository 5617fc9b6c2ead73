# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading memory: attention from every query position to every memory position."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_MASKED = float('-inf')


class Reading(NamedTuple):
    """What a read returns, for G key groups of n targets each and q query positions.

    readout: G×q×n×Cv, the values gathered by attention.
    slot_mass: G×n×S×q, the attention each query position pays to each slot; sums to 1 over S.
    peak: G×n×q, the largest score over the readable positions.
    """

    readout: Tensor
    slot_mass: Tensor
    peak: Tensor


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


def read_memory(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor],
                similarity: str, valid: Tensor | None = None, top_k: int = 0) -> Reading:
    """Gather the values of memory by attention, softmax over all readable memory positions.

    The whole matrix of attention is never held, unless `top_k` asks for a ranking: slots are
    visited one by one and merged by the sums of their exponentials, which is exact.

    :param query: G×q×Ck; G is 1 where all targets share the key, else the number of targets.
    :param keys: for each of S slots G×m×Ck; slots may differ in their number of positions m.
    :param values: for each slot G×m×n×Cv, may be of lower precision than the keys.
    :param valid: G×n×S bool, whether a target may read a slot; None for everywhere. Every
        target needs one readable slot.
    :param top_k: keep only this many largest scores of each query position; 0 keeps all.
    """
    if valid is None:
        groups, _, per_group, _ = values[0].shape
        valid = torch.ones(groups, per_group, len(keys), dtype=torch.bool, device=query.device)
    if top_k:
        return _read_top_k(query, keys, values, similarity, valid, top_k)
    return _read_slotwise(query, keys, values, similarity, valid)


def _read_slotwise(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor],
                   similarity: str, valid: Tensor) -> Reading:
    groups, positions, _ = query.shape
    per_group, channels = values[0].shape[2:]
    peak = query.new_full((groups, per_group, positions), _MASKED)
    total = peak
    gathered = query.new_zeros(groups, positions, per_group, channels)
    evidence: list[Tensor] = []
    for slot, (key, value) in enumerate(zip(keys, values, strict=True)):
        scores = scores_of(query, key, similarity)
        slot_peak = scores.amax(-1)
        attention = torch.softmax(scores, dim=-1)
        # the logarithm of the sum of exponentials, from the share of the largest in it
        log_sum = slot_peak - attention.amax(-1).log()
        local = (attention.to(value.dtype) @ value.flatten(2)).to(query.dtype)
        hidden = ~valid[:, :, slot, None]
        here = log_sum[:, None].masked_fill(hidden, _MASKED)
        together = torch.logaddexp(total, here)
        kept = _exp_of_difference(total, together).transpose(1, 2)[..., None]
        added = _exp_of_difference(here, together).transpose(1, 2)[..., None]
        gathered = gathered * kept + local.unflatten(2, (per_group, channels)) * added
        peak = torch.maximum(peak, slot_peak[:, None].masked_fill(hidden, _MASKED))
        total = together
        evidence.append(here)
    mass = torch.softmax(torch.stack(evidence, dim=2), dim=2)
    return Reading(gathered, mass, peak)


def _exp_of_difference(score: Tensor, total: Tensor) -> Tensor:
    """exp(score - total), 0 where the score is masked, also where both are."""
    masked = torch.isneginf(score)
    return torch.exp((score - total).masked_fill(masked, 0)).masked_fill(masked, 0)


def _read_top_k(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor],
                similarity: str, valid: Tensor, top_k: int) -> Reading:
    """Read with the `top_k` best positions only; a target that reads fewer slots ranks its own."""
    slot_of_position = _slot_of_position([key.shape[1] for key in keys], query.device)
    scores = scores_of(query, torch.cat(list(keys), dim=1), similarity)
    value = torch.cat(list(values), dim=1)
    groups = torch.arange(query.shape[0], device=query.device)[:, None, None]
    readouts, masses, peaks = [], [], []
    for index in range(value.shape[2]):
        own = scores.masked_fill(~valid[:, index, slot_of_position][:, None], _MASKED)
        best, where = own.topk(min(top_k, own.shape[-1]), dim=-1)
        weights = torch.softmax(best, dim=-1)
        picked = value[:, :, index][groups, where].to(weights.dtype)
        readouts.append((weights[..., None, :] @ picked).squeeze(2))
        mass = weights.new_zeros(query.shape[0], query.shape[1], len(keys))
        masses.append(mass.scatter_add(2, slot_of_position[where], weights).transpose(1, 2))
        peaks.append(best[..., 0])
    return Reading(torch.stack(readouts, 2), torch.stack(masses, 1), torch.stack(peaks, 1))


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
