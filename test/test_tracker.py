# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker on generated clips of real photographs, with the shipped weights."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tracker_helpers import SIZE
from tracker_helpers import follow
from tracker_helpers import iou
from tracker_helpers import make_tracker

from stm_ros.inference.runner import NetworkOutputError
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.stm_lite import STMLite
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.description import describe_target
from stm_ros.tracking.result import StaleResultError
from stm_ros.tracking.states import next_state
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError
from stm_ros.vision.prepare import geometry_for


@pytest.fixture(scope='module')
def clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and true label maps: a cup that moves, deforms, blurs and is occluded."""
    return generate_clip('occlusion', 40, SIZE)[:14]


def test_a_target_shown_once_is_followed(clip):
    tracker = make_tracker()
    assert tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'}) == (1,)
    results = list(follow(tracker, clip))
    overlaps = [iou(result.label_map == 1, truth == 1)
                for result, (_, truth) in zip(results, clip[1:], strict=True)]
    assert np.mean(overlaps) > 0.75
    for result in results:
        target = result.targets[0]
        assert (target.id, target.label, target.state) == (1, 'cup', TargetState.TRACKING)
        assert target.box == box_of_mask(result.label_map == 1)
        assert target.area == (result.label_map == 1).sum()
        assert 0 <= target.confidence <= 1


def test_memory_reports_what_was_read(clip):
    tracker = make_tracker(max_frames=3, memorize_by='frames', memorize_every=1)
    tracker.add_reference(clip[0][0], clip[0][1])
    for time, result in enumerate(follow(tracker, clip), start=1):
        report = result.memory
        assert report.slots[0].kind == 'reference'
        assert all(slot.stamp_ns < time * 40_000_000 for slot in report.slots)
        assert len(report.slots) == min(time, 3)
        assert report.attention[1].sum() == pytest.approx(1, abs=1e-5)
        assert 0 <= report.entropy[1] <= np.log(len(report.slots)) + 1e-5
        maps = result.attention_maps(1)
        assert [float(part.sum()) for part in maps] == pytest.approx(
            report.attention[1].tolist(), abs=1e-4)
        soft = result.soft_masks()
        assert np.allclose(soft.sum(0), 1, atol=1e-5)
        assert np.array_equal(soft.argmax(0), result.label_map)


def test_readout_and_evidence(clip):
    tracker = make_tracker(input_size=0, evidence_size=64)
    tracker.add_reference(clip[0][0], clip[0][1])
    result = tracker.step(clip[1][0], stamp_ns=5)
    readout = result.readout()
    assert readout.features.shape == (1, 128, 15, 20)
    assert (readout.target_ids, readout.stride) == ((1,), 16)
    evidence = result.evidence(1)
    assert len(evidence) == 1
    assert evidence[0].weight == pytest.approx(1)
    assert max(evidence[0].crop.shape) == 64
    reference_box = box_of_mask(clip[0][1] == 1)
    middle = clip[0][0][int(reference_box.y_min + reference_box.height / 2),
                        int(reference_box.x_min + reference_box.width / 2)]
    height, width = evidence[0].crop.shape[:2]
    assert np.abs(evidence[0].crop[height // 2, width // 2].astype(int) - middle).max() < 40


def test_a_result_is_refused_after_the_next_step(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    result = tracker.step(clip[1][0])
    tracker.step(clip[2][0])
    with pytest.raises(StaleResultError):
        result.readout()


def test_without_targets_all_is_background(clip):
    result = make_tracker().step(clip[0][0], stamp_ns=3)
    assert (result.stamp_ns, result.targets, result.memory.slots) == (3, (), ())
    assert result.label_map.shape == SIZE and not result.label_map.any()


def test_a_target_that_is_not_there_has_no_mask_box_or_detection(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    result = tracker.step(np.full((*SIZE, 3), 128, np.uint8))
    target = result.targets[0]
    assert target.state == TargetState.LOST
    assert (target.box, target.area, result.memorized) == (None, 0, False)
    assert not result.label_map.any()
    assert 'is not in view' in describe_target(result, target)


def test_a_frame_that_earns_nothing_is_the_newest_and_does_not_stay(clip):
    tracker = make_tracker(memorize_above=1.0, memorize_by='frames', memorize_every=1)
    tracker.add_reference(clip[0][0], clip[0][1])
    for time, result in enumerate(follow(tracker, clip[:5])):
        kinds = [slot.kind for slot in result.memory.slots]
        assert kinds == (['reference', 'recent'] if time else ['reference'])


def test_what_is_lost_is_not_remembered_at_all(clip):
    tracker = make_tracker(uncertain_below=1.0, lost_below=1.0, doubt_seconds=0.0)
    tracker.add_reference(clip[0][0], clip[0][1])
    for result in follow(tracker, clip[:5]):
        assert [slot.kind for slot in result.memory.slots] == ['reference']


def test_segment_never_changes_memory(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    before = tracker.bank.layout
    panorama = np.tile(clip[0][0], (1, 9, 1))
    assert tracker.segment(panorama).label_map.shape == panorama.shape[:2]
    assert tracker.bank.layout == before and not tracker.notes


def test_segment_judges_by_thresholds_alone(clip):
    tracker = Tracker.from_pretrained(
        config=TrackerConfig(uncertain_below=0.99, hysteresis=0.0, lost_below=0.1))
    tracker.add_reference(clip[0][0], clip[0][1])
    target = tracker.segment(clip[1][0]).targets[0]
    assert target.state == TargetState.UNCERTAIN and target.area > 0 and target.box is not None
    tracker.reconfigure(TrackerConfig(uncertain_below=0.999, lost_below=0.999, doubt_seconds=9.0))
    assert tracker.segment(clip[1][0]).targets[0].state == TargetState.LOST


def test_a_lost_target_s_attention_is_of_the_whole_frame(clip):
    tracker = make_tracker(lost_below=1.0, uncertain_below=1.0, doubt_seconds=0.0, policy='paper',
                           memorize_every=1)
    tracker.add_reference(clip[0][0], clip[0][1])
    tracker.step(clip[1][0])
    result = tracker.step(clip[2][0])
    assert result.targets[0].state == TargetState.LOST
    query = tracker.runner.encode(clip[2][0], geometry_for(SIZE, 480, 16)).query.key
    bank = tracker.bank
    reading = bank.read(query.flatten(2).transpose(1, 2), bank.readable_slots('camera'), 'l2')
    assert np.allclose(result.memory.attention[1], reading.slot_mass[0].mean(1), atol=1e-4)


def test_a_failing_network_leaves_memory_untouched(clip):
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    tracker.step(clip[1][0], stamp_ns=1)
    tracker.settle()
    held = [slot.stamp_ns for slot in tracker.bank.slots if slot is not None]
    decode = tracker.network.decode
    tracker.network.decode = lambda *values: decode(*values)._replace(
        logits=torch.full((1, 60, 80), torch.nan))
    with pytest.raises(NetworkOutputError):
        tracker.step(clip[2][0], stamp_ns=2)
    tracker.network.decode = decode
    assert held == [slot.stamp_ns for slot in tracker.bank.slots if slot is not None]
    assert tracker.step(clip[2][0], stamp_ns=3).targets[0].state == TargetState.TRACKING


def test_a_saved_tracker_goes_on_bit_for_bit(clip, tmp_path):
    tracker = Tracker.from_pretrained()
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    list(follow(tracker, clip[:7]))
    # as after a box that reached the edge of its region: the next frame is looked at as a whole
    state = tracker.streams['camera']
    tracker.streams['camera'] = replace(
        state, tracks={1: replace(state.tracks[1], everywhere=True)})
    tracker.save(tmp_path / 'memory.safetensors')
    other = Tracker.from_pretrained()
    other.load(tmp_path / 'memory.safetensors')
    assert other.targets == {1: 'cup'}
    for time in (7, 8, 9):
        one = tracker.step(clip[time][0], stamp_ns=time * 40_000_000)
        same = other.step(clip[time][0], stamp_ns=time * 40_000_000)
        assert np.array_equal(one.soft_masks(), same.soft_masks())
        assert one.targets == same.targets
        assert one.evidence(1) == same.evidence(1)


def test_a_snapshot_of_other_weights_or_a_damaged_one_changes_nothing(clip, tmp_path):
    path = tmp_path / 'memory.safetensors'
    tracker = make_tracker()
    tracker.add_reference(clip[0][0], clip[0][1])
    tracker.save(path)
    torch.manual_seed(0)
    stranger = Tracker(STMLite(), TrackerConfig(dtype='float32'))
    with pytest.raises(SnapshotError, match='other weights'):
        stranger.load(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SnapshotError, match='damaged'):
        tracker.load(path)
    assert tracker.targets == {1: 'target 1'}


def test_the_same_clip_gives_the_same_bits(clip):
    runs = []
    for _ in range(2):
        tracker = Tracker(load_network())
        tracker.add_reference(clip[0][0], clip[0][1])
        runs.append([result.label_map for result in follow(tracker, clip[:6])])
    assert all(np.array_equal(one, other) for one, other in zip(*runs, strict=True))


_confidences = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def after(state: TargetState, confidence: float, config: TrackerConfig, unsure: float = 1.0,
          area: int = 10) -> TargetState:
    """The next state of a track whose mask has been in doubt for so many seconds."""
    return next_state(Track(1, state=state, unsure=unsure), confidence, area, config)


@settings(max_examples=200, deadline=None)
@given(_confidences)
def test_states_follow_confidence_with_hysteresis(confidences):
    config = TrackerConfig()
    state = TargetState.LOST
    for confidence in confidences:
        before, state = state, after(state, confidence, config)
        if before == TargetState.LOST and confidence < config.lost_below + config.hysteresis:
            assert state == TargetState.LOST
        if confidence < config.lost_below:
            assert state == TargetState.LOST
        if confidence >= config.uncertain_below + config.hysteresis:
            assert state == TargetState.TRACKING
    assert after(state, 1.0, config, area=0) == TargetState.LOST


def test_hysteresis_holds_a_state_at_the_threshold():
    config = TrackerConfig(uncertain_below=0.5, hysteresis=0.1)
    assert after(TargetState.TRACKING, 0.55, config) == TargetState.TRACKING
    assert after(TargetState.UNCERTAIN, 0.55, config) == TargetState.UNCERTAIN
    assert after(TargetState.LOST, 0.55, config) == TargetState.UNCERTAIN


def test_lost_is_no_trap_and_uncertain_is_shown():
    config = TrackerConfig(uncertain_below=0.5, lost_below=0.3, hysteresis=0.05)
    assert after(TargetState.TRACKING, 0.4, config) == TargetState.UNCERTAIN
    assert after(TargetState.TRACKING, 0.2, config) == TargetState.LOST
    assert after(TargetState.LOST, 0.34, config) == TargetState.LOST
    assert after(TargetState.LOST, 0.4, config) == TargetState.UNCERTAIN
    assert after(TargetState.LOST, 0.6, config) == TargetState.TRACKING


def test_a_doubt_of_a_moment_is_no_loss():
    config = TrackerConfig(lost_below=0.3, doubt_seconds=0.1)
    assert after(TargetState.TRACKING, 0.1, config, unsure=0.08) == TargetState.UNCERTAIN
    assert after(TargetState.TRACKING, 0.1, config, unsure=0.12) == TargetState.LOST
    # what is lost stays so, and what is not there is not in doubt
    assert after(TargetState.LOST, 0.1, config, unsure=0.08) == TargetState.LOST
    assert after(TargetState.TRACKING, 0.1, config, unsure=0.08, area=0) == TargetState.LOST



@pytest.mark.parametrize('change, words', [
    ({'policy': 'lru'}, 'fifo'), ({'max_frames': 1}, '2..4096'), ({'input_size': 7}, '32..4096'),
    ({'dtype': 'int8'}, 'bfloat16'), ({'lost_below': 0.9}, 'exceeds'),
    ({'max_targets': 255}, '1..254'), ({'memorize_by': 'luck'}, 'novelty'),
    ({'max_megabytes': -1}, '0..'),
    ({'compile': 'off'}, 'reduce-overhead')])
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        TrackerConfig(**change)
