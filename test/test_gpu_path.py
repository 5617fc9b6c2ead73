# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a GPU will be asked for, on a device in disguise: the whole tracker by its public API.

No GPU has run it. This shows that nothing is left on the wrong device, that numbers come to the
processor by copies, what the device's memory holds, and that its running out is survived.
"""
import gc
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from disguised_device import DEVICE
from disguised_device import Disguise
from disguised_device import disguised_device

from stm_ros.inference.prompting import _learned
from stm_ros.inference.prompting import segmenter_for
from stm_ros.memory.budget import spare_bytes
from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.recovery import Recovery
from stm_ros.tracking.reference_folder import export_references
from stm_ros.tracking.reference_folder import import_references
from stm_ros.vision.boxes import Box
from stm_ros.vision.prompts import Prompt

SIZE = (96, 128)
#: small, so that a full memory is full soon
CONFIG = TrackerConfig(dtype='float32', input_size=96, max_frames=4, max_targets=2,
                       memorize_by='frames', memorize_every=1)


@pytest.fixture(scope='module')
def clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and label maps of two targets, the second a part of the first one's surroundings."""
    frames = generate_clip('occlusion', 40, SIZE)[:6]
    marked = []
    for image, label_map in frames:
        label_map = label_map.copy()
        label_map[4:24, 4:30] = 2
        marked.append((image, label_map))
    return marked


def network_of(name: str) -> SpaceTimeNetwork:
    """A network with the shipped weights, or with random ones of a fixed seed."""
    if name == 'stm_lite':
        return load_network()
    torch.manual_seed(0)
    return NETWORKS[name]().eval().requires_grad_(False)


def follow(tracker: Tracker, clip) -> list:
    """Show the first frame and step through the rest: results and what is asked of them late."""
    tracker.add_reference(clip[0][0], clip[0][1], {1: 'cup', 2: 'corner'})
    seen = []
    for time, (image, _) in enumerate(clip[1:], start=1):
        result = tracker.step(image, stamp_ns=time)
        seen.append((result.label_map, result.soft_masks(), result.readout().features,
                     [target.confidence for target in result.targets]))
    return seen


def test_the_device_refuses_what_cuda_refuses():
    with disguised_device(capacity=1000) as device:
        held = torch.zeros(4, 4, device=DEVICE)
        assert held.device == DEVICE and device.used == 64
        with pytest.raises(RuntimeError, match='one device'):
            held + torch.ones(4, 4)
        with pytest.raises(TypeError, match='copy them to the processor'):
            held.numpy()
        with pytest.raises(torch.OutOfMemoryError, match='tried to allocate 4000 bytes'):
            torch.zeros(1000, device=DEVICE)
        copy = held.cpu()
        held[1] = 3
        assert held.sum().item() == 12 and copy.sum() == 0
        view = held[1:]
        del held
        assert device.used == 64 and view[0, 0].item() == 3
        del view
        gc.collect()
        assert device.used == 0


@pytest.mark.parametrize('name', ['stm_lite', 'stm', 'stcn'])
def test_each_network_follows_on_the_device_as_on_the_processor(name, clip):
    frames = clip if name == 'stm_lite' else clip[:3]
    here = follow(Tracker(network_of(name), CONFIG), frames)
    with disguised_device() as device:
        tracker = Tracker(network_of(name), CONFIG, DEVICE)
        there = follow(tracker, frames)
        assert all(parameter.device == DEVICE for parameter in tracker.network.parameters())
        assert device.used > tracker.bank.layout.bytes
        # nothing is left behind by a frame
        gc.collect()
        before = device.used
        tracker.step(frames[1][0], stamp_ns=50)
        tracker.step(frames[2][0], stamp_ns=51)
        tracker.settle()
        gc.collect()
        assert device.used <= before * 1.05
    for (maps, soft, readout, confidences), expected in zip(there, here, strict=True):
        assert type(maps) is type(soft) is type(readout) is np.ndarray
        assert (maps != expected[0]).mean() < 0.002
        np.testing.assert_allclose(soft, expected[1], atol=2e-3)
        np.testing.assert_allclose(readout, expected[2], atol=2e-3)
        np.testing.assert_allclose(confidences, expected[3], atol=2e-3)


@pytest.mark.parametrize('changes', [
    {'policy': 'paper', 'top_k': 20}, {'policy': 'diverse', 'memorize_by': 'novelty'},
    {'policy': 'least_used'}, {'memorize_by': 'seconds'},
    {'dtype': 'bfloat16'}])
def test_every_way_of_remembering_stays_on_the_device(changes, clip):
    config = replace(CONFIG, max_frames=3, **changes)
    with disguised_device():
        tracker = Tracker(load_network(), config, DEVICE)
        results = follow(tracker, clip)
        assert results[-1][0].shape == SIZE and (results[-1][0] == 1).any()
        assert tracker.bank.keys.device == tracker.bank.values.device == DEVICE


def test_corrections_streams_and_removals_stay_on_the_device(clip):
    with disguised_device():
        tracker = Tracker(load_network(), CONFIG, DEVICE)
        follow(tracker, clip[:3])
        tracker.add_reference(clip[3][0], clip[3][1], replace_known=True)
        result = tracker.step(clip[4][0], stream='other', stamp_ns=1)
        assert {target.id for target in result.targets} == {1, 2}
        assert result.attention_maps(1)[0].shape == (6, 8) and result.evidence(1)
        assert tracker.segment(clip[5][0]).label_map.any()
        tracker.remove_target(2)
        assert [target.id for target in tracker.step(clip[5][0], stamp_ns=9).targets] == [1]
        tracker.reset()
        assert not tracker.step(clip[5][0], stamp_ns=10).targets


@pytest.mark.parametrize('name', ['stm_lite', 'stm', 'stcn'])
def test_a_snapshot_goes_from_device_to_processor_and_back(name, tmp_path, clip):
    with disguised_device():
        tracker = Tracker(network_of(name), CONFIG, DEVICE)
        follow(tracker, clip[:4 if name == 'stm_lite' else 2])
        tracker.save(tmp_path / 'there.stm')
        expected = tracker.step(clip[4][0], stamp_ns=40).label_map
        again = Tracker(network_of(name), CONFIG, DEVICE)
        again.load(tmp_path / 'there.stm')
        assert again.bank.keys.device == DEVICE
        assert (again.step(clip[4][0], stamp_ns=40).label_map == expected).all()
    here = Tracker(network_of(name), CONFIG)
    here.load(tmp_path / 'there.stm')
    assert here.bank.keys.device.type == 'cpu'
    assert (here.step(clip[4][0], stamp_ns=40).label_map != expected).mean() < 0.002


def test_known_objects_go_from_one_device_to_the_other_as_a_folder(tmp_path, clip):
    with disguised_device():
        tracker = Tracker(load_network(), CONFIG, DEVICE)
        follow(tracker, clip[:2])
        assert export_references(tracker, tmp_path / 'known') == 1
        again = Tracker(load_network(), CONFIG, DEVICE)
        assert import_references(again, tmp_path / 'known') == (1, 2)
        assert again.bank.keys.device == DEVICE
        there = again.step(clip[2][0], stamp_ns=9).label_map
    here = Tracker(load_network(), CONFIG)
    import_references(here, tmp_path / 'known')
    assert (here.step(clip[2][0], stamp_ns=9).label_map != there).mean() < 0.002
    assert (there == 1).any()


@pytest.mark.parametrize('prompt', [
    Prompt(box=Box(20, 20, 60, 60)), Prompt(points=((50, 50), (5, 90)), on_target=(True, False))])
def test_boxes_and_points_become_masks_on_the_device(prompt, clip):
    here = segmenter_for().segment(clip[0][0], prompt)
    with disguised_device() as device:
        # not through the cache of segmenter_for, which would outlive the device
        segmenter = _learned.__wrapped__(SHIPPED_WEIGHTS, str(DEVICE))
        assert all(parameter.device == DEVICE for parameter in segmenter.head.parameters())
        there = segmenter.segment(clip[0][0], prompt)
        assert device.operations > 100
    assert (there.mask != here.mask).mean() < 0.002 and here.mask.any()
    assert there.expected_iou == pytest.approx(here.expected_iou, abs=2e-3)


def test_distractors_are_told_apart_on_the_device_as_on_the_processor():
    frames = list(islice(ReliabilityClip('look_alike', 0, (120, 160), 0).frames(), 12))
    assert all(frame.look_alike.any() for frame in frames[6:])
    config = replace(CONFIG, input_size=120, max_frames=6)

    def run(tracker: Tracker) -> list[np.ndarray]:
        first = frames[0]
        tracker.add_reference(first.image, first.truth.astype(np.uint8))
        return [tracker.step(frame.image).label_map for frame in frames[1:]]
    here = Tracker(load_network(), config)
    expected = run(here)
    with disguised_device():
        there = run(Tracker(load_network(), config, DEVICE))
    for one, other in zip(there, expected, strict=True):
        assert (one != other).mean() < 0.005
    assert sum((one == 1).sum() for one in there) > 500


@pytest.mark.parametrize('name', ['stm_lite', 'stm', 'stcn'])
def test_a_device_that_runs_out_of_memory_is_survived(name, clip):
    config = replace(CONFIG, max_frames=64, max_targets=8)
    with disguised_device() as device:
        tracker = Tracker(network_of(name), config, DEVICE)
        recovery = Recovery(tracker)
        tracker.add_reference(clip[0][0], clip[0][1])
        recovery.run(lambda: tracker.step(clip[1][0], stamp_ns=1), SIZE[0])
        assert not recovery.reductions
        tracker.settle()
        gc.collect()
        # somebody else takes what was free: there is less room than a frame needs
        device.capacity, device.peak = device.used + 100_000, 0
        result = recovery.run(lambda: tracker.step(clip[2][0], stamp_ns=2), SIZE[0])
        assert recovery.reductions[0].startswith('memory cut from 64 to')
        assert tracker.bank.layout.slots < 64 and tracker.bank.keys.device == DEVICE
        assert {target.id for target in result.targets} == {1, 2}
        assert device.peak <= device.capacity
        more = tracker.step(clip[3][0], stamp_ns=3)
        assert {target.id for target in more.targets} == {1, 2}
        # random weights find anything or nothing
        assert name != 'stm_lite' or (more.label_map == 1).any()


def test_nothing_left_to_give_up_is_said_and_the_next_frame_is_tried(clip):
    with disguised_device() as device:
        tracker = Tracker(load_network(), CONFIG, DEVICE)
        recovery = Recovery(tracker)
        tracker.add_reference(clip[0][0], clip[0][1])
        tracker.settle()
        gc.collect()
        plenty, device.capacity = device.capacity, 0
        with pytest.raises(torch.OutOfMemoryError):
            recovery.run(lambda: tracker.step(clip[1][0], stamp_ns=1), SIZE[0])
        device.capacity = plenty
        result = recovery.run(lambda: tracker.step(clip[1][0], stamp_ns=2), SIZE[0])
        assert {target.id for target in result.targets} == {1, 2}


def test_the_disguise_is_the_only_device_that_is_there():
    with disguised_device() as device:
        assert Disguise.active is device
    assert Disguise.active is None
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(2, device=DEVICE)


def test_what_cuda_has_free_bounds_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (700, 1000))
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda device: 300)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: 100)
    assert spare_bytes(torch.device('cuda')) == 900
