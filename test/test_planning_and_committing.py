# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A frame is planned purely and committed once: what is refused or fails changes nothing."""
import numpy as np
import pytest
import torch
from tracker_helpers import make_tracker

from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.stm_lite import STMLite
from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.recovery import Recovery
from stm_ros.tracking.stream import LateFrameError
from stm_ros.vision.errors import InputError

SECOND = 10 ** 9


@pytest.fixture(scope='module')
def clip():
    """Images and true label maps of a cup that moves."""
    return generate_clip('occlusion', 40, (240, 320))[:8]


def held(tracker: Tracker) -> tuple:
    """All that a tracker knows, to be compared."""
    slots = [(slot.order, slot.kind, slot.usage) for slot in tracker.bank.slots if slot is not None]
    return slots, dict(tracker.streams), dict(tracker.labels)


def test_a_refused_frame_changes_nothing_whatever_its_stamp(clip):
    """A frame too large for the budget, with a stamp that would start the stream anew."""
    layout = make_tracker().bank.layout
    tracker = make_tracker(input_size=0, max_megabytes=4 * layout.most_bytes_per_slot / 1e6)
    tracker.add_reference(*clip[0])
    for time in range(1, 4):
        tracker.step(clip[time][0], stamp_ns=10 * SECOND + time)
    tracker.settle()
    before = held(tracker)
    with pytest.raises(InputError, match='at least 2 are needed'):
        tracker.step(np.zeros((2160, 3840, 3), np.uint8), stamp_ns=SECOND)
    assert held(tracker) == before and tracker.time_jumps == 0


def test_a_late_frame_is_refused_and_counted_and_wipes_nothing(clip):
    tracker = make_tracker()
    tracker.add_reference(*clip[0])
    tracker.step(clip[1][0], stamp_ns=10 * SECOND)
    tracker.settle()
    before = held(tracker)
    for late in (10 * SECOND - 1, 9 * SECOND):
        with pytest.raises(LateFrameError, match='comes too late'):
            tracker.step(clip[2][0], stamp_ns=late)
    assert held(tracker) == before and (tracker.late_frames, tracker.time_jumps) == (2, 0)
    result = tracker.step(clip[2][0], stamp_ns=9 * SECOND - 1)
    assert tracker.time_jumps == 1
    assert [slot.kind for slot in result.memory.slots] == ['reference']


class Scarce(STMLite):
    """STM-lite whose memory encoder finds no room a number of times."""

    failures = 0

    def encode_memory(self, query, masks):
        """Encode, unless it is to fail."""
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError('injected')
        return super().encode_memory(query, masks)


def test_a_write_that_finds_no_room_is_done_again(clip):
    network = Scarce()
    source = load_network()
    network.load_state_dict(source.state_dict())
    network.metadata = source.metadata
    tracker = Tracker(network.eval(), TrackerConfig(dtype='float32', max_frames=6))
    tracker.add_reference(*clip[0])
    tracker.step(clip[1][0], stamp_ns=SECOND)
    network.failures = 1
    frames = tracker.streams['camera'].frames
    result = Recovery(tracker).run(lambda: tracker.step(clip[2][0], stamp_ns=2 * SECOND), 240)
    assert network.failures == 0
    # the frame before was written in the end, and this one was counted once
    assert SECOND in [slot.stamp_ns for slot in result.memory.slots]
    assert tracker.streams['camera'].frames == frames + 1


def test_soft_masks_agree_with_the_label_map_beside_a_distractor():
    tracker = Tracker.from_pretrained(config=TrackerConfig(input_size=0))
    clip = ReliabilityClip('look_alike', 0, size=(240, 320))
    beside = 0
    for index, frame in enumerate(clip.frames()):
        if index == 0:
            tracker.add_reference(frame.image, frame.truth.astype(np.uint8) * TARGET_ID)
            continue
        result = tracker.step(frame.image)
        soft = result.soft_masks()
        assert np.array_equal(soft.argmax(0) * TARGET_ID, result.label_map)
        assert soft.sum(0) == pytest.approx(1, abs=1e-4)
        beside += bool(tracker.streams['camera'].distractors)
        if index == 20:
            break
    assert beside > 5


def test_soft_masks_of_a_lost_target_are_background(clip):
    tracker = make_tracker(lost_below=0.999, uncertain_below=0.999, doubt_seconds=0.0)
    tracker.add_reference(*clip[0])
    result = tracker.step(clip[1][0])
    assert result.targets[0].state == TargetState.LOST and not result.label_map.any()
    assert (result.soft_masks().argmax(0) == 0).all()


def test_a_network_that_lacks_a_part_is_not_made():
    class Half(SpaceTimeNetwork):
        def encode_query(self, image):
            """Encode nothing."""

    with pytest.raises(TypeError, match='abstract'):
        Half()
