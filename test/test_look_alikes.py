# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Two things that look the same: place tells them apart, and when it cannot, that is said."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracker_helpers import follow
from tracker_helpers import iou

from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.look_alikes import MOST_LOOK_ALIKES
from stm_ros.tracking.look_alikes import MOST_SHARED
from stm_ros.tracking.look_alikes import Cells
from stm_ros.tracking.look_alikes import LookAlike
from stm_ros.tracking.look_alikes import completed
from stm_ros.tracking.look_alikes import tell_apart
from stm_ros.tracking.motion import COAST_FRAMES
from stm_ros.tracking.motion import Motion
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import geometry_for

GEOMETRY = geometry_for((240, 320), 240, 16)
CELLS = Cells.of_input(GEOMETRY, 4)
SIDE = 40


def square(x: float, y: float = 100, side: int = SIDE) -> np.ndarray:
    """240×320 with a square whose left upper corner is at (x, y)."""
    mask = np.zeros((240, 320), bool)
    mask[max(0, round(y)):max(0, round(y + side)), max(0, round(x)):max(0, round(x + side))] = True
    return mask


def coarse(mask: np.ndarray) -> np.ndarray:
    """The mask on cells of 4×4 pixels."""
    return mask.reshape(60, 4, 80, 4).mean((1, 3)) >= 0.5


def at(x: float, y: float = 100) -> Box:
    return Box(x, y, SIDE, SIDE)


def test_a_target_alone_is_left_as_it_is():
    for mask in (square(50), square(50) | square(100, side=9), np.zeros((240, 320), bool)):
        parting = tell_apart(mask, coarse(mask), CELLS, Motion(at(50)), ())
        assert parting.own is mask and parting.look_alikes == () and parting.shared == 0


def test_what_looks_like_it_elsewhere_at_the_same_time_is_another_thing():
    both = square(50) | square(200)
    parting = tell_apart(both, coarse(both), CELLS, Motion(at(50)), ())
    assert np.array_equal(parting.own, square(50))
    assert [each.motion.box for each in parting.look_alikes] == [at(200)]
    # and where nobody knows where the target is, either may be it
    anywhere = tell_apart(both, coarse(both), CELLS, None, ())
    assert anywhere.own is both and not anywhere.look_alikes


def test_it_is_noticed_though_the_mask_is_right():
    parting = tell_apart(square(50), coarse(square(50) | square(200)), CELLS, Motion(at(50)), ())
    assert np.array_equal(parting.own, square(50)) and len(parting.look_alikes) == 1


def test_a_target_that_leapt_is_not_taken_for_its_double():
    # a remnant where it was, which is not much like it, and all of it elsewhere
    mask = square(50, side=9) | square(200)
    assert tell_apart(mask, coarse(mask), CELLS, Motion(at(50)), ()).own is mask


def test_what_is_small_or_near_may_be_a_part_of_it():
    for other in (square(200, side=16), square(92, side=30)):
        mask = square(50) | other
        assert tell_apart(mask, coarse(mask), CELLS, Motion(at(50)), ()).own is mask


def test_a_double_that_is_known_takes_its_pixels_and_the_bridge_is_shared():
    known = (LookAlike(Motion(at(110))),)
    mask = square(50) | square(110) | square(80, 110, 35)
    parting = tell_apart(mask, coarse(mask), CELLS, Motion(at(50)), known)
    assert parting.own[square(50)].all() and not parting.own[square(110)].any()
    assert parting.own[:, :99].sum() > SIDE * SIDE and not parting.own[:, 101:].any()


def test_far_from_a_known_double_a_lost_target_can_be_found():
    known = (LookAlike(Motion(at(200))),)
    mask = square(50) | square(200)
    parting = tell_apart(mask, coarse(mask), CELLS, None, known)
    assert np.array_equal(parting.own, square(50))
    assert parting.look_alikes[0].motion.box == at(200)


def test_no_more_are_followed_than_is_said():
    mask = np.zeros((240, 320), bool)
    for place in range(3 * MOST_LOOK_ALIKES):
        mask |= square(20 + 76 * (place % 4), 12 + 80 * (place // 4), side=32)
    parting = tell_apart(mask, coarse(mask), CELLS, Motion(Box(20, 12, 32, 32)), ())
    assert len(parting.look_alikes) == MOST_LOOK_ALIKES
    assert np.array_equal(parting.own, square(20, 12, 32))


def test_one_that_is_gone_is_forgotten_in_the_end():
    known = (LookAlike(Motion(at(200)), 5),)
    for _ in range(COAST_FRAMES):
        known = tell_apart(square(50), coarse(square(50)), CELLS, Motion(at(50)),
                           known).look_alikes
        assert known and known[0].together == 5
    assert not tell_apart(square(50), coarse(square(50)), CELLS, Motion(at(50)),
                          known).look_alikes


@pytest.mark.parametrize('mirrored', [False, True])
def test_two_that_cross_leave_as_they_came(mirrored):
    """The network sees both as one thing all the time; the motions alone keep them apart."""
    motion, known, shares = Motion(at(240 if mirrored else 40)), (), []
    for time in range(40):
        left, right = 40 + 4.0 * time, 240 - 4.0 * time
        own, other = (right, left) if mirrored else (left, right)
        mask = square(own) | square(other, 108)
        parting = tell_apart(mask, coarse(mask), CELLS, motion, known)
        known = parting.look_alikes
        shares.append(parting.shared)
        if parting.shared > MOST_SHARED:
            motion = motion.unseen()
        else:
            rows, columns = np.nonzero(parting.own)
            assert abs(columns.mean() - own - SIDE / 2) < 6
            motion = motion.seen(Box(columns.min(), rows.min(), np.ptp(columns) + 1.0,
                                     np.ptp(rows) + 1.0))
    assert not parting.own[square(other, 108)].any()
    assert max(shares) > 0.5 and shares[5] == shares[-1] == 0


@given(x=st.integers(0, 60), width=st.integers(1, 80), expected=st.floats(0, 60),
       extent=st.floats(20, 60))
def test_a_part_says_where_the_whole_is_at_least(x, width, expected, extent):
    box = completed(Box(x, 5, width, 10), Box(expected, 5, extent, 10))
    assert 0.97 * extent <= box.width <= 1.11 * extent and (box.y_min, box.height) == (5, 10)
    inside = min(x + width, box.x_min + box.width) - max(x, box.x_min)
    assert inside == pytest.approx(min(width, box.width), abs=1e-6)
    if x >= expected and x + width <= expected + 0.98 * extent:
        assert box.x_min == pytest.approx(expected)


def test_cells_are_in_pixels_of_the_image_whatever_the_input():
    geometry = geometry_for((480, 600), 240, 16)
    cells = Cells.of_input(geometry, 4)
    inner = np.zeros((geometry.padded[0] // 4, geometry.padded[1] // 4), bool)
    top, left = geometry.offset[0] // 4 + 10, geometry.offset[1] // 4 + 20
    inner[top:top + 5, left:left + 3] = True
    box = cells.box_of(inner)
    assert (box.width, box.height) == pytest.approx((24, 40))
    assert (box.x_min, box.y_min) == pytest.approx((160, 80), abs=8)


@pytest.fixture(scope='module')
def two_cups() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images, the target's mask and that of its identical copy beside it."""
    clip = ReliabilityClip('look_alike', 0, size=(480, 640))
    return [(frame.image, frame.truth, frame.look_alike)
            for frame, _ in zip(clip.frames(), range(15), strict=False)]


def shown(two_cups, **changes) -> Tracker:
    tracker = Tracker.from_pretrained(config=TrackerConfig(input_size=0, **changes))
    image, truth, _ = two_cups[0]
    tracker.add_reference(image, truth.astype(np.uint8) * TARGET_ID)
    return tracker


def test_the_copy_beside_a_target_is_never_taken(two_cups):
    tracker = shown(two_cups)
    for (_, truth, copy), result in zip(two_cups[1:], follow(tracker, [
            (image, None) for image, _, _ in two_cups]), strict=True):
        mask = result.label_map == TARGET_ID
        assert not (mask & copy).any()
        if mask.any():
            assert (mask & truth).sum() > 0.8 * truth.sum()
    assert tracker.streams['camera'].look_alikes[TARGET_ID]


def test_who_wants_all_that_looks_alike_can_have_it(two_cups):
    tracker = shown(two_cups, follow_look_alikes=False)
    taken = [((result.label_map == TARGET_ID) & copy).sum() / copy.sum()
             for (_, _, copy), result in zip(two_cups[1:], follow(tracker, [
                 (image, None) for image, _, _ in two_cups]), strict=True)]
    assert max(taken) > 0.5 and not tracker.streams['camera'].look_alikes


def test_who_changes_their_mind_on_the_way_is_heard(two_cups):
    tracker = shown(two_cups)
    list(follow(tracker, [(image, None) for image, _, _ in two_cups[:12]]))
    assert tracker.streams['camera'].look_alikes[TARGET_ID]
    tracker.config = replace(tracker.config, follow_look_alikes=False)
    tracker.step(two_cups[12][0], stamp_ns=10_000)
    assert not tracker.streams['camera'].look_alikes


def test_look_alikes_are_saved_with_the_rest(two_cups, tmp_path):
    frames = [(image, None) for image, _, _ in two_cups]
    tracker = shown(two_cups)
    list(follow(tracker, frames[:12]))
    held = tracker.streams['camera'].look_alikes
    assert held[TARGET_ID]
    tracker.save(tmp_path / 'memory.safetensors')
    other = Tracker.from_pretrained(config=tracker.config)
    other.load(tmp_path / 'memory.safetensors')
    assert other.streams['camera'].look_alikes == held
    for one, same in zip(follow(tracker, frames, first=12), follow(other, frames, first=12),
                         strict=True):
        assert np.array_equal(one.soft_masks(), same.soft_masks())
        assert one.targets == same.targets


def test_two_targets_that_look_the_same_keep_their_own():
    """Each is the other's look-alike, and what one must not have goes to the other."""
    clip = ReliabilityClip('look_alike', 2, size=(480, 640))
    frames = [frame for frame, _ in zip(clip.frames(), range(18), strict=False)]
    tracker = Tracker.from_pretrained(config=TrackerConfig(input_size=0))
    first = frames[0]
    tracker.add_reference(first.image, first.truth + 2 * first.look_alike.astype(np.uint8))
    for frame in frames[1:]:
        label_map = tracker.step(frame.image).label_map
        assert iou(label_map == 1, frame.truth) > 0.8
        assert iou(label_map == 2, frame.look_alike) > 0.8


def test_a_new_reference_forgets_them(two_cups):
    tracker = shown(two_cups)
    list(follow(tracker, [(image, None) for image, _, _ in two_cups]))
    image, truth, copy = two_cups[-1]
    tracker.add_reference(image, (truth | copy).astype(np.uint8) * TARGET_ID, replace_known=True)
    assert not tracker.streams['camera'].look_alikes.get(TARGET_ID)
    result = tracker.step(image, stamp_ns=10_000)
    assert ((result.label_map == TARGET_ID) & copy).sum() > 0.8 * copy.sum()
