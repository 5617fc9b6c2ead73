# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Matching at stride 8: masks are carried over by likeness, nearby or anywhere."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tracker_helpers import make_tracker

from stm_ros.memory.fine_keys import FINE_RECENT
from stm_ros.memory.fine_keys import keep_fine
from stm_ros.memory.layout import BankLayout
from stm_ros.memory.slots import SlotKind
from stm_ros.networks.fine import KEY_CHANNELS
from stm_ros.networks.fine import REACH
from stm_ros.networks.fine import FineFrame
from stm_ros.networks.fine import MatchKey
from stm_ros.networks.fine import grid_places
from stm_ros.networks.fine import join_features
from stm_ros.networks.fine import match_memory
from stm_ros.networks.fine import recent_logits
from stm_ros.networks.fine import reference_logits
from stm_ros.synthetic.clips import generate_clip

SIZE = (6, 8)


def unit(seed: int, positions: int, channels: int = 12) -> torch.Tensor:
    """1×positions×channels unit vectors that differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(1, positions, channels, generator=generator).double(), dim=-1)


def frame_of(key: torch.Tensor, masks: torch.Tensor, anywhere: bool, **more) -> FineFrame:
    return FineFrame(key.transpose(1, 2), masks, grid_places(*SIZE, key.device), anywhere, **more)


PLACES = grid_places(*SIZE, torch.device('cpu'))
KEY = unit(0, 48)
MASKS = (torch.arange(96).view(1, 2, 48) % 5 == 0).double()


@pytest.mark.parametrize('anywhere', [True, False])
def test_a_frame_carries_its_own_masks_to_itself(anywhere):
    maps = match_memory(KEY, PLACES, [frame_of(KEY, MASKS, anywhere)])
    assert maps.shape == (1, 2, 5, 48)
    for target in range(2):
        logits = (reference_logits if anywhere else recent_logits)(maps[0, target][None])
        assert torch.equal(logits[0] > 0, MASKS[0, target] > 0)
        assert torch.equal(maps[0, target, 4] > 0, MASKS[0, target] > 0)
    # what is not read says nothing
    assert (maps[:, :, 2:4] == 0).all() if anywhere else (maps[:, :, :2] == 0).all()


def test_past_frames_count_nearby_only_and_references_anywhere():
    moved = KEY.roll(4, dims=1)
    far = grid_places(*SIZE, KEY.device) + torch.tensor([int(8 * REACH), 0])
    near = match_memory(moved, PLACES, [frame_of(KEY, MASKS, True)])
    away = match_memory(moved, far, [frame_of(KEY, MASKS, True)])
    assert torch.equal(near, away)
    recent = match_memory(moved, far, [frame_of(KEY, MASKS, False)])
    assert (recent[:, :, 2:4] <= 1 - 16 / 8 + 1e-9).all()


def test_targets_that_may_not_read_a_frame_hear_nothing_of_it():
    frame = frame_of(KEY, MASKS, True, readers=torch.tensor([[1.0, 0.0]]))
    maps = match_memory(KEY, PLACES, [frame])
    assert maps[0, 0, 4].abs().max() > 0.5 and (maps[0, 1, 4] == 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(48)))
def test_the_order_of_positions_does_not_matter(seed, order):
    query = unit(seed, 48)
    one = frame_of(KEY, MASKS, False)
    other = FineFrame(one.key[:, :, order], one.masks[:, :, order], one.places[order], False)
    torch.testing.assert_close(match_memory(query, PLACES, [one]),
                               match_memory(query, PLACES, [other]))


def test_swapping_targets_swaps_their_maps():
    query = unit(3, 48)
    plain = match_memory(query, PLACES, [frame_of(KEY, MASKS, True)])
    swapped = match_memory(query, PLACES, [frame_of(KEY, MASKS.flip(1), True)])
    torch.testing.assert_close(plain.flip(1), swapped)


def test_rows_are_read_a_few_at_a_time_with_the_same_result():
    query = unit(5, 48).repeat(1, 9, 1)
    places = PLACES.repeat(9, 1)
    frames = [frame_of(KEY, MASKS, True), frame_of(KEY, MASKS, False)]
    with torch.inference_mode():
        parts = match_memory(query, places, frames)
    torch.testing.assert_close(match_memory(query, places, frames), parts)


def test_keys_are_unit_vectors_of_both_strides():
    features = torch.rand(1, 40, 12, 16), torch.rand(1, 112, 6, 8)
    assert join_features(*features).shape == (1, 152, 12, 16)
    key = MatchKey(40, 112)(*features)
    assert key.shape == (1, KEY_CHANNELS, 12, 16)
    torch.testing.assert_close(key.square().sum(1), torch.ones(1, 12, 16))


def test_keys_keep_what_tells_positions_apart_and_drop_what_all_share():
    """Features that vary in 64 of 152 directions: distances in them are kept exactly."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(152, KEY_CHANNELS, generator=generator)).Q
    joined = torch.randn(500, KEY_CHANNELS, generator=generator) @ basis.T + 3.0
    match_key = MatchKey(40, 112)
    match_key.fit(joined)
    kept = match_key.project(joined.T[None, :, :, None])[0, :, :, 0].T
    assert kept.mean(0).abs().max() < 1e-3
    torch.testing.assert_close(torch.pdist(kept), torch.pdist(joined), atol=1e-3, rtol=1e-3)


def test_every_second_position_near_targets_is_kept_and_few_others():
    masks = torch.zeros(1, 60, 80)
    masks[0, 10:14, 20:26] = 1
    kept = keep_fine(torch.rand(1, 3, 60, 80), masks, [7], (4, 6), [(10, 20, 14, 26)])
    near = {(row + 4, column + 6) for row in range(4, 20) for column in range(14, 32)
            if (row + column) % 2 == 0}
    places = {tuple(place) for place in kept.places.tolist()}
    assert near <= places and len(places) < len(near) + 60 * 80 / 9 + 60
    assert 12 <= kept.masks[7].sum() <= 16 and kept.key.shape == (3, len(places))


def test_references_and_the_newest_frames_are_matched_and_older_ones_let_go():
    clip = generate_clip('occlusion', 40, (240, 320))[:10]
    tracker = make_tracker(memorize_by='frames', memorize_every=1)
    tracker.network.reads_fine = True
    tracker.add_reference(*clip[0])
    for image, _ in clip[1:]:
        tracker.step(image)
    tracker.settle()
    slots = [tracker.bank.slot(i) for i in tracker.bank.readable_slots('camera')]
    held = [slot.kind for slot in slots if slot.fine is not None]
    assert held.count(SlotKind.REFERENCE) == 1 and len(held) == 1 + FINE_RECENT
    assert all(slot.fine is not None for slot in slots[-FINE_RECENT:])


def test_a_stream_that_knows_nothing_yet_gets_its_masks_from_the_reference():
    """The reference's own image, seen by another camera: every pixel finds itself."""
    image, truth = generate_clip('occlusion', 40, (240, 320))[0]
    tracker = make_tracker()
    tracker.add_reference(image, truth)
    mask = tracker.step(image, stream='other').label_map == 1
    assert (mask & (truth == 1)).sum() / (mask | (truth == 1)).sum() > 0.9


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 12), width=st.integers(1, 20), targets=st.integers(1, 3))
def test_what_is_kept_of_a_frame_is_within_its_bound(height, width, targets):
    """Where targets are everywhere, which is the most that is kept."""
    fine, masks = torch.zeros(1, 4, 2 * height, 2 * width), torch.zeros(3, 2 * height, 2 * width)
    kept = keep_fine(fine, masks[:targets], range(targets), (0, 0), [(0, 0, 99, 99)])
    layout = BankLayout(2, targets, height * width, 2, 3, True, torch.float32, torch.float32, 4)
    assert kept.bytes <= layout.fine_bytes_per_slot


def test_a_budget_in_megabytes_holds_what_is_matched_at_stride_8_too():
    clip = generate_clip('occlusion', 40, (240, 320))[:5]
    tracker = make_tracker()
    assert tracker.network.reads_fine
    layout = tracker.runner.layout(10, 1, 15 * 20)
    assert 0.1 < layout.fine_bytes_per_slot / layout.bytes_per_slot < 1
    limit = 9 * layout.most_bytes_per_slot
    tracker = make_tracker(input_size=240, max_targets=1, max_frames=64, memorize_by='frames',
                           memorize_every=1, max_megabytes=limit / 1e6)
    whole = np.ones_like(clip[0][1])
    whole[:4] = 0
    for time in range(2):
        tracker.add_reference(clip[time][0], whole, stamp_ns=time)
    for time in range(2, 5):
        tracker.step(clip[time][0], stamp_ns=time * 10**8)
        tracker.settle()
        bank = tracker.bank
        fine = [slot.fine.bytes for slot in bank.slots if slot is not None and slot.fine]
        tensors = bank.keys.nbytes + bank.values.nbytes
        assert len(fine) >= 2 and tensors == bank.layout.bytes
        assert tensors + sum(fine) <= limit
    assert tensors + sum(fine) > tensors * 1.1, 'what is matched counts'
