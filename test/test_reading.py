# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The memory read against the plain formula, and its symmetries."""
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.networks.reading import attention_of_target
from stm_ros.networks.reading import read_memory


def make_memory(seed: int, groups: int, per_group: int, sizes: tuple[int, ...]):
    """A query G×q×4, and keys and values of slots with `sizes` positions, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)
    return (normal(groups, 7, 4), [normal(groups, size, 4) * 2 for size in sizes],
            [normal(groups, size, per_group, 3) for size in sizes])


def read_plainly(query, keys, values, similarity, slots):
    """The formula with whole matrices, for one target whose readable slots are `slots`."""
    key = torch.cat([keys[slot] for slot in slots])
    value = torch.cat([values[slot] for slot in slots])
    if similarity == 'dot':
        scores = query @ key.T / 2
    else:
        scores = -torch.cdist(query, key).square() / 2
    return torch.softmax(scores, dim=1) @ value, scores.amax(1)


@pytest.mark.parametrize('similarity', ['dot', 'l2'])
@pytest.mark.parametrize('groups, per_group', [(1, 3), (3, 1)])
def test_read_is_softmax_over_all_readable_positions(similarity, groups, per_group):
    query, keys, values = make_memory(1, groups, per_group, (5, 2, 6))
    valid = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    valid = valid[None] if groups == 1 else valid[:, None]
    reading = read_memory(query, keys, values, similarity, valid)
    for target in range(3):
        group, index = (0, target) if groups == 1 else (target, 0)
        slots = valid[group, index].nonzero().flatten().tolist()
        expected, peak = read_plainly(query[group], [k[group] for k in keys],
                                      [v[group, :, index] for v in values], similarity, slots)
        torch.testing.assert_close(reading.readout[group, :, index], expected)
        torch.testing.assert_close(reading.peak[group, index], peak)
        unread = (~valid[group, index]).nonzero().flatten()
        assert (reading.slot_mass[group, index, unread] == 0).all()
    torch.testing.assert_close(reading.slot_mass.sum(2), torch.ones_like(reading.peak))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_the_order_of_slots_does_not_matter(seed, order):
    query, keys, values = make_memory(seed, 1, 2, (3, 4, 1, 5))
    whole = read_memory(query, keys, values, 'l2')
    moved = read_memory(query, [keys[i] for i in order], [values[i] for i in order], 'l2')
    torch.testing.assert_close(moved.readout, whole.readout)
    torch.testing.assert_close(moved.slot_mass, whole.slot_mass[:, :, list(order)])


def test_scores_far_apart_do_not_overflow_or_vanish():
    query = torch.zeros(1, 1, 2)
    keys = [torch.full((1, 1, 2), 40.0), torch.full((1, 1, 2), 400.0)]
    values = [torch.full((1, 1, 2, 1), 1.0), torch.full((1, 1, 2, 1), 9.0)]
    valid = torch.tensor([[[True, True], [False, True]]])
    reading = read_memory(query, keys, values, 'l2', valid)
    assert reading.readout.flatten().tolist() == [1.0, 9.0]
    assert reading.slot_mass[0, 1].flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize('groups, per_group', [(1, 2), (2, 1)])
def test_top_k_of_everything_is_the_whole_read(groups, per_group):
    query, keys, values = make_memory(3, groups, per_group, (5, 4))
    valid = torch.tensor([[True, True], [False, True]])
    valid = valid[None] if groups == 1 else valid[:, None]
    whole = read_memory(query, keys, values, 'l2', valid)
    ranked = read_memory(query, keys, values, 'l2', valid, top_k=100)
    for one, other in zip(whole, ranked, strict=True):
        torch.testing.assert_close(one, other)


def test_top_1_takes_the_value_of_the_nearest_key():
    query, keys, values = make_memory(4, 1, 1, (5, 4))
    reading = read_memory(query, keys, values, 'l2', top_k=1)
    key, value = torch.cat(keys, 1)[0], torch.cat(values, 1)[0, :, 0]
    nearest = torch.cdist(query[0], key).argmin(1)
    torch.testing.assert_close(reading.readout[0, :, 0], value[nearest])


def test_attention_of_a_target_agrees_with_the_mass_of_its_slots():
    query, keys, values = make_memory(5, 1, 2, (5, 2, 6))
    valid = torch.tensor([[True, True, True], [True, False, True]])
    weight = torch.rand(7, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    reading = read_memory(query, keys, values, 'l2', valid[None])
    for target in range(2):
        maps = attention_of_target(query[0], [key[0] for key in keys], 'l2', valid[target],
                                   weight)
        mass = (reading.slot_mass[0, target] * weight).sum(1) / weight.sum()
        torch.testing.assert_close(torch.stack([part.sum() for part in maps]), mass)
