# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a target is likely to be when its mask cannot be trusted."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.tracking.kinematics import COAST_FRAMES
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.kinematics import shift_mask
from stm_ros.tracking.stream import EXACT_FRAMES
from stm_ros.tracking.stream import StreamState
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import geometry_for

GEOMETRY = geometry_for((96, 128), 48, 16)


def moving(velocity: tuple[float, float], frames: int) -> Motion:
    """The motion of a box of 20×10 pixels that moved steadily for some frames."""
    motion = Motion(Box(30, 40, 20, 10))
    for time in range(1, frames):
        motion = motion.seen(Box(30 + velocity[0] * time, 40 + velocity[1] * time, 20, 10))
    return motion


@given(x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_a_steady_motion_is_learnt_and_gone_on_with(x, y):
    motion = moving((x, y), 30)
    assert motion.velocity == pytest.approx((x, y), abs=0.01)
    on = motion.unseen().unseen()
    assert on.box.x_min == pytest.approx(motion.box.x_min + 2 * x, abs=0.02)
    assert on.box.y_min == pytest.approx(motion.box.y_min + 2 * y, abs=0.02)
    assert (on.box.width, on.box.height, on.coasted) == (20, 10, 2)


def test_a_leap_counts_for_no_more_than_half_the_box_and_a_return_for_nothing():
    leap = Motion(Box(0, 0, 20, 10)).seen(Box(100, 0, 20, 10))
    assert leap.velocity == pytest.approx((3.0, 0.0))
    returned = moving((2.0, 0.0), 30).unseen().seen(Box(0, 0, 20, 10))
    assert returned.velocity == pytest.approx((2.0, 0.0), abs=0.01) and returned.coasted == 0


def test_a_place_is_foretold_for_so_long_and_no_longer():
    motion = moving((1.0, 0.0), 3)
    for _ in range(COAST_FRAMES):
        motion = motion.unseen()
    assert motion.unseen() is None


@pytest.mark.parametrize('velocity', [(4.0, 0.0), (-4.0, 2.0), (0.0, -6.0), (500.0, 0.0)])
def test_a_mask_moves_along_in_the_pixels_of_the_network_and_nothing_comes_in(velocity):
    mask = torch.zeros(48, 64)
    mask[20:30, 24:40] = 1
    moved = shift_mask(mask, Motion(Box(48, 40, 32, 20), velocity), GEOMETRY)
    rows, columns = round(velocity[1] / 2), round(velocity[0] / 2)
    wanted = torch.zeros(48, 64)
    if columns < 64:
        wanted[20 + rows:30 + rows, 24 + columns:40 + columns] = 1
    assert torch.equal(moved, wanted)
    edge = torch.ones(48, 64)
    assert shift_mask(edge, Motion(Box(0, 0, 9, 9), (-4.0, 0.0)), GEOMETRY)[:, -2:].sum() == 0


def test_slow_motions_add_up():
    mask = torch.zeros(48, 64)
    mask[:, 10] = 1
    motion = Motion(Box(20, 0, 2, 90), (0.5, 0.0))
    for _ in range(12):
        mask = shift_mask(mask, motion, GEOMETRY)
        motion = motion.unseen()
    assert mask[0].argmax() == 13


def test_a_stream_goes_on_with_a_target_and_forgets_its_place_in_the_end():
    state = StreamState()
    state.see_with(GEOMETRY)
    mask = torch.zeros(48, 64)
    mask[20:30, 24:40] = 1
    for x in (40, 44, 48):
        state.trust(3, Box(x, 40, 32, 20), mask)
    state.coast(3)
    assert not torch.equal(state.masks[3], mask) and state.motions[3].coasted == 1
    for _ in range(COAST_FRAMES):
        state.coast(3)
    assert not state.masks and not state.motions
    state.coast(3)
    assert not state.masks


def test_a_target_is_expected_where_it_was_going_and_nowhere_once_its_place_is_unknown():
    state = StreamState()
    state.see_with(GEOMETRY)
    place = Box(40, 40, 20, 10)
    assert not state.expects(1, place)
    mask = torch.zeros(GEOMETRY.padded)
    for x in range(30, 70, 4):
        # until its motion is known to be steady, it may be anywhere
        assert x not in (34, 38, 42) or state.expects(1, Box(100, 40, 20, 10))
        state.trust(1, Box(x, 40, 20, 10), mask)
    assert state.expects(1, Box(68, 40, 20, 10)) and not state.expects(1, place)
    assert not state.expects(1, Box(30, 0, 90, 90)) and not state.expects(1, None)
    for _ in range(EXACT_FRAMES):
        assert not state.expects(1, place)
        state.coast(1)
    # what is foretold for longer is not exact
    assert state.expects(1, place)
    for _ in range(COAST_FRAMES):
        state.coast(1)
    assert not state.expects(1, place)


def test_another_input_size_keeps_places_and_another_image_size_does_not():
    state = StreamState()
    state.see_with(GEOMETRY)
    state.trust(1, Box(30, 40, 20, 10), torch.zeros(GEOMETRY.padded))
    state.see_with(geometry_for((96, 128), 32, 16))
    assert state.expects(1, Box(30, 40, 20, 10)) and state.prior([1]) is None
    state.coast(1)
    assert state.motions[1].coasted == 1
    state.see_with(geometry_for((90, 128), 32, 16))
    assert not state.expects(1, Box(30, 40, 20, 10))
