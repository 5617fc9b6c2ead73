# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets that come and go, streams, and what of them stays in memory."""
from dataclasses import replace

import numpy as np
import pytest
from tracker_helpers import SIZE
from tracker_helpers import follow
from tracker_helpers import iou
from tracker_helpers import make_tracker

from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import TargetState
from stm_ros.tracking.kinematics import Motion
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError


@pytest.fixture(scope='module')
def clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and true label maps: a cup that moves, deforms, blurs and is occluded."""
    return generate_clip('occlusion', 40, SIZE)[:14]


def test_swapped_ids_give_swapped_masks(clip):
    image, truth = clip[0]
    both = truth.copy()
    both[:60, :80] = 2
    swapped = np.where(both == 1, 2, np.where(both == 2, 1, 0)).astype(np.uint8)
    one, other = make_tracker(), make_tracker()
    one.add_reference(image, both)
    other.add_reference(image, swapped)
    for frame, _ in clip[1:4]:
        first, second = one.step(frame).label_map, other.step(frame).label_map
        exchanged = np.where(second == 1, 2, np.where(second == 2, 1, 0))
        assert (first == exchanged).mean() > 0.999


def test_an_added_target_leaves_the_first_as_it_was_until_they_compete(clip):
    alone, joined = make_tracker(), make_tracker()
    for tracker in (alone, joined):
        tracker.add_reference(clip[0][0], clip[0][1])
        tracker.step(clip[1][0], stamp_ns=1)
    corner = np.zeros(SIZE, np.uint8)
    corner[:40, :60] = 7
    assert joined.add_reference(clip[1][0], corner, stamp_ns=1) == (7,)
    first = alone.step(clip[2][0], stamp_ns=2).label_map == 1
    result = joined.step(clip[2][0], stamp_ns=2)
    assert iou(first, result.label_map == 1) > 0.97
    assert [target.id for target in result.targets] == [1, 7]
    joined.remove_target(7)
    assert joined.targets == {1: 'target 1'}
    assert iou(alone.step(clip[3][0]).label_map == 1, joined.step(clip[3][0]).label_map == 1) > 0.97


def test_a_reused_id_inherits_nothing(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    list(follow(tracker, clip[:4]))
    tracker.remove_target(1)
    assert all(slot is None for slot in tracker.bank.slots)
    corner = np.zeros(SIZE, np.uint8)
    corner[:40, :60] = 1
    tracker.add_reference(clip[4][0], corner)
    fresh = make_tracker()
    fresh.add_reference(clip[4][0], corner)
    assert tracker.targets == {1: 'target 1'}
    assert np.array_equal(tracker.step(clip[5][0]).soft_masks(),
                          fresh.step(clip[5][0]).soft_masks())


def test_an_object_shown_to_one_stream_is_found_by_another(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1], stream='wrist')
    mirrored = np.ascontiguousarray(clip[3][0][:, ::-1])
    result = tracker.step(mirrored, stream='head')
    assert iou(result.label_map == 1, clip[3][1][:, ::-1] == 1) > 0.6
    tracker.step(clip[1][0], stream='wrist')
    result = tracker.step(mirrored, stream='head')
    assert {slot.stream for slot in result.memory.slots if slot.kind != 'reference'} == {'head'}


def test_streams_of_different_size_share_a_memory(clip):
    tracker = make_tracker(input_size=0)
    tracker.add_reference(clip[0][0], clip[0][1], stream='small')
    big = np.kron(clip[1][0], np.ones((2, 2, 1), np.uint8))
    result = tracker.step(big, stream='big')
    assert result.label_map.shape == (480, 640)
    assert tracker.step(clip[1][0], stream='small').label_map.shape == SIZE


def test_a_jump_back_in_time_clears_what_was_seen_and_keeps_references(clip):
    tracker = make_tracker(memorize_by='frames', memorize_every=1)
    tracker.add_reference(clip[0][0], clip[0][1])
    list(follow(tracker, clip[:6]))
    result = tracker.step(clip[1][0], stamp_ns=-2 * 10 ** 9)
    assert [slot.kind for slot in result.memory.slots] == ['reference']
    assert tracker.time_jumps == 1


@pytest.mark.parametrize('change, words', [
    ({'image': np.zeros((0, 5, 3), np.uint8)}, 'empty'),
    ({'image': np.zeros((240, 320), np.uint8)}, 'H×W×3'),
    ({'image': np.zeros((240, 320, 3), np.float32)}, 'uint8'),
    ({'label_map': np.zeros((240, 320), np.uint8)}, 'empty'),
    ({'label_map': np.full((240, 320), 255, np.uint8)}, 'empty'),
    ({'label_map': np.ones((239, 320), np.uint8)}, 'same'),
    ({'label_map': np.ones((240, 320), np.int32)}, 'int32'),
    ({'labels': {0: 'nothing'}}, 'target id 0'),
    ({'labels': {300: 'too high'}}, 'target id 300')])
def test_bad_references_are_refused_and_change_nothing(clip, change, words):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    before = tracker.step(clip[1][0], stamp_ns=1)
    held = [slot.order for slot in tracker.bank.slots if slot is not None]
    arguments = {'image': clip[0][0], 'label_map': clip[0][1], **change}
    with pytest.raises(InputError, match=words):
        tracker.add_reference(**arguments)
    assert held == [slot.order for slot in tracker.bank.slots if slot is not None]
    assert tracker.targets == {1: 'target 1'}
    assert before.readout().target_ids == (1,)


def test_more_streams_than_there_is_room_for_are_refused(clip):
    tracker = make_tracker(max_streams=1)
    tracker.step(clip[0][0])
    with pytest.raises(InputError, match='max_streams'):
        tracker.step(clip[0][0], stream='other')
    with pytest.raises(InputError, match='not tracked'):
        tracker.remove_target(5)


def test_memory_grows_for_more_targets_and_says_so(clip):
    tracker, roomy = make_tracker(max_targets=1), make_tracker(max_targets=16)
    two = clip[0][1].copy()
    two[:30, :30] = 2
    for each in (tracker, roomy):
        each.add_reference(clip[0][0], clip[0][1])
        each.step(clip[1][0], stamp_ns=1)
        each.add_reference(clip[0][0], np.where(two == 2, 2, 0).astype(np.uint8))
    assert tracker.bank.layout.targets == 8
    assert 'enlarged for 8 targets' in tracker.notes[-1]
    masks = [each.step(clip[2][0], stamp_ns=2).soft_masks() for each in (tracker, roomy)]
    assert np.array_equal(*masks)


def test_254_targets_fit_and_one_more_is_refused(clip):
    tracker = make_tracker(input_size=64, max_frames=2)
    image = clip[0][0][:64, :64]
    label_map = np.zeros((64, 64), np.uint8)
    label_map.flat[:254] = np.arange(1, 255)
    tracker.add_reference(image, label_map)
    assert len(tracker.step(image).targets) == 254
    with pytest.raises(InputError, match='255 targets; 254'):
        tracker.check_room(0, [255])


def test_a_budget_in_megabytes_decides_how_many_frames_are_held(clip):
    layout = make_tracker().bank.layout
    tracker = make_tracker(max_frames=4096, max_megabytes=3.5 * layout.most_bytes_per_slot / 1e6)
    assert tracker.bank.layout.slots == 3
    tracker.add_reference(clip[0][0], clip[0][1])
    for time in range(1, 8):
        tracker.step(clip[time][0])
        assert tracker.bank.layout.most_bytes <= 3.5 * layout.most_bytes_per_slot
    two = clip[0][1].copy()
    two.flat[:9] = np.arange(2, 11)
    with pytest.raises(InputError, match=r'holds 1 frames.* = 1620 positions'):
        tracker.add_reference(clip[0][0], two)
    assert tracker.targets == {1: 'target 1'}
    with pytest.raises(InputError, match='at least 2 are needed'):
        make_tracker(max_megabytes=1.0)
    with pytest.raises(InputError, match='the device has'):
        make_tracker(max_frames=4096, max_targets=254, input_size=4096)
    assert make_tracker(input_size=0, max_megabytes=50.0).bank.layout.positions == 0


def test_a_replaced_target_reads_nothing_of_what_it_was(clip):
    # nothing withheld: what the judge says rests on what the stream has seen, too
    tracker, fresh = (make_tracker(lost_below=0.0, uncertain_below=0.0, hysteresis=0.0)
                      for _ in range(2))
    other = np.zeros_like(clip[0][1])
    other[10:60, 10:60] = 1
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    tracker.step(clip[1][0], stamp_ns=1)
    for each in (tracker, fresh):
        each.add_reference(clip[2][0], other, {1: 'corner'}, stamp_ns=2, replace_known=True)
    assert len(tracker.bank.references()) == 1
    answers = [each.step(clip[3][0], stamp_ns=3) for each in (tracker, fresh)]
    assert np.array_equal(answers[0].label_map, answers[1].label_map)
    assert answers[0].label_map.any()
    assert answers[0].targets[0].label == 'corner'


def test_a_replaced_target_is_looked_for_everywhere_on_every_stream(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    for stream in ('camera', 'wrist'):
        tracker.step(clip[1][0], stream)
    assert all(state.tracks[1].motion and state.tracks[1].mask is not None
               for state in tracker.streams.values())
    tracker.add_reference(clip[2][0], clip[2][1], place_hint=False, replace_known=True)
    assert not any(track.motion or track.mask is not None for state in tracker.streams.values()
                   for track in state.tracks.values())


def test_a_correction_while_the_target_is_away_does_not_stall_the_stream(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    state = tracker.streams['camera']
    motion = Motion(Box(400.0, 50.0, 30.0, 30.0), (40.0, 0.0), age=0.3)
    tracker.streams['camera'] = replace(
        state, tracks={1: replace(state.tracks[1], motion=motion)})
    tracker.add_reference(clip[1][0], clip[1][1], place_hint=False)
    assert tracker.step(clip[2][0]).targets[0].state == TargetState.TRACKING


def test_a_refused_reference_in_a_tight_budget_changes_nothing(clip):
    layout = make_tracker().bank.layout
    tracker = make_tracker(max_frames=10, max_megabytes=10 * layout.most_bytes_per_slot / 1e6)
    for time in range(4):
        tracker.add_reference(clip[time][0], clip[time][1], stamp_ns=time)
    tracker.step(clip[5][0], stamp_ns=5)
    more = np.zeros_like(clip[0][1])
    more.flat[100:108] = np.arange(2, 10)
    with pytest.raises(InputError, match='references do not fit'):
        tracker.add_reference(clip[0][0], more, stamp_ns=6)
    assert tracker.targets == {1: 'target 1'} and tracker.bank.layout.slots == 10
    assert tracker.step(clip[6][0], stamp_ns=7).targets[0].state == TargetState.TRACKING



def test_a_snapshot_leaves_out_streams_that_are_not_there(clip, tmp_path):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1], stream='old')
    tracker.step(clip[1][0], 'old')
    tracker.save(tmp_path / 'memory.safetensors')
    other = make_tracker(max_streams=1)
    other.load(tmp_path / 'memory.safetensors', ['front'])
    assert other.step(clip[2][0], 'front').targets[0].state != TargetState.LOST
    assert [slot.kind for slot in other.bank.slots if slot is not None] == ['reference']


def test_frames_are_kept_by_seconds_whatever_the_reference_s_stamp(clip):
    tracker = make_tracker(memorize_by='seconds', memorize_seconds=2.0, max_frames=16)
    tracker.add_reference(clip[0][0], clip[0][1], stamp_ns=10 ** 15)
    for time in range(1, 6):
        tracker.step(clip[time][0], stamp_ns=time * 10 ** 9)
    tracker.settle()
    kept = sorted(slot.stamp_ns // 10 ** 9 for slot in tracker.bank.kept_slots('camera'))
    assert kept == [1, 3, 5, 10 ** 6]


def test_a_correction_adds_a_reference(clip):
    tracker = make_tracker(max_frames=3)
    for time in (0, 2):
        tracker.add_reference(clip[time][0], clip[time][1], stamp_ns=time)
    assert len(tracker.bank.references()) == 2
    with pytest.raises(InputError, match='3 references do not fit into 3'):
        tracker.add_reference(clip[3][0], clip[3][1], stamp_ns=3)
    tracker.add_reference(clip[3][0], clip[3][1], stamp_ns=3, replace_known=True)
    assert [slot.stamp_ns for slot in tracker.bank.references()] == [3]


@pytest.mark.parametrize('settings_of, kept', [
    ({'memorize_by': 'frames', 'memorize_every': 4}, [0, 4, 8]),
    ({'memorize_by': 'seconds', 'memorize_seconds': 3.0}, [0, 3, 6, 9]),
    ({'memorize_by': 'novelty', 'memorize_novelty': 50.0}, [0])])
def test_what_stays_in_memory(clip, settings_of, kept):
    tracker = make_tracker(max_frames=16, **settings_of)
    tracker.add_reference(clip[0][0], clip[0][1])
    for time in range(1, 11):
        assert tracker.step(clip[time][0], stamp_ns=time * 10 ** 9).memorized
    tracker.settle()
    assert [slot.stamp_ns // 10 ** 9 for slot in tracker.bank.kept_slots('camera')] == kept


def test_names_that_no_message_carries_are_refused(clip):
    tracker = make_tracker()
    for label in ('a\0b', 'caf\udce9', None):
        with pytest.raises(InputError, match='is no name'):
            tracker.add_reference(*clip[0], {1: label})
        assert not tracker.targets
    tracker.add_reference(*clip[0], {1: 'Tasse ü 😀'})
