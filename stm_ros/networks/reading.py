# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading memory: attention from every query position to every memory position."""
from typing import NamedTuple

import torch
from torch import Tensor

# Memory positions scored at once where only the largest few are kept.
_MASKED = float('-inf')


class Reading(NamedTuple):
    """What a read returns, for G key groups of N/G targets each and q query positions.

    readout: G×q×N/G×Cv, the values gathered by attention.
    slot_mass: G×N/G×S×q, the attention each query position pays to each slot; sums to 1 over S.
    peak: G×N/G×q, the largest score over the readable positions.
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
    products = query @ key.transpose(1, 2)
    if similarity == 'dot':
        return products * scale
    squares = key.square().sum(-1)[:, None] + query.square().sum(-1)[..., None]
    return (2 * products - squares) * scale


def read_memory(query: Tensor, keys: Tensor, values: Tensor, similarity: str,
                valid: Tensor | None = None, top_k: int = 0) -> Reading:
    """Gather the values of memory by attention, softmax over all readable memory positions.

    The whole matrix of attention is never held: slots are visited one by one and merged by the
    running maximum of their scores, which is exact.

    :param query: G×q×Ck; G is 1 where all targets share the key, else the number of targets.
    :param keys: G×S×m×Ck, S slots of m positions each.
    :param values: G×S×m×(N/G)×Cv, may be of lower precision than the keys.
    :param valid: G×N/G×S bool, whether a target may read a slot; None for everywhere. Every
        target needs one readable slot.
    :param top_k: keep only this many largest scores of each query position; 0 keeps all.
    """
    if valid is None:
        valid = torch.ones(values.shape[0], values.shape[3], values.shape[1],
                           dtype=torch.bool, device=values.device)
    if top_k:
        return _read_top_k(query, keys, values, similarity, valid, top_k)
    return _read_slotwise(query, keys, values, similarity, valid)


def _read_slotwise(query: Tensor, keys: Tensor, values: Tensor, similarity: str,
                   valid: Tensor) -> Reading:
    groups, positions, _ = query.shape
    per_group, channels = values.shape[3:]
    peak = query.new_full((groups, per_group, positions), _MASKED)
    gathered = query.new_zeros(groups, positions, per_group, channels)
    slot_peaks: list[Tensor] = []
    slot_sums: list[Tensor] = []
    for slot in range(keys.shape[1]):
        scores = scores_of(query, keys[:, slot], similarity)
        slot_peak = scores.amax(-1)
        weights = torch.exp(scores - slot_peak[..., None])
        slot_sums.append(weights.sum(-1))
        slot_peaks.append(slot_peak)
        flat = values[:, slot].flatten(2)
        local = (weights.to(flat.dtype) @ flat).to(query.dtype).unflatten(2, (per_group, channels))
        readable = valid[:, :, slot, None]
        here = torch.where(readable, slot_peak[:, None], _MASKED)
        new_peak = torch.maximum(peak, here)
        kept = _exp_of_difference(peak, new_peak)
        added = _exp_of_difference(here, new_peak)
        gathered = (gathered * kept.transpose(1, 2)[..., None]
                    + local * added.transpose(1, 2)[..., None])
        peak = new_peak
    share = torch.stack([
        _exp_of_difference(torch.where(valid[:, :, slot, None], slot_peaks[slot][:, None], _MASKED),
                           peak) * slot_sums[slot][:, None]
        for slot in range(keys.shape[1])], dim=2)
    total = share.sum(2)
    return Reading(gathered / total.transpose(1, 2)[..., None], share / total[:, :, None], peak)


def _exp_of_difference(score: Tensor, peak: Tensor) -> Tensor:
    """exp(score - peak), 0 where the score is masked, also where both are."""
    masked = torch.isneginf(score)
    return torch.where(masked, 0, torch.exp(torch.where(masked, 0, score - peak)))


def _read_top_k(query: Tensor, keys: Tensor, values: Tensor, similarity: str,
                valid: Tensor, top_k: int) -> Reading:
    """Read with the `top_k` best positions only; a target that reads fewer slots ranks its own."""
    groups, slots, positions, _ = keys.shape
    scores = scores_of(query, keys.flatten(1, 2), similarity)
    readouts, masses, peaks = [], [], []
    for index in range(values.shape[3]):
        allowed = valid[:, index].repeat_interleave(positions, dim=1)[:, None]
        own = scores.masked_fill(~allowed, _MASKED)
        best, where = own.topk(min(top_k, slots * positions), dim=-1)
        weights = torch.softmax(best, dim=-1)
        value = values[:, :, :, index].flatten(1, 2)
        picked = torch.stack([value[group][where[group]] for group in range(groups)])
        readouts.append((weights[..., None, :] @ picked.to(weights.dtype)).squeeze(2))
        mass = weights.new_zeros(groups, query.shape[1], slots)
        masses.append(mass.scatter_add(2, where // positions, weights).transpose(1, 2))
        peaks.append(best[..., 0])
    return Reading(torch.stack(readouts, 2), torch.stack(masses, 1), torch.stack(peaks, 1))


def attention_of_target(query: Tensor, keys: Tensor, similarity: str, valid: Tensor,
                        weight: Tensor) -> Tensor:
    """Attention mass on every memory position, averaged over query positions by `weight`.

    :param query: q×Ck.
    :param keys: S×m×Ck.
    :param valid: S bool, the slots that the target reads.
    :param weight: q, non-negative, with a positive sum.
    :return: S×m, sums to 1; the slots not read hold 0.
    """
    positions = keys.shape[1]
    scores = scores_of(query[None], keys.flatten(0, 1)[None], similarity)[0]
    scores = scores.masked_fill(~valid.repeat_interleave(positions)[None], _MASKED)
    attention = torch.softmax(scores, dim=-1)
    return (weight @ attention / weight.sum()).unflatten(0, (-1, positions))
