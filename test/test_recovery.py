# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A device that runs out of memory, and outputs that are not finite: the tracker goes on."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from stm_ros.inference.runner import NetworkOutputError
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.slots import SlotKind
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.stm_lite import STMLite
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking import recovery as recovery_module
from stm_ros.tracking.recovery import LEAST_INPUT_SIZE
from stm_ros.tracking.recovery import Recovery
from stm_ros.tracking.recovery import shrink_memory

SIZE = (240, 320)


class FailingNetwork(STMLite):
    """STM-lite that finds no memory a number of times, or for images above a size."""

    failures = 0
    largest = 4096
    memory_failures = 0
    spoilt = ''

    def encode_query(self, image):
        """Encode a frame, unless it is to fail."""
        if self.failures > 0 or min(image.shape[2:]) > self.largest:
            self.failures -= 1
            raise torch.OutOfMemoryError('injected')
        return super().encode_query(image)

    def encode_memory(self, query, masks):
        """Encode for memory, unless it is to fail or to be spoilt."""
        if self.memory_failures > 0:
            self.memory_failures -= 1
            raise torch.OutOfMemoryError('injected')
        memory = super().encode_memory(query, masks)
        return memory._replace(value=memory.value * torch.inf) if self.spoilt == 'value' else memory

    def assess(self, decoded, peak):
        """Assess a mask, unless that is to be spoilt."""
        confidence = super().assess(decoded, peak)
        return confidence * torch.nan if self.spoilt == 'confidence' else confidence


@pytest.fixture(scope='module')
def clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and true label maps of a cup that moves."""
    return generate_clip('occlusion', 40, SIZE)[:12]


@pytest.fixture
def tracker(clip) -> Tracker:
    """Eight slots, filled: a reference, the newest frame, and six in between."""
    network = FailingNetwork()
    network.load_state_dict(load_network().state_dict())
    made = Tracker(network.eval().requires_grad_(False),
                   TrackerConfig(input_size=240, max_frames=8, memorize_by='frames',
                                 memorize_every=1, dtype='float32'))
    made.add_reference(clip[0][0], clip[0][1], {1: 'cup'})
    for time in range(1, 10):
        made.step(clip[time][0], stamp_ns=time)
    made.settle()
    assert all(slot is not None for slot in made.bank.slots)
    return made


def stamps(tracker: Tracker) -> list[int]:
    """Stamps of what memory holds, as it is read."""
    return [tracker.bank.slot(index).stamp_ns for index in tracker.bank.readable_slots('camera')]


def test_memory_is_halved_first_and_then_the_input_size(tracker, clip):
    recovery = Recovery(tracker)
    steps = [('memory cut from 8 to 4 frames', 4, 240),
             ('input size cut to 120 pixels', 4, 120),
             ('memory cut from 4 to 2 frames', 2, 120),
             (f'input size cut to {LEAST_INPUT_SIZE} pixels', 2, LEAST_INPUT_SIZE)]
    for time, (words, slots, size) in enumerate(steps, start=10):
        tracker.network.failures = 1
        image = clip[min(time, 11)][0]
        result = recovery.run(lambda image=image, time=time: tracker.step(image, stamp_ns=time),
                              240)
        assert result.label_map.shape == SIZE and result.stamp_ns == time
        assert recovery.reductions[-1] == words
        assert (tracker.bank.layout.slots, tracker.config.input_size) == (slots, size)
        assert tracker.bank.keys.shape[1] == tracker.bank.values.shape[1] == slots
    tracker.reset()
    assert tracker.bank.layout.slots == 2


def test_nothing_more_to_give_up_is_told_and_the_next_frame_is_tried_again(tracker, clip):
    recovery = Recovery(tracker)
    tracker.network.largest = 32
    with pytest.raises(torch.OutOfMemoryError, match='injected'):
        recovery.run(lambda: tracker.step(clip[10][0], stamp_ns=10), 240)
    assert len(recovery.reductions) == 4
    tracker.network.largest = 4096
    result = recovery.run(lambda: tracker.step(clip[11][0], stamp_ns=11), 240)
    assert (result.stamp_ns, len(result.targets)) == (11, 1)
    assert len(recovery.reductions) == 4


def test_one_failed_step_costs_no_target(tracker, clip):
    tracker.config = replace(tracker.config, input_size=480)
    recovery = Recovery(tracker)
    tracker.network.failures = 2
    image, truth = (np.kron(part, np.ones((2, 2, 1)[:part.ndim], np.uint8)) for part in clip[10])
    result = recovery.run(lambda: tracker.step(image, stamp_ns=10), 480)
    assert len(recovery.reductions) == 2 and tracker.config.input_size == 240
    found, truth = result.label_map == 1, truth == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.6
    assert result.targets[0].state == TargetState.TRACKING


def test_images_left_as_they_are_are_halved_too(tracker, clip):
    tracker.config = TrackerConfig(input_size=0, max_frames=8)
    recovery = Recovery(tracker)
    tracker.network.failures = 2
    recovery.run(lambda: tracker.step(clip[10][0], stamp_ns=10), 240)
    assert recovery.reductions[1] == 'input size cut to 120 pixels'


def test_a_smaller_memory_holds_references_the_newest_and_what_the_policy_keeps(tracker):
    before = {tracker.bank.slot(index).stamp_ns: tracker.bank.keys_of([index])[0].clone()
              for index in range(8)}
    size = tracker.bank.layout.bytes
    assert stamps(tracker) == [0, 3, 4, 5, 6, 7, 8, 9]
    shrink_memory(tracker, 4)
    bank = tracker.bank
    assert stamps(tracker) == [0, 7, 8, 9]
    kinds = [bank.slot(index).kind for index in bank.readable_slots('camera')]
    assert kinds == [SlotKind.REFERENCE, SlotKind.MEMORY, SlotKind.MEMORY, SlotKind.RECENT]
    for index in range(4):
        assert torch.equal(bank.keys_of([index])[0], before[bank.slot(index).stamp_ns])
    assert bank.layout.bytes == size / 2


def test_memory_that_finds_no_room_waits_and_is_tried_again(tracker, clip, monkeypatch):
    held = tracker.bank.keys_of([0])[0].clone()
    allocate, limit = MemoryBank._allocate, [3]

    def scarce(bank, layout):
        if layout.slots > limit[0]:
            raise torch.OutOfMemoryError('injected')
        return allocate(bank, layout)
    monkeypatch.setattr(MemoryBank, '_allocate', scarce)
    recovery = Recovery(tracker)
    tracker.network.failures = 1
    recovery.run(lambda: tracker.step(clip[10][0], stamp_ns=10), 240)
    assert recovery.reductions == ['memory cut from 8 to 2 frames']
    tracker.settle()
    assert stamps(tracker) == [0, 10] and torch.equal(tracker.bank.keys_of([0])[0], held)


def test_memory_that_waited_comes_back_small_and_it_is_said(tracker, clip, monkeypatch):
    waiting = [True, False]
    monkeypatch.setattr(recovery_module, 'is_waiting', lambda bank: waiting.pop(0))
    recovery = Recovery(tracker)
    result = recovery.run(lambda: tracker.step(clip[10][0], stamp_ns=10), 240)
    assert recovery.reductions == ['memory cut from 8 to 2 frames']
    assert tracker.bank.layout.slots == 2 and result.targets[0].state == TargetState.TRACKING


def test_a_smaller_memory_goes_on_writing(tracker, clip):
    shrink_memory(tracker, 3)
    for time in (10, 11):
        assert tracker.step(clip[time][0], stamp_ns=time).memorized
    tracker.settle()
    assert stamps(tracker) == [0, 10, 11]


def test_a_reference_that_finds_no_memory_leaves_no_target_without_one(tracker, clip):
    tracker.network.memory_failures = 1
    held = stamps(tracker)
    with pytest.raises(torch.OutOfMemoryError):
        tracker.add_reference(clip[0][0], clip[0][1] * 2, {2: 'twin'})
    assert tracker.targets == {1: 'cup'} and stamps(tracker) == held
    assert tracker.step(clip[10][0], stamp_ns=10).targets[0].state == TargetState.TRACKING
    tracker.settle()
    tracker.network.memory_failures = 1
    Recovery(tracker).run(lambda: tracker.add_reference(clip[0][0], clip[0][1] * 2, {2: 'twin'}))
    assert tracker.targets == {1: 'cup', 2: 'twin'}


def test_references_are_never_given_up(tracker, clip):
    for time in range(1, 5):
        tracker.add_reference(clip[time][0], clip[time][1], stamp_ns=100 + time)
    recovery = Recovery(tracker)
    tracker.network.failures = 3
    recovery.run(lambda: tracker.step(clip[10][0], stamp_ns=200), 240)
    assert recovery.reductions[0] == 'memory cut from 8 to 6 frames'
    kinds = [slot.kind for slot in tracker.bank.slots if slot is not None]
    assert kinds.count(SlotKind.REFERENCE) == 5
    assert {0, 101, 102, 103, 104} <= set(stamps(tracker))


def test_values_that_are_not_finite_are_not_written(tracker, clip):
    held = stamps(tracker)
    tracker.network.spoilt = 'value'
    tracker.step(clip[10][0], stamp_ns=10)
    with pytest.raises(NetworkOutputError):
        tracker.settle()
    assert stamps(tracker) == held
    with pytest.raises(NetworkOutputError):
        tracker.add_reference(clip[0][0], clip[0][1] * 2)
    assert tracker.targets == {1: 'cup'}
    tracker.network.spoilt = ''
    assert tracker.step(clip[11][0], stamp_ns=11).targets[0].state == TargetState.TRACKING


def test_a_confidence_that_is_not_finite_is_no_confidence(tracker, clip):
    tracker.network.spoilt = 'confidence'
    with pytest.raises(NetworkOutputError):
        tracker.step(clip[10][0], stamp_ns=10)
    assert tracker.streams['camera'].tracks[1].state == TargetState.TRACKING
