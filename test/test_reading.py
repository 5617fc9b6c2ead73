# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The memory read against the plain formula, and its symmetries."""
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.networks import reading as reading_module
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


READABLE = [[True, True, True], [True, False, True], [False, True, False]]


@pytest.mark.parametrize('similarity', ['dot', 'l2'])
@pytest.mark.parametrize('rows', [2, 320])
def test_read_is_softmax_over_all_readable_positions(similarity, rows, monkeypatch):
    monkeypatch.setattr(reading_module, '_ROWS_AT_A_TIME', 2 * rows)
    query, keys, values = make_memory(1, 2, 3, (5, 2, 6))
    reading = read_memory(query, keys, values, similarity, READABLE * 2)
    for group, target in itertools.product(range(2), range(3)):
        slots = [slot for slot in range(3) if READABLE[target][slot]]
        expected, peak = read_plainly(query[group], [k[group] for k in keys],
                                      [v[group, :, target] for v in values], similarity, slots)
        torch.testing.assert_close(reading.readout[group, target], expected)
        torch.testing.assert_close(reading.peak[group, target], peak)
        unread = [slot for slot in range(3) if slot not in slots]
        assert (reading.slot_mass[group, target, unread] == 0).all()
    torch.testing.assert_close(reading.slot_mass.sum(2), torch.ones_like(reading.peak))


@pytest.mark.parametrize('similarity', ['dot', 'l2'])
@pytest.mark.parametrize('top_k', [0, 4])
def test_groups_that_share_a_key_read_as_with_keys_of_their_own(similarity, top_k):
    query, keys, values = make_memory(4, 3, 2, (5, 2))
    common = [key[:1] for key in keys]
    shared = read_memory(query, common, values, similarity, top_k=top_k)
    apart = read_memory(query, [key.expand(3, -1, -1) for key in common], values, similarity,
                        top_k=top_k)
    for one, other in zip(shared[:3], apart[:3], strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(shared.readout[0], shared.readout[1])


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
    reading = read_memory(query, keys, values, 'l2', [[True, True], [False, True]])
    assert reading.readout.flatten().tolist() == [1.0, 9.0]
    assert reading.slot_mass[0, 1].flatten().tolist() == [0.0, 1.0]


def test_a_target_without_anything_to_read_is_refused():
    query, keys, values = make_memory(2, 1, 1, (3,))
    with pytest.raises(ValueError, match='at least one memory slot'):
        read_memory(query, keys, values, 'l2', [[False]])


def test_top_k_of_everything_is_the_whole_read():
    query, keys, values = make_memory(3, 2, 2, (5, 4))
    readable = [[True, True], [False, True]] * 2
    whole = read_memory(query, keys, values, 'l2', readable)
    ranked = read_memory(query, keys, values, 'l2', readable, top_k=100)
    for one, other in zip(whole[:3], ranked[:3], strict=True):
        torch.testing.assert_close(one, other)


def test_top_1_takes_the_value_of_the_nearest_key():
    query, keys, values = make_memory(4, 1, 1, (5, 4))
    reading = read_memory(query, keys, values, 'l2', top_k=1)
    key, value = torch.cat(keys, 1)[0], torch.cat(values, 1)[0, :, 0]
    nearest = torch.cdist(query[0], key).argmin(1)
    torch.testing.assert_close(reading.readout[0, 0], value[nearest])


def test_attention_of_a_target_agrees_with_the_mass_of_its_slots():
    query, keys, values = make_memory(5, 1, 2, (5, 2, 6))
    valid = torch.tensor([[True, True, True], [True, False, True]])
    weight = torch.rand(7, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    reading = read_memory(query, keys, values, 'l2', valid.tolist())
    for target in range(2):
        maps = attention_of_target(query[0], [key[0] for key in keys], 'l2', valid[target],
                                   weight)
        mass = (reading.slot_mass[0, target] * weight).sum(1) / weight.sum()
        torch.testing.assert_close(torch.stack([part.sum() for part in maps]), mass)
