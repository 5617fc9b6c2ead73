# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images that are missing, by stamps: losses are counted, other rates and pauses are not."""
import random
from itertools import pairwise

from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.node.stamp_gaps import NEW_RATE
from stm_ros.node.stamp_gaps import PAUSE_SECONDS
from stm_ros.node.stamp_gaps import WINDOW
from stm_ros.node.stamp_gaps import StampGaps
from stm_ros.node.stamp_gaps import is_throttled

SECOND = 10 ** 9
PERIODS = st.floats(1 / 120, 0.4)


def stamps_of(frames, period, jitter=0.0, seed=0):
    """Stamps in nanoseconds of frames 0, 1, ..., moved by up to `jitter` periods."""
    chance = random.Random(seed)
    return [round(SECOND * period * (10 + frame + chance.uniform(-jitter, jitter)))
            for frame in frames]


def counted(stamps):
    """What is said to be missing in all."""
    gaps = StampGaps()
    return sum(gaps.add(stamp) for stamp in stamps)


@settings(max_examples=60, deadline=None)
@given(PERIODS, st.floats(0, 0.1), st.integers(0, 99))
def test_a_stream_that_is_whole_lacks_nothing(period, jitter, seed):
    assert counted(stamps_of(range(200), period, jitter, seed)) == 0


@settings(max_examples=60, deadline=None)
@given(PERIODS, st.floats(0, 0.1), st.floats(0.05, 0.75), st.integers(0, 99))
def test_what_is_lost_is_counted(period, jitter, lost, seed):
    chance = random.Random(seed)
    frames = [frame for frame in range(400) if chance.random() >= lost]
    missing = frames[-1] - frames[0] + 1 - len(frames)
    found = counted(stamps_of(frames, period, jitter, seed))
    in_pauses = sum(after - before - 1 for before, after in pairwise(frames)
                    if (after - before + 2 * jitter) * period > PAUSE_SECONDS)
    # what is lost before the rate is known cannot be counted, nor what a gap of a pause has lost
    assert found <= missing
    assert found >= 0.6 * (missing - in_pauses) - 25 * lost


@settings(max_examples=60, deadline=None)
@given(PERIODS, st.integers(2, 4), st.booleans(), st.integers(0, 99))
def test_another_rate_is_no_loss(period, factor, is_back, seed):
    slow = [100 + factor * step for step in range(60)]
    back = list(range(slow[-1] + 1, slow[-1] + 100)) if is_back else []
    stamps = stamps_of([*range(100), *slow, *back], period, 0.03, seed)
    assert counted(stamps) == 0


def test_triggers_at_any_time_have_no_rate_to_fall_short_of():
    """What comes at random times looks like a rate with losses only once in a long while."""
    lacking = [counted(triggers(seed)) for seed in range(300)]
    assert sum(each > 30 for each in lacking) <= 1
    assert sum(lacking) <= 0.005 * 300 * len(lacking)


def triggers(seed):
    """300 stamps in nanoseconds that come independently, 2 to 50 a second."""
    chance = random.Random(seed)
    mean, time, stamps = chance.uniform(0.02, 0.5), 0.0, []
    for _ in range(300):
        time += chance.expovariate(1 / mean)
        stamps.append(round(time * SECOND))
    return stamps


@settings(max_examples=100, deadline=None)
@example(0.25, 0.84375, 0.0, 0.0, 0)
@given(PERIODS, st.floats(0.35, 0.85), st.floats(0, 1), st.floats(0, 0.05), st.integers(0, 99))
def test_a_throttle_to_an_uneven_rate_is_no_loss(period, kept, phase, jitter, seed):
    """Of a camera of 30 Hz, 20 Hz are every first and second image of three."""
    frames = [int(phase + number / kept) for number in range(300)]
    assert counted(stamps_of(frames, period, jitter, seed)) == 0


@settings(max_examples=60, deadline=None)
@given(PERIODS, st.sampled_from([2 / 3, 3 / 4, 4 / 5, 0.7]), st.integers(0, 99))
def test_a_camera_that_is_throttled_later_loses_little_until_that_is_seen(period, kept, seed):
    frames = [*range(60), *(60 + int(number / kept) for number in range(300))]
    assert counted(stamps_of(frames, period, 0.03, seed)) <= 12


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 0.6), st.integers(0, 10 ** 6))
def test_what_is_lost_by_chance_is_not_taken_for_a_throttle(lost, seed):
    chance = random.Random(seed)
    frames = [frame for frame in range(2000) if chance.random() >= lost]
    multiples = [after - before for before, after in pairwise(frames)]
    windows = [multiples[start:start + 32] for start in range(len(multiples) - 32)]
    assert sum(map(is_throttled, windows)) <= 0.05 * len(windows)


def test_a_pause_and_a_jump_back_are_no_losses():
    first = stamps_of(range(50), 0.1)
    later = [stamp + round((5 + PAUSE_SECONDS) * SECOND) for stamp in stamps_of(range(50), 0.1)]
    assert counted([*first, *later, *first, *first]) == 0


def test_one_image_that_is_missing_is_one_once_the_next_has_come():
    gaps = StampGaps()
    stamps = stamps_of([*range(WINDOW + 2), *range(WINDOW + 3, WINDOW + 12)], 0.1)
    found = [gaps.add(stamp) for stamp in stamps]
    assert found.index(1) == WINDOW + 3 and sum(found) == 1


def test_an_early_loss_is_told_once_a_throttle_would_have_shown():
    gaps = StampGaps()
    stamps = stamps_of([*range(20), *range(21, WINDOW + 11)], 0.1)
    found = [gaps.add(stamp) for stamp in stamps]
    assert found.index(1) == WINDOW and sum(found) == 1


def test_the_same_stamp_again_changes_nothing():
    stamps = stamps_of(range(60), 0.1)
    assert counted([stamp for each in stamps for stamp in (each, each)]) == 0


def test_half_of_all_images_in_turns_is_another_rate():
    # nobody could tell it from a camera of half the rate
    assert counted(stamps_of([*range(40), *range(40, 40 + 2 * NEW_RATE, 2)], 0.1)) == 0
