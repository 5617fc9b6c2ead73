# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How things move: in pixels and seconds, whatever frames are seen."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tracker_helpers import iou_of_boxes

from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.kinematics import GATE
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.stream import FRAME_NS
from stm_ros.tracking.stream import Stream
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import geometry_for
from stm_ros.vision.prepare import shift_mask

GEOMETRY = geometry_for((96, 128), 48, 16)
CONFIG = TrackerConfig()


def place(seconds: float, speed: tuple[float, float] = (60.0, -20.0)) -> Box:
    """A box of 20×10 pixels that moves at a constant speed."""
    return Box(30 + speed[0] * seconds, 80 + speed[1] * seconds, 20, 10)


@given(steps=st.lists(st.integers(1, 4), min_size=25, max_size=40))
def test_a_constant_speed_is_predicted_whatever_frames_are_dropped(steps):
    """A node drops frames by design: every first to fourth is seen, at random."""
    now, motion = 0.0, Motion.at(place(0.0))
    for step in steps:
        now += step / 30
        motion = motion.after(step / 30)
        expected = motion.box
        motion = motion.seen(place(now))
    assert iou_of_boxes(expected, place(now)) > 0.95
    assert motion.velocity == pytest.approx((60.0, -20.0), rel=0.05)


def test_two_short_steps_are_one_long_step():
    motion = Motion.at(place(0.0)).after(0.04).seen(place(0.04))
    once, twice = motion.after(0.2), motion.after(0.08).after(0.12)
    assert once.box == twice.box and once.variance == pytest.approx(twice.variance)
    assert once.age == pytest.approx(twice.age)


def test_a_place_gets_less_sure_until_it_is_seen():
    motion = Motion.at(place(0.0)).after(0.04).seen(place(0.04))
    spreads = [motion.after(seconds).spread for seconds in (0.04, 0.1, 0.3, 0.7)]
    assert spreads == sorted(spreads) and spreads[0] < 2 and spreads[-1] > 20
    assert motion.after(0.3).seen(place(0.34)).spread < 1


@given(share=st.floats(0.2, 0.9))
def test_a_part_of_a_thing_moves_it_less_than_all_of_it(share):
    motion = Motion.at(Box(50, 40, 40, 40)).after(0.04).seen(Box(50, 40, 40, 40)).after(0.04)
    part = Box(50, 40, 40 * share, 40)
    whole, hidden = motion.seen(part), motion.seen(part, is_whole=False)
    assert abs(hidden.box.center[0] - 70) <= abs(whole.box.center[0] - 70) + 1e-6
    assert hidden.box.width == 40 and whole.box.width == pytest.approx(40 * share)


def test_the_gate_holds_the_parts_of_a_thing_and_not_what_stands_beside_it():
    motion = Motion.at(Box(50, 40, 40, 20)).after(1 / 30)
    inside = motion.distance(np.array([51.0, 70.0, 89.0]), np.array([41.0, 50.0, 59.0]))
    assert (inside < GATE).all()
    assert motion.distance(np.array([150.0]), np.array([50.0])) > GATE


def test_surprise_is_of_two_degrees_of_freedom():
    motion = Motion.at(Box(0, 0, 20, 20)).after(0.04)
    assert motion.surprise(Box(0, 0, 20, 20)) == 0
    assert motion.surprise(Box(40, 0, 20, 20)) > GATE


@pytest.mark.parametrize('shift', [(8.0, 0.0), (-8.0, 4.0), (0.0, -12.0), (500.0, 0.0)])
def test_a_mask_moves_in_the_pixels_of_the_network_and_nothing_comes_in(shift):
    mask = torch.zeros(48, 64)
    mask[20:30, 24:40] = 1
    moved = shift_mask(mask, shift, GEOMETRY)
    rows, columns = round(shift[1] / 2), round(shift[0] / 2)
    wanted = torch.zeros(48, 64)
    if columns < 64:
        wanted[20 + rows:30 + rows, 24 + columns:40 + columns] = 1
    assert torch.equal(moved, wanted)
    assert shift_mask(torch.ones(48, 64), (-8.0, 0.0), GEOMETRY)[:, -4:].sum() == 0


def seen_stream(frames: int = 6) -> Stream:
    """A stream in which target 3 moved 4 pixels to the right in each frame."""
    mask = torch.zeros(48, 64)
    mask[20:30, 24:40] = 1
    stream = Stream(geometry=GEOMETRY, stamp_ns=0, tracks={
        3: Track(3, state=TargetState.TRACKING).believed(Box(40, 40, 32, 20), mask, 640)})
    for time in range(1, frames):
        stream = stream.predict(time * FRAME_NS, GEOMETRY, CONFIG)
        track = stream.track(3).believed(Box(40 + 4 * time, 40, 32, 20), mask, 640)
        stream = stream.with_reference([track])
    return stream


def test_a_stream_moves_its_masks_on_by_the_seconds_that_passed():
    stream = seen_stream()
    for frames in (1, 3):
        ahead = stream.predict(stream.stamp_ns + frames * FRAME_NS, GEOMETRY, CONFIG)
        prior = ahead.prior([3])
        # 4 pixels a frame are 2 of the network's
        assert abs(int(prior[0, 25].argmax()) - 24 - 2 * frames) <= 1
    assert stream.prior([4]) is None


def test_predicting_changes_nothing():
    stream = seen_stream()
    track = stream.track(3)
    stream.predict(stream.stamp_ns + 10 ** 9, GEOMETRY, CONFIG)
    assert stream.track(3) is track


def test_a_place_is_predicted_for_so_many_seconds_and_no_longer():
    stream = seen_stream()
    coasted = stream.predict(stream.stamp_ns + int(0.6e9), GEOMETRY, CONFIG)
    assert coasted.track(3).motion is not None
    coasted = coasted.predict(coasted.stamp_ns + int(0.3e9), GEOMETRY, CONFIG)
    coasted = coasted.predict(coasted.stamp_ns + FRAME_NS, GEOMETRY, CONFIG)
    assert coasted.track(3).motion is None and coasted.prior([3]) is None
    assert coasted.region_of(3, 16, CONFIG) is None


def test_another_input_size_keeps_places_and_another_image_size_does_not():
    stream = seen_stream()
    later = stream.stamp_ns + FRAME_NS
    resized = stream.predict(later, geometry_for((96, 128), 32, 16), CONFIG)
    assert resized.track(3).motion is not None and resized.prior([3]) is None
    other = stream.predict(later, geometry_for((90, 128), 32, 16), CONFIG)
    assert other.track(3).motion is None


def test_frames_of_one_stamp_are_a_frame_apart():
    stream = seen_stream()
    same = stream.predict(stream.stamp_ns, GEOMETRY, CONFIG)
    next_one = stream.predict(stream.stamp_ns + FRAME_NS, GEOMETRY, CONFIG)
    assert same.track(3).motion.box == next_one.track(3).motion.box
