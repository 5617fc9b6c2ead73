# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The networks: parity with the official code, symmetries, aggregation, devices."""
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from stm_ros.inference.judge import SIGHT_CUES
from stm_ros.inference.runner import Runner
from stm_ros.inference.windows import Region
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank import NewFrame
from stm_ros.memory.fine_keys import keep_fine
from stm_ros.memory.policy import POLICIES
from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.interface import others_of
from stm_ros.networks.interface import probabilities_of
from stm_ros.networks.reading import read_memory
from stm_ros.networks.stcn import STCN
from stm_ros.networks.stm import STM
from stm_ros.networks.stm_lite import STMLite
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.prepare import geometry_for


@pytest.fixture(scope='module')
def golden(shared_dir):
    """What the official code computes, and its weights in our network."""
    folder = shared_dir / 'golden'
    if not (folder / 'stm_two_objects.npz').is_file():
        pytest.skip(f'no golden values in {folder}')
    sys.path.insert(0, str(folder))
    try:
        import recipe
    finally:
        sys.path.remove(str(folder))
    network = STM()
    network.load_state_dict(recipe.fill(network.state_dict()))
    names = json.loads((folder / 'stm_state_dict.json').read_text())
    return network, np.load(folder / 'stm_two_objects.npz'), names


def test_stm_has_the_official_names_and_shapes(golden):
    network, _, names = golden
    assert {name: list(t.shape) for name, t in network.state_dict().items()} == names


def test_stm_reproduces_every_probability_of_the_official_code(golden):
    network, values, _ = golden
    config = TrackerConfig(input_size=0, dtype='float64', policy='paper', max_frames=8,
                           memorize_every=int(values['memorize_every']))
    tracker = Tracker(network, config)
    tracker.add_reference(values['frames'][0], values['mask0'].astype(np.uint8))
    key = tracker.bank.keys_of([0])[0].transpose(1, 2).unflatten(2, (7, 10)).numpy()
    value = tracker.bank.values_of([0])[0][:, :, 0].transpose(1, 2).unflatten(2, (7, 10)).numpy()
    assert np.abs(key - values['key0']).max() < 1e-9
    assert np.abs(value - values['value0']).max() < 1e-9
    geometry = geometry_for((100, 150), 0, 16)
    rows, columns = geometry.inside()
    for time in range(1, len(values['frames'])):
        prediction = _predict(tracker, values['frames'][time])
        if time == 1:
            logits = prediction.logits[:, rows, columns].numpy()
            assert np.abs(logits - values['logit1']).max() < 1e-9
        soft = torch.softmax(
            torch.cat([prediction.logits, torch.full((8, 112, 160), _LEAST)]), 0)[:3]
        difference = soft[:, rows, columns].numpy() - values['probabilities'][time]
        assert np.abs(difference).max() < 1e-9, time


@pytest.mark.skipif(shutil.which('g++') is None, reason='torch.compile needs a C++ compiler here')
def test_a_compiled_network_gives_the_same_masks():
    clip = generate_clip('occlusion', 10, (96, 128))
    runs = []
    for mode in ('none', 'default'):
        tracker = Tracker.from_pretrained(config=TrackerConfig(
            dtype='float32', full_look_seconds=0.0, compile=mode))
        tracker.add_reference(clip[0][0], clip[0][1])
        runs.append([tracker.step(image).label_map for image, _ in clip[1:4]])
    assert 'encode_query' in vars(tracker.network)
    for plain, compiled in zip(*runs, strict=True):
        assert (plain == 1).sum() > 100 and (plain != compiled).mean() < 1e-3


def test_folded_norms_change_nothing():
    torch.manual_seed(0)
    network = STM().double().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    image, masks = torch.rand(1, 3, 64, 96).double(), torch.rand(2, 64, 96).double()
    query = network.encode_query(image)
    before = *query[:3], *network.encode_memory(query, masks)
    assert sum('bn' in name for name in network.state_dict()) > 100
    for _ in range(2):
        network.prepare_for_inference()
        query = network.encode_query(image)
        after = *query[:3], *network.encode_memory(query, masks)
        for one, other in zip(before, after, strict=True):
            for first, second in zip(one if isinstance(one, tuple) else (one,),
                                     other if isinstance(other, tuple) else (other,), strict=True):
                assert torch.allclose(first, second, atol=1e-9)
    # only the two stems keep theirs
    assert sum('running_mean' in name for name in network.state_dict()) == 2


_LEAST = float(np.log(1e-7 / (1 - 1e-7)))


def _predict(tracker: Tracker, frame: np.ndarray):
    """Step, and return what the runner saw on the way."""
    kept = []
    look = tracker.runner.look
    tracker.runner.look = lambda *values: kept.append(look(*values)) or kept[-1]
    tracker.step(frame)
    tracker.runner.look = look
    return kept[0]


def test_aggregation_of_certain_masks_is_certain():
    masks = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]])
    soft = torch.softmax(aggregate(masks), 0)
    assert soft.argmax(0).tolist() == [[1, 2, 0]]
    assert soft.amax(0).min() > 0.99999


def test_aggregation_follows_the_order_of_targets():
    masks = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    swapped = aggregate(masks[[2, 0, 1]])
    torch.testing.assert_close(swapped, aggregate(masks)[[0, 3, 1, 2]])


def test_unused_channels_take_hardly_anything():
    masks = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0))
    wide = torch.softmax(aggregate(masks, 11), 0)
    assert wide.shape[0] == 11
    assert (wide[:3] - torch.softmax(aggregate(masks), 0)).abs().max() < 1e-4


def test_others_are_the_sum_of_the_other_masks():
    masks = torch.tensor([[[1.0, 0.25]], [[0.5, 0.5]], [[0.75, 0.0]]])
    assert others_of(masks).tolist() == [[[1.0, 0.5]], [[1.0, 0.25]], [[1.0, 0.75]]]


@pytest.fixture(scope='module')
def lite() -> STMLite:
    """STM-lite with weights of a fixed seed."""
    torch.manual_seed(0)
    return STMLite().eval().requires_grad_(False)


def lite_logits(network: STMLite, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Memorise an image with masks and find them in the same image: N×h×w logits."""
    query = network.encode_query(image)
    memory = network.encode_memory(query, masks)
    key = memory.key.flatten(2).transpose(1, 2)
    value = memory.value.flatten(2).permute(2, 0, 1)[None]
    readout = read_memory(key, [key], [value], network.similarity).readout[0].transpose(1, 2)
    readout = readout.unflatten(2, query.key.shape[2:])
    return network.decode(query, readout, masks).logits


def test_swapping_targets_swaps_their_logits(lite):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 64, 96, generator=generator)
    masks = (torch.rand(2, 64, 96, generator=generator) > 0.7).float()
    torch.testing.assert_close(lite_logits(lite, image, masks.flip(0)),
                               lite_logits(lite, image, masks).flip(0), atol=1e-4, rtol=1e-4)


def test_a_target_is_decoded_alike_alone_and_beside_an_empty_one(lite):
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    mask = (torch.rand(1, 64, 64, generator=generator) > 0.7).float()
    both = torch.cat([mask, torch.zeros_like(mask)])
    torch.testing.assert_close(lite_logits(lite, image, both)[:1], lite_logits(lite, image, mask),
                               atol=1e-4, rtol=1e-4)


def test_logits_are_enlarged_with_pixel_centres_aligned():
    logits = torch.tensor([[[0.0, 4.0]]])
    enlarged = torch.logit(probabilities_of(logits, (1, 4)))
    torch.testing.assert_close(enlarged, torch.tensor([[[0.0, 1.0, 3.0, 4.0]]]))


@pytest.mark.parametrize('kind', [STM, STMLite, STCN])
@pytest.mark.parametrize('top_k', [0, 5])
def test_a_step_makes_every_tensor_on_the_device_of_its_source(kind, top_k):
    """Where there is no GPU, `meta` stands for one: mixing it with the CPU is an error."""
    meta = torch.device('meta')
    with pytest.raises(RuntimeError, match='device'):
        torch.empty(2, device=meta).add(torch.zeros(2))
    runner = Runner(kind(), meta, 'float32', top_k=top_k)
    geometry = geometry_for((60, 90), 0, 16)
    bank = MemoryBank(runner.layout(3, 2, 24), POLICIES['fifo'](), meta)
    with torch.inference_mode():
        view = runner.encode(np.zeros((60, 90, 3), np.uint8), geometry)
        masks = torch.zeros(2, 64, 96, device=meta)
        memory = runner.network.encode_memory(view.query, masks)
        frame = NewFrame(memory.key, memory.value, view.extent_of(view.window), (1, 2),
                         frozenset((1, 2)), 'camera', 0, 1.0, {},
                         np.zeros(runner.network.key_channels, np.float32))
        if view.query.fine is not None:
            frame = replace(frame, fine=keep_fine(view.query.fine, masks[:, ::8, ::8], (1, 2),
                                                  (0, 0), [(1, 1, 5, 7)]))
        for target in frame.targets:
            bank.add_target(target)
        bank.write_reference(frame)
        bank.write_recent(frame, due=True)
        small, large = Region(0, 1, 2, 4), Region(1, 1, 4, 5)
        for regions in ([None, None], [None, small], [small, small], [small, large]):
            view = runner.encode(np.zeros((60, 90, 3), np.uint8), geometry, regions)
            sight = runner.find(view, geometry, bank, [0, 1], masks, regions)
            for name, value in sight._asdict().items():
                assert value.device == meta, name
            assert sight.channels.shape == (60, 90) and sight.logits.shape == (3, 64, 96)
            assert sight.mass.shape == (2, 2, 2) and sight.cues.shape == (2, len(SIGHT_CUES))
