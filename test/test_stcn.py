# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""STCN: the official names and shapes, parity with the official code, and what needs neither."""
import json
import sys

import numpy as np
import pytest
import torch

from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import probabilities_of
from stm_ros.networks.reading import read_memory
from stm_ros.networks.stcn import STCN
from stm_ros.networks.trunks import BasicBlock
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.prepare import geometry_for
from stm_ros.vision.prepare import prepare_image
from stm_ros.vision.prepare import prepare_masks


def official_shapes() -> dict[str, list[int]]:
    """The 405 tensors of the official checkpoint, from what its paper says of the network."""
    shapes: dict[str, list[int]] = {}

    def convolution(name: str, out: int, into: int, kernel: int = 3, bias: bool = True) -> None:
        shapes[f'{name}.weight'] = [out, into, kernel, kernel]
        if bias:
            shapes[f'{name}.bias'] = [out]

    def norm(name: str, channels: int) -> None:
        for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{name}.{leaf}'] = [channels]
        shapes[f'{name}.num_batches_tracked'] = []

    def block(name: str, channels: list[int], kernels: list[int], bias: bool) -> None:
        for number, kernel in enumerate(kernels, start=1):
            convolution(f'{name}.conv{number}', channels[number], channels[number - 1], kernel,
                        bias)
            norm(f'{name}.bn{number}', channels[number])
        if name.endswith('.0') and channels[0] != channels[-1]:
            convolution(f'{name}.downsample.0', channels[-1], channels[0], 1, bias)
            norm(f'{name}.downsample.1', channels[-1])

    def residual(name: str, into: int, out: int) -> None:
        for part in ('downsample', 'conv1') if into != out else ('conv1',):
            convolution(f'{name}.{part}', out, into)
        convolution(f'{name}.conv2', out, out)

    convolution('key_encoder.conv1', 64, 3, 7, bias=False)
    norm('key_encoder.bn1', 64)
    into = 64
    for stage, width, blocks in (('res2', 64, 3), ('layer2', 128, 4), ('layer3', 256, 6)):
        for number in range(blocks):
            block(f'key_encoder.{stage}.{number}', [into, width, width, 4 * width], [1, 3, 1],
                  bias=False)
            into = 4 * width
    convolution('value_encoder.conv1', 64, 5, 7)
    norm('value_encoder.bn1', 64)
    into = 64
    for stage, width in (('layer1', 64), ('layer2', 128), ('layer3', 256)):
        for number in range(2):
            block(f'value_encoder.{stage}.{number}', [into, width, width], [3, 3], bias=True)
            into = width
    fuser = 'value_encoder.fuser'
    residual(f'{fuser}.block1', 1280, 512)
    residual(f'{fuser}.block2', 512, 512)
    for layer, out, wide in ((1, 32, 512), (3, 512, 32)):
        shapes[f'{fuser}.attention.ChannelGate.mlp.{layer}.weight'] = [out, wide]
        shapes[f'{fuser}.attention.ChannelGate.mlp.{layer}.bias'] = [out]
    convolution(f'{fuser}.attention.SpatialGate.spatial.conv', 1, 2, 7)
    convolution('key_proj.key_proj', 64, 1024)
    convolution('key_comp', 512, 1024)
    residual('decoder.compress', 1024, 512)
    for name, into, out in (('up_16_8', 512, 256), ('up_8_4', 256, 256)):
        convolution(f'decoder.{name}.skip_conv', into, into)
        residual(f'decoder.{name}.out_conv', into, out)
    convolution('decoder.pred', 1, 256)
    return shapes


def test_names_and_shapes_are_the_official_ones():
    shapes = official_shapes()
    assert len(shapes) == 405
    assert {name: list(t.shape) for name, t in STCN().state_dict().items()} == shapes


def seeded(dtype: torch.dtype = torch.float64) -> STCN:
    """STCN with weights of a fixed seed and batch norms that do something."""
    torch.manual_seed(0)
    network = STCN().to(dtype).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.75, 1.25)
    return network


@pytest.fixture(scope='module')
def network() -> STCN:
    """One for all tests that leave it as it is."""
    return seeded()


def logits_of(network: STCN, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Memorise an image with masks and find them in the same image: N×h×w logits."""
    query = network.encode_query(image)
    return network.decode(query, readout_of(network, image, masks)).logits


def readout_of(network: STCN, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """What the image finds when it is memorised with masks: N×512×h×w."""
    query = network.encode_query(image)
    memory = network.encode_memory(query, masks)
    key = memory.key.flatten(2).transpose(1, 2)
    value = memory.value.flatten(2).permute(2, 0, 1)[None]
    readout = read_memory(key, [key], [value], network.similarity, top_k=20).readout[0]
    return readout.transpose(1, 2).unflatten(2, query.key.shape[2:])


@pytest.fixture(scope='module')
def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """An image 1×3×64×96 and two masks."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 64, 96, generator=generator).double()
    masks = (torch.rand(2, 64, 96, generator=generator) > 0.7).double()
    return image, masks * torch.stack([torch.ones(64, 96), 1 - masks[0]])


def test_targets_share_the_key_and_have_a_value_each(network, picture):
    image, masks = picture
    query = network.encode_query(image)
    memory = network.encode_memory(query, masks)
    assert memory.key is query.key and query.key.shape == (1, 64, 4, 6)
    assert memory.value.shape == (2, 512, 4, 6) and not torch.equal(*memory.value)


def test_swapping_targets_swaps_their_logits(network, picture):
    image, masks = picture
    torch.testing.assert_close(logits_of(network, image, masks.flip(0)),
                               logits_of(network, image, masks).flip(0))


def test_a_target_is_decoded_alike_alone_and_beside_an_empty_one(network, picture):
    image, masks = picture
    both = torch.cat([masks[:1], torch.zeros_like(masks[:1])])
    torch.testing.assert_close(logits_of(network, image, both)[:1],
                               logits_of(network, image, masks[:1]))


def test_several_parts_of_a_frame_are_decoded_as_each_by_itself(network, picture):
    image, masks = picture
    readout = readout_of(network, image, masks)
    query = network.encode_query(image)
    halves = [query._replace(key=query.key[..., part(1)], feature=query.feature[..., part(1)],
                             skips=(query.skips[0][..., part(2)], query.skips[1][..., part(4)]))
              for part in (lambda f: slice(0, 3 * f), lambda f: slice(3 * f, 6 * f))]
    alone = [network.decode(half, readout[:, :, :, :3]) for half in halves]
    both = query._replace(
        feature=torch.cat([half.feature for half in halves]),
        skips=tuple(torch.cat([half.skips[n] for half in halves]) for n in (0, 1)))
    for count, expected in ((2, [alone[0].logits[:1], alone[1].logits[1:]]),
                            (4, [alone[0].logits[:1], alone[1].logits[1:]] * 2)):
        taken = readout[[0, 1] * (count // 2), :, :, :3]
        torch.testing.assert_close(network.decode(both, taken).logits, torch.cat(expected))


def test_folding_all_norms_changes_nothing(picture):
    image, masks = picture
    network = seeded()
    before = logits_of(network, image, masks)
    assert sum('running_mean' in name for name in network.state_dict()) == 58
    for _ in range(2):
        network.prepare_for_inference()
        torch.testing.assert_close(logits_of(network, image, masks), before, atol=1e-9, rtol=1e-9)
    assert not any('running_mean' in name for name in network.state_dict())


def test_a_basic_block_adds_its_input():
    block = BasicBlock(1, 1).eval().requires_grad_(False)
    for convolution, bias in ((block.conv1, 1.0), (block.conv2, -2.0)):
        convolution.weight.zero_()
        convolution.weight[0, 0, 1, 1] = 1
        convolution.bias.fill_(bias)
    for norm in (block.bn1, block.bn2):
        norm.running_var.fill_(1 - norm.eps)
    # relu(x + 1) - 2 + x, and relu of it
    assert block(torch.tensor([[[[-3.0, 0.0, 2.0]]]])).flatten().tolist() == [0.0, 0.0, 3.0]


def test_what_surrounds_an_image_is_zero_for_the_network(network):
    planes = prepare_image(np.full((20, 30, 3), 255, np.uint8), geometry_for((20, 30), 0, 16),
                           torch.device('cpu'), torch.float64, network.padding_colour)
    normalised = network.encode_query(planes).image
    assert normalised[:, :, :6].abs().max() == 0 and normalised[..., :1].abs().max() == 0
    expected = [(1 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    torch.testing.assert_close(normalised[0, :, 10, 10], torch.tensor(expected).double(),
                               atol=1e-6, rtol=0)


def test_a_checkpoint_is_recognised_and_runs_as_a_tracker(tmp_path):
    path = tmp_path / 'stcn.pth'
    torch.save(seeded(torch.float32).state_dict(), path)
    tracker = Tracker(load_network('stcn', path), TrackerConfig(dtype='float32', max_frames=3))
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    label_map = np.zeros((60, 90), np.uint8)
    label_map[10:40, 10:40], label_map[10:40, 50:80] = 3, 7
    tracker.add_reference(image, label_map)
    results = [tracker.step(image) for _ in range(3)]
    assert [target.id for target in results[-1].targets] == [3, 7]
    # what there is no head and no fit for is said to be no probability of anything
    assert not any(target.confidence_calibrated for target in results[-1].targets)
    assert results[-1].readout().features.shape == (2, 512, 4, 6)


@pytest.fixture(scope='module')
def golden(shared_dir):
    """What the official code computes, and its weights in our network."""
    folder = shared_dir / 'golden'
    if not (folder / 'stcn_two_objects.npz').is_file():
        pytest.skip(f'no golden values of stcn in {folder}')
    sys.path.insert(0, str(folder))
    try:
        import recipe
    finally:
        sys.path.remove(str(folder))
    network = STCN()
    network.load_state_dict(recipe.fill(network.state_dict()))
    names = json.loads((folder / 'stcn_state_dict.json').read_text())
    clip = np.load(folder / 'stm_two_objects.npz')
    return network, np.load(folder / 'stcn_two_objects.npz'), names, clip


def test_the_checkpoint_of_the_golden_values_has_these_names(golden):
    network, _, names, _ = golden
    assert {name: list(t.shape) for name, t in network.state_dict().items()} == names
    assert list(network.state_dict()) == list(names)


def test_the_network_reproduces_the_official_code_without_the_previous_frame(golden):
    """The official loop, of our network, reading and aggregation only."""
    original, values, _, clip = golden
    network = STCN().double().eval().requires_grad_(False)
    network.load_state_dict(original.state_dict())
    geometry = geometry_for((100, 150), 0, 16)
    rows, columns = geometry.inside()
    device = torch.device('cpu')
    masks = prepare_masks(clip['mask0'], [1, 2], geometry, device, torch.float64)
    keys, held = [], []
    for time, frame in enumerate(clip['frames']):
        planes = prepare_image(frame, geometry, device, torch.float64, network.padding_colour)
        query = network.encode_query(planes)
        if time:
            read = read_memory(query.key.flatten(2).transpose(1, 2), keys, held,
                               network.similarity, top_k=int(values['top_k']))
            readout = read.readout[0].transpose(1, 2).unflatten(2, query.key.shape[2:])
            logits = network.decode(query, readout).logits
            soft = torch.softmax(aggregate(probabilities_of(logits, geometry.padded)), dim=0)
            difference = soft[:, rows, columns].numpy() - values['probabilities'][time]
            assert np.abs(difference).max() < 1e-9, time
            masks = soft[1:]
        if time % int(values['memorize_every']) == 0:
            memory = network.encode_memory(query, masks)
            if time == 0:
                assert np.abs(memory.key.numpy() - values['key0']).max() < 1e-9
                assert np.abs(memory.value.numpy() - values['value0']).max() < 1e-9
            keys.append(memory.key.flatten(2).transpose(1, 2))
            held.append(memory.value.flatten(2).permute(2, 0, 1)[None])
    assert len(keys) == 2


def test_a_tracker_reproduces_the_official_code_with_the_previous_frame(golden):
    original, values, _, clip = golden
    network = STCN()
    network.load_state_dict(original.state_dict())
    config = TrackerConfig(input_size=0, dtype='float64', policy='paper', max_frames=8,
                           memorize_by='frames',
                           top_k=int(values['top_k']),
                           memorize_every=int(values['memorize_every']))
    tracker = Tracker(network, config)
    tracker.add_reference(clip['frames'][0], clip['mask0'].astype(np.uint8))
    rows, columns = geometry_for((100, 150), 0, 16).inside()
    for time in range(1, len(clip['frames'])):
        logits = logits_seen(tracker, clip['frames'][time])[:, rows, columns]
        soft = torch.softmax(logits, dim=0).numpy()
        assert np.abs(soft - values['probabilities_with_last'][time]).max() < 1e-9, time


def logits_seen(tracker: Tracker, frame: np.ndarray) -> torch.Tensor:
    """Step, and return the logits 3×H×W in full precision, which no result hands out."""
    kept = []
    look = tracker.runner.look
    tracker.runner.look = lambda *values: kept.append(look(*values)) or kept[-1]
    tracker.step(frame)
    tracker.runner.look = look
    return kept[0].logits
