# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training: clips, losses, schedule, and a run of twenty iterations that stops and goes on."""
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.fine import join_features
from stm_ros.networks.stm_lite import STMLite
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.photometric import degrade_clip
from stm_ros.training.clips import ClipDataset
from stm_ros.training.clips import ClipSettings
from stm_ros.training.configuration import Phase
from stm_ros.training.configuration import TrainingConfig
from stm_ros.training.configuration import load_config
from stm_ros.training.export import export_weights
from stm_ros.training.forward import FramePrediction
from stm_ros.training.forward import aggregate_clips
from stm_ros.training.loop import Trainer
from stm_ros.training.loop import learning_rate_factor
from stm_ros.training.losses import bootstrapped_cross_entropy
from stm_ros.training.losses import clip_loss
from stm_ros.training.losses import dice_loss
from stm_ros.training.losses import intersection_over_union
from stm_ros.training.matching import fit_match_key
from stm_ros.training.prompt_loop import load_prompt_config
from stm_ros.training.sources import DataSet
from stm_ros.training.sources import Pair
from stm_ros.vision.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ClipSettings(size=64, frames=3, seed=5)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A small data set of real photographs with real masks, and a video of six frames."""
    pytest.importorskip('skimage', reason='scikit-image has the photographs')
    folder = tmp_path_factory.mktemp('data')
    for place in ('stills', 'video/cup'):
        (folder / place / 'images').mkdir(parents=True)
        (folder / place / 'masks').mkdir()
    for number, (image, label_map) in enumerate(generate_clip('occlusion', 6, (96, 128))):
        _write(folder / 'video' / 'cup', f'{number}', image, label_map)
    for number, (image, label_map) in enumerate(generate_clip('look_alike', 2, (96, 128))):
        _write(folder / 'stills', f'{number}', image, label_map)
    return [DataSet('photographs', folder / 'stills', 'instances', 'CC0'),
            DataSet('cup', folder / 'video', 'video', 'CC0')]


def _write(folder, stem, image, mask):
    cv2.imwrite(str(folder / 'images' / f'{stem}.jpg'), np.ascontiguousarray(image[..., ::-1]))
    cv2.imwrite(str(folder / 'masks' / f'{stem}.png'), mask)


def test_clips_repeat_by_number_and_start_with_a_target(data):
    clips = ClipDataset(data, SETTINGS, length=12)
    later = ClipDataset(data, SETTINGS, length=6, first=6)
    for index in range(6):
        images, masks = clips[index + 6]
        assert images.shape == (3, 3, 64, 64) and images.dtype == torch.uint8
        assert masks.shape == (3, 2, 64, 64)
        assert set(masks.unique().tolist()) <= {0, 1}
        assert masks[0].sum() >= 100
        assert masks.sum(1).max() == 1
        again = later[index]
        assert torch.equal(images, again.images) and torch.equal(masks, again.masks)
    assert not torch.equal(clips[0].images, clips[1].images)


def test_damage_spares_the_first_frame_where_it_lasts():
    """Of a checkerboard, blur takes contrast and noise adds what was not there."""
    board = 255 * ((np.indices((32, 32)) // 4).sum(0) % 2).astype(np.float32)
    frames = [np.stack([board] * 3, axis=2)] * 5
    damaged = np.array([[_is_damaged(frame) for frame in degrade_clip(
        list(frames), np.random.default_rng(seed))] for seed in range(300)])
    lasting = ~damaged[:, 0] & damaged[:, 1:].all(axis=1)
    whole = ~damaged.any(axis=1)
    assert 0.12 < lasting.mean() < 0.3 and 0.4 < whole.mean() < 0.6
    assert 0.1 < damaged[:, 0].mean() < 0.2  # half the frames of a third of the clips


def _is_damaged(frame):
    """Whether a flat part of a checkerboard of 4×4 fields is not of one colour any more."""
    fields = frame.astype(int).reshape(8, 4, 8, 4, 3)
    return bool(fields.std(axis=(1, 3)).max() > 0.5)


def test_the_loss_of_perfect_masks_is_nearly_nothing():
    masks = torch.zeros(1, 2, 1, 8, 8)
    masks[:, :, 0, :, :4] = 1
    exact = aggregate_clips(masks[:, 1])
    certain = torch.full((1, 1), 20.0)
    perfect = FramePrediction(exact, certain, certain, masks[:, 1] > 0.5)
    loss, parts = clip_loss([perfect], masks, 1.0)
    assert float(loss) < 1e-3 and parts['iou'] == 1
    wrong = perfect._replace(logits=aggregate_clips(1 - masks[:, 1]))
    loss, parts = clip_loss([wrong], masks, 1.0)
    assert float(loss) > 5 and parts['iou'] == 0


def test_bootstrapping_takes_the_hardest_pixels():
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 0, 0] = torch.tensor([0.0, 5.0, 5.0, 5.0])
    labels = torch.zeros(1, 1, 4, dtype=torch.int64)
    assert float(bootstrapped_cross_entropy(logits, labels, 0.25)) == pytest.approx(math.log(2))
    mean = (math.log(2) + 3 * math.log1p(math.exp(-5))) / 4
    assert float(bootstrapped_cross_entropy(logits, labels, 1.0)) == pytest.approx(mean)


def test_dice_and_iou_by_hand():
    masks = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    guess = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]])
    exists = torch.tensor([[True]])
    assert float(dice_loss(guess, masks, exists)) == pytest.approx(1 - 3 / 5)
    assert float(intersection_over_union(guess > 0.5, masks > 0.5)) == pytest.approx(1 / 3)
    assert float(intersection_over_union(guess > 0.5, masks > 2)) == 0


def test_the_learning_rate_warms_up_and_falls():
    factors = [learning_rate_factor(i, 0, 10, 100) for i in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == 1
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert factors[100] == pytest.approx(0.01)


def test_twenty_iterations_stop_go_on_and_export(data, tmp_path):
    torch.manual_seed(0)
    network = STMLite()
    early = network.trunk.stem.weight.detach().clone()
    config = TrainingConfig(tuple(data), (Phase(10, 3, 2, 2, 64), Phase(20, 4, 2, 2, 64)), 'CC0',
                            warm_up=3, workers=0, bootstrap_from=5, validate_every=10)
    scores = iter((40.0, 50.0))
    first = Trainer(config, tmp_path, network, lambda averaged: next(scores))
    step = first._step

    def stop_at_twelve(*values):
        first.stopping = first.iteration == 11
        return step(*values)
    first._step = stop_at_twelve
    assert first.run() is False and first.iteration == 12
    again = Trainer(config, tmp_path, STMLite(), lambda averaged: next(scores))
    assert again.iteration == 12
    assert all(torch.equal(tensor, again.network.state_dict()[name])
               for name, tensor in first.network.state_dict().items())
    assert again.run() is True and again.iteration == 20
    assert torch.equal(again.network.trunk.stem.weight, early)
    assert not torch.equal(again.network.key.weight, first.network.key.weight)
    log = (tmp_path / 'log.csv').read_text()
    assert '\n10,' in log and ',40.0' in log and ',50.0' in log
    assert (tmp_path / 'log.png').stat().st_size > 5000
    export_weights(again.averaged_network(), tmp_path / 'out.safetensors', {'licence': 'CC0'})
    loaded = load_network('stm_lite', tmp_path / 'out.safetensors')
    assert loaded.metadata['licence'] == 'CC0'
    assert torch.allclose(loaded.key.weight, again.average['key.weight'], atol=1e-3)


def test_the_shipped_configuration_is_read(shared_dir):
    if not (shared_dir / 'data').is_dir():
        pytest.skip(f'no training data in {shared_dir}')
    config = load_config(ROOT / 'config' / 'training' / 'stm_lite.yaml', shared_dir / 'data')
    assert config.iterations == config.phases[-1].until
    assert all(data_set.licence for data_set in config.data_sets)


@pytest.mark.parametrize('text, words', [
    ('colour: red', "unknown \\['colour'\\]"),
    ('{data_sets: [{name: a, folder: b, kind: cubes, licence: c}], licence: c, phases: []}',
     'cubes'),
    ('{data_sets: [{name: a, folder: b, kind: video, licence: c}], licence: c, phases: []}',
     'is not at')])
def test_mistakes_in_a_configuration_are_told(tmp_path, text, words):
    path = tmp_path / 'training.yaml'
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        load_config(path, tmp_path)


def test_masks_are_read_as_everywhere(tmp_path):
    """Soft edges of a binary mask are cut at half; a mask of another size is refused by name."""
    image = np.full((40, 60, 3), 90, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 10:40] = 255
    mask[9, 10:40], mask[30, 10:40] = 60, 200
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    _write(tmp_path, 'soft', image, mask)
    paths = tmp_path / 'images' / 'soft.jpg', tmp_path / 'masks' / 'soft.png'
    loaded = Pair(*paths, binary=True).load(480)[1]
    assert loaded.sum() == 30 * 21 and not loaded[9].any() and loaded[30, 10:40].all()
    cv2.imwrite(str(paths[1]), mask[:, :50])
    with pytest.raises(InputError, match='50×40 pixels and its image 60×40'):
        Pair(*paths, binary=True).load(480)


def test_keys_of_matching_are_fitted_to_the_clips(data):
    torch.manual_seed(1)
    network = STMLite()
    before = network.match_key.project.weight.clone()
    fit_match_key(network, TrainingConfig(tuple(data), (Phase(1, 3, 2, 2, 64),), 'CC0', seed=3))
    assert not torch.equal(network.match_key.project.weight, before)
    weight = network.match_key.project.weight[:, :, 0, 0]
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-4, rtol=0)
    features = network.trunk(torch.rand(1, 3, 64, 64))
    assert join_features(features.stride8, features.stride16).shape[1] == weight.shape[1]


def test_training_leaves_a_user_s_files_alone(data, tmp_path, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'log.csv').write_text('mine')
    config = tmp_path / 'config.yaml'
    config.write_text('licence: CC0\nphases: [{until: 1, frames: 3, batch: 1, max_skip: 2}]\n'
                      'data_sets: [{name: a, folder: stills, kind: instances, licence: CC0}]\n')
    words = ['train', '--config', str(config), '--data', str(data[0].folder.parent), '--out',
             str(out)]
    assert main(words) == 2
    assert 'was not written by stm' in capsys.readouterr().err
    assert (out / 'log.csv').read_text() == 'mine' and len(list(out.iterdir())) == 1


@pytest.mark.parametrize('load', [load_config, load_prompt_config])
@pytest.mark.parametrize('content', [
    b'', b'[1', b'[1]', b'\x89PNG', 'a: 1'.encode('utf-16'), b'data_sets: 3', b'data_sets: []',
    b'licence: x\niterations: 1\nphases: []\ndata_sets: [images]'])
def test_files_that_are_no_configuration_say_so(tmp_path, load, content):
    (tmp_path / 'c.yaml').write_bytes(content)
    with pytest.raises(InputError, match='c.yaml'):
        load(tmp_path / 'c.yaml', tmp_path)
