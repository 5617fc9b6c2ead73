# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Things that look the same: place tells them apart, and when it cannot, that is said."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracker_helpers import follow
from tracker_helpers import iou

from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.association import MET
from stm_ros.tracking.association import MOST_DISTRACTORS
from stm_ros.tracking.association import UNLIKE
from stm_ros.tracking.association import Sighting
from stm_ros.tracking.association import associate
from stm_ros.tracking.association import claim_of
from stm_ros.tracking.cells import Cells
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.prepare import geometry_for

GEOMETRY = geometry_for((240, 320), 240, 16)
CELLS = Cells.of_input(GEOMETRY, 4)
COARSE = Cells.of_input(GEOMETRY, 8)
SIDE = 40
FRAME = 1 / 30


def square(x: float, y: float = 100, side: int = SIDE) -> np.ndarray:
    """240×320 with a square whose left upper corner is at (x, y)."""
    mask = np.zeros((240, 320), bool)
    mask[max(0, round(y)):max(0, round(y + side)), max(0, round(x)):max(0, round(x + side))] = True
    return mask


def coarse(mask: np.ndarray, side: int = 4) -> np.ndarray:
    """The mask on cells of side×side pixels."""
    return mask.reshape(240 // side, side, 320 // side, side).mean((1, 3)) >= 0.5


def sighting(alike: np.ndarray, unlike: np.ndarray | None = None,
             expected: np.ndarray | None = None) -> Sighting:
    """What looks like a target, 240×320, some of it not like its references."""
    nothing = np.zeros((240, 320), bool)
    likeness = np.where(coarse(nothing if unlike is None else unlike, 8), -UNLIKE - 0.05, 0.0)
    return Sighting(coarse(alike), CELLS, likeness.astype(np.float32),
                    coarse(nothing if expected is None else expected, 8), COARSE)


def at(x: float, y: float = 100, side: int = SIDE) -> Motion:
    """A thing that stood still, one frame after it was seen."""
    motion = Motion.at(Box(x, y, side, side))
    for _ in range(5):
        motion = motion.after(FRAME).seen(Box(x, y, side, side))
    return motion.after(FRAME)


def target(x: float, y: float = 100, side: int = SIDE) -> Track:
    return Track(1, motion=at(x, y, side), area=side * side)


def distractor(x: float, y: float = 100) -> Track:
    return Track(resembles=1, motion=at(x, y))


def box_at(claim) -> list[tuple[float, float]]:
    return [(track.motion.box.x_min, track.motion.box.y_min) for track in claim.distractors]


def test_a_target_alone_is_left_as_it_is():
    for mask in (square(50), square(50) | square(100, side=9), np.zeros((240, 320), bool)):
        claim = claim_of(mask, sighting(mask), target(50), ())
        assert claim.own is mask and claim.distractors == () and claim.shared == 0


def test_what_looks_like_it_elsewhere_at_the_same_time_is_a_distractor():
    both = square(50) | square(200)
    claim = claim_of(both, sighting(both), target(50), ())
    assert np.array_equal(claim.own, square(50)) and box_at(claim) == [(200, 100)]
    assert claim.distractors[0].resembles == 1
    # and where nobody knows where the target is, either may be it
    anywhere = claim_of(both, sighting(both), Track(1), ())
    assert anywhere.own is both and not anywhere.distractors


def test_it_is_noticed_though_the_mask_is_right():
    claim = claim_of(square(50), sighting(square(50) | square(200)), target(50), ())
    assert np.array_equal(claim.own, square(50)) and len(claim.distractors) == 1


def test_a_target_that_leapt_is_not_taken_for_its_double():
    # a remnant where it was, which is not half of it, and all of it elsewhere
    mask = square(50, side=9) | square(200)
    assert claim_of(mask, sighting(mask), target(50), ()).own is mask


def test_what_is_near_may_be_a_part_of_it():
    mask = square(50) | square(92, side=30)
    assert claim_of(mask, sighting(mask), target(50), ()).own is mask


def test_what_comes_close_and_is_unlike_the_references_is_another_thing():
    own, near = square(50), square(94, side=30)
    claim = claim_of(own | near, sighting(own | near, near, own), target(50), ())
    assert np.array_equal(claim.own, own) and not claim.distractors
    # what comes out from behind a pole looks like the references; what changes was there before
    for unlike, expected in ((None, own), (near, own | near), (near, None)):
        seen = sighting(own | near, unlike, expected)
        kept = claim_of(own | near, seen, target(50), ()).own
        assert np.array_equal(kept, own | near)


def test_what_is_small_and_far_is_neither_its_own_nor_followed():
    mask = square(50) | square(92, side=30) | square(200, side=16)
    claim = claim_of(mask, sighting(mask), target(50), ())
    assert np.array_equal(claim.own, square(50) | square(92, side=30)) and not claim.distractors
    # an arm that reaches far is connected with the rest
    arm = square(50) | square(88, side=9) | square(95, 110, 9)
    arm[115:118, 60:260] = True
    assert claim_of(arm, sighting(arm), target(50), ()).own is arm
    # of a target that is hardly where it was expected, all may be its own
    leapt = square(50, side=9) | square(200, side=16)
    assert claim_of(leapt, sighting(leapt), target(50), ()).own is leapt


def test_a_distractor_takes_its_pixels_and_the_bridge_is_shared():
    mask = square(50) | square(110) | square(80, 110, 35)
    claim = claim_of(mask, sighting(mask), target(50), [distractor(110)])
    assert claim.own[square(50)].all() and not claim.own[square(112, side=36)].any()
    assert claim.own[:, :99].sum() > SIDE * SIDE


def test_far_from_a_distractor_a_lost_target_can_be_found():
    mask = square(50) | square(200)
    claim = claim_of(mask, sighting(mask), Track(1), [distractor(200)])
    assert np.array_equal(claim.own, square(50)) and box_at(claim) == [(200, 100)]


def test_a_target_that_leaps_does_not_leap_onto_a_distractor():
    for elsewhere, kept in ((square(200), False), (square(120, 30), True)):
        claim = claim_of(elsewhere, sighting(elsewhere), target(50), [distractor(200)])
        assert claim.own.any() == kept


def test_no_more_are_followed_than_is_said():
    mask = np.zeros((240, 320), bool)
    for place in range(3 * MOST_DISTRACTORS):
        mask |= square(20 + 76 * (place % 4), 12 + 80 * (place // 4), side=32)
    claim = claim_of(mask, sighting(mask), target(20, 12, 32), ())
    assert len(claim.distractors) == MOST_DISTRACTORS
    assert np.array_equal(claim.own, square(20, 12, 32))


def test_one_that_is_not_seen_coasts():
    [known] = claim_of(square(50), sighting(square(50)), target(50),
                       [distractor(200)]).distractors
    assert known.motion.age == pytest.approx(FRAME)
    both = square(50) | square(200)
    [known] = claim_of(both, sighting(both), target(50), [distractor(200)]).distractors
    assert known.motion.age == 0


@pytest.mark.parametrize('mirrored', [False, True])
def test_two_that_cross_leave_as_they_came(mirrored):
    """The network sees both as one thing all the time; their motions alone keep them apart."""
    start = 240 if mirrored else 40
    track = Track(1, motion=Motion.at(Box(start, 100, SIDE, SIDE)), area=SIDE * SIDE)
    known, shares = (), []
    for time in range(1, 50):
        left, right = 40 + 4.0 * time, 240 - 4.0 * time
        own, other = (right, left) if mirrored else (left, right)
        track = replace(track, motion=track.motion.after(FRAME))
        known = tuple(replace(each, motion=each.motion.after(FRAME)) for each in known)
        mask = square(own) | square(other, 108)
        claim = claim_of(mask, sighting(mask), track, known)
        known = claim.distractors
        shares.append(claim.shared)
        if claim.shared <= MET:
            rows, columns = np.nonzero(claim.own)
            assert abs(columns.mean() - own - SIDE / 2) < 6
            track = replace(track, motion=track.motion.seen(box_of_mask(claim.own)))
    assert not claim.own[square(other, 108)].any()
    assert max(shares) > 0.5 and shares[5] == shares[-1] == 0


@given(x=st.integers(30, 260), y=st.integers(20, 180))
def test_flipping_the_image_flips_the_answer(x, y):
    """Nothing prefers a side: 320 is a multiple of a cell."""
    mask = square(50) | square(x, y)
    claim = claim_of(mask, sighting(mask), target(50), [distractor(200)])
    flipped = claim_of(mask[:, ::-1], sighting(mask[:, ::-1]), target(320 - 50 - SIDE),
                       [distractor(320 - 200 - SIDE)])
    assert np.mean(claim.own != flipped.own[:, ::-1]) < 2e-3
    assert len(claim.distractors) == len(flipped.distractors)


def test_a_pixel_has_one_owner_and_goes_to_the_target_that_is_there():
    """Two targets that look the same: what one must not have is the other's."""
    found = np.zeros((240, 320), np.uint8)
    found[square(50) | square(200)] = 1
    both = sighting(found == 1)
    tracks = [target(50), Track(2, motion=at(200), area=SIDE * SIDE)]
    decided = associate(found, [both, both], tracks, ())
    assert np.array_equal(decided.label_map == 1, square(50))
    assert np.array_equal(decided.label_map == 2, square(200))
    swapped = associate(np.where(found == 1, 2, 0).astype(np.uint8), [both, both], tracks, ())
    assert np.array_equal(swapped.label_map, decided.label_map)


def test_cells_are_in_pixels_of_the_image_whatever_the_input():
    geometry = geometry_for((480, 600), 240, 16)
    cells = Cells.of_input(geometry, 4)
    inner = np.zeros((geometry.padded[0] // 4, geometry.padded[1] // 4), bool)
    top, left = geometry.offset[0] // 4 + 10, geometry.offset[1] // 4 + 20
    inner[top:top + 5, left:left + 3] = True
    box = cells.box_of(inner)
    assert (box.width, box.height) == pytest.approx((24, 40))
    assert (box.x_min, box.y_min) == pytest.approx((160, 80), abs=8)


def test_who_passes_in_front_of_the_target_is_not_taken_for_it():
    """An astronaut in a suit of the cup's colour comes, hides it and goes."""
    clip = [(image, np.asarray(truth) == TARGET_ID)
            for image, truth in generate_clip('occlusion', 40, (360, 480))]
    tracker = Tracker.from_pretrained()
    tracker.add_reference(clip[0][0], clip[0][1].astype(np.uint8))
    wrong = [((tracker.step(image, stamp_ns=40_000_000 * time).label_map > 0) & ~truth).mean()
             for time, (image, truth) in enumerate(clip[1:], start=1)]
    assert max(wrong) < 0.08  # she fills a quarter of the image


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
        assert (mask & truth).sum() > 0.8 * truth.sum()
    assert tracker.streams['camera'].distractors


def test_who_wants_all_that_looks_alike_can_have_it(two_cups):
    tracker = shown(two_cups, follow_distractors=False)
    taken = [((result.label_map == TARGET_ID) & copy).sum() / copy.sum()
             for (_, _, copy), result in zip(two_cups[1:], follow(tracker, [
                 (image, None) for image, _, _ in two_cups]), strict=True)]
    assert max(taken) > 0.3 and not tracker.streams['camera'].distractors


def test_who_changes_their_mind_on_the_way_is_heard(two_cups):
    tracker = shown(two_cups)
    list(follow(tracker, [(image, None) for image, _, _ in two_cups[:12]]))
    assert tracker.streams['camera'].distractors
    tracker.reconfigure(replace(tracker.config, follow_distractors=False))
    tracker.step(two_cups[12][0], stamp_ns=10 ** 10)
    assert not tracker.streams['camera'].distractors


def test_distractors_are_saved_with_the_rest(two_cups, tmp_path):
    frames = [(image, None) for image, _, _ in two_cups]
    tracker = shown(two_cups)
    list(follow(tracker, frames[:12]))
    held = tracker.streams['camera'].distractors
    assert held
    tracker.save(tmp_path / 'memory.safetensors')
    other = Tracker.from_pretrained(config=tracker.config)
    other.load(tmp_path / 'memory.safetensors')
    assert other.streams['camera'].distractors == held
    for one, same in zip(follow(tracker, frames, first=12), follow(other, frames, first=12),
                         strict=True):
        assert np.array_equal(one.soft_masks(), same.soft_masks())
        assert one.targets == same.targets


def test_two_targets_that_look_the_same_keep_their_own():
    """Each is the other's distractor, and what one must not have goes to the other."""
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
    assert not tracker.streams['camera'].distractors
    result = tracker.step(image, stamp_ns=10 ** 10)
    assert ((result.label_map == TARGET_ID) & copy).sum() > 0.8 * copy.sum()
