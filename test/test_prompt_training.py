# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training and measuring the head for prompts: samples, what is held out, a run that goes on."""
import json
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stm_ros.cli.main import main
from stm_ros.evaluation.prompts import ShownTarget
from stm_ros.evaluation.prompts import score_target
from stm_ros.evaluation.prompts import thinned
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.checkpoints import read_checkpoint
from stm_ros.networks.prompting import PREFIX
from stm_ros.synthetic.clips import generate_clip
from stm_ros.training import prompt_loop
from stm_ros.training.prompt_loop import load_prompt_config
from stm_ros.training.prompt_loop import prompt_loss
from stm_ros.training.prompt_samples import PromptSampler
from stm_ros.training.prompt_samples import jittered
from stm_ros.training.prompt_samples import split_pairs
from stm_ros.training.prompt_samples import with_correction
from stm_ros.training.sources import DataSet
from stm_ros.training.sources import pairs_in
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.prompts import PromptedMask

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
licence: CC0
seed: 3
iterations: 4
batch: 2
warm_up: 2
data_sets:
  - {name: cups, folder: static/coco_subset, kind: instances, licence: CC0}
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Photographs with masks, laid out like the data that heads are measured on."""
    pytest.importorskip('skimage', reason='scikit-image has the photographs')
    root = tmp_path_factory.mktemp('data')
    clip = list(generate_clip('occlusion', 6, (96, 128)))
    for name in ('coco_subset', 'tabletop_icra25'):
        folder = root / 'static' / name
        for part in ('images', 'masks'):
            (folder / part).mkdir(parents=True)
        for number, (image, label_map) in enumerate(clip):
            _write(folder / 'images' / f'{number:02}_{number // 2}.jpg', image[..., ::-1])
            _write(folder / 'masks' / f'{number:02}_{number // 2}.png', label_map)
    davis = root / 'video' / 'davis2016_dev'
    for part in ('JPEGImages/480p/cup', 'Annotations/480p/cup', 'ImageSets/480p'):
        (davis / part).mkdir(parents=True)
    lines = []
    for number, (image, label_map) in enumerate(clip[:2]):
        paths = [f'{kind}/480p/cup/{number:05}.{suffix}' for kind, suffix
                 in (('JPEGImages', 'jpg'), ('Annotations', 'png'))]
        _write(davis / paths[0], image[..., ::-1])
        _write(davis / paths[1], (label_map > 0).astype(np.uint8) * 255)
        lines.append(f'/{paths[0]} /{paths[1]}\n')
    (davis / 'ImageSets/480p/dev.txt').write_text(''.join(lines))
    return root


def _write(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), np.ascontiguousarray(image))


def test_copies_stay_together_and_one_group_in_ten_is_held_out(data):
    pairs = pairs_in(data / 'static' / 'coco_subset', False)
    train, held_out = split_pairs(pairs)
    assert [pair.image.stem for pair in held_out] == ['00_0', '01_0']
    assert sorted(pair.image.stem for pair in train) == ['02_1', '03_1', '04_2', '05_2']
    sampler = PromptSampler([DataSet('cups', data / 'static' / 'coco_subset', 'instances', '')])
    assert not set(sampler.pairs[0]) & set(held_out)


def test_samples_repeat_and_prompts_lie_where_they_should(data):
    sampler = PromptSampler([DataSet('cups', data / 'static' / 'coco_subset', 'instances', '')])
    boxes = clicks = 0
    for number in range(30):
        one, other = (sampler.sample(np.random.default_rng(number)) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        image, truth, counts, planes = one
        assert image.shape == (256, 256, 3) and set(np.unique(truth)) <= {0, 1}
        assert planes.shape == (5, 256, 256) and truth.any()
        assert (counts <= (planes[4] > 0)).all(), 'nothing beyond the image counts'
        if planes[0].any():
            boxes += 1
            assert (truth > 0)[planes[0] > 0].sum() > 0.4 * truth.sum(), 'the box is on the target'
        if planes[1].any():
            clicks += 1
            assert truth[planes[1] > 0].mean() > 0.5
    assert boxes >= 10 and clicks >= 8


def test_corrections_fall_into_errors():
    truth = cv2.circle(np.zeros((256, 256), np.uint8), (100, 128), 60, 1, cv2.FILLED)
    found = cv2.circle(np.zeros((256, 256), np.uint8), (150, 128), 60, 1, cv2.FILLED)
    seen = set()
    for seed in range(12):
        planes = with_correction(np.zeros((5, 256, 256), np.float32), found.astype(np.float32),
                                 truth, np.random.default_rng(seed))
        assert planes[3].min() < -0.9 and planes[3].max() > 0.9
        for plane, error in ((1, truth & ~found & 1), (2, found & ~truth & 1)):
            if planes[plane].any():
                seen.add(plane)
                assert error[planes[plane] > 0].mean() > 0.6
    assert seen == {1, 2}


def test_boxes_are_moved_by_no_more_than_told():
    random = np.random.default_rng(0)
    for _ in range(50):
        box = jittered(Box(100, 50, 40, 80), random, 0.1)
        assert abs(box.x_min - 100) <= 4 and abs(box.y_min - 50) <= 8
        assert abs(box.x_min + box.width - 140) <= 4 and abs(box.y_min + box.height - 130) <= 8


def test_the_loss_is_small_for_the_truth_and_what_does_not_count_is_left_out():
    truth = torch.zeros(1, 64, 64)
    truth[:, 16:48, 16:48] = 1
    logits = torch.where(truth[:, ::2, ::2] > 0, 20.0, -20.0)
    loss, iou = prompt_loss(logits, torch.tensor([10.0]), truth, torch.ones(1, 64, 64))
    assert iou == 1 and loss < 0.01
    spoiled = logits.clone()
    spoiled[:, :, 26:] = 20
    assert prompt_loss(spoiled, torch.tensor([10.0]), truth, torch.ones(1, 64, 64))[0] > 1
    counts = torch.ones(1, 64, 64)
    counts[:, :, 50:] = 0
    spoiled = logits.clone()
    spoiled[:, :, 25:] = 20
    loss, iou = prompt_loss(spoiled, torch.tensor([10.0]), truth, counts)
    assert iou == 1 and loss < 0.01


def test_a_training_stops_goes_on_and_its_head_is_merged(data, tmp_path, capsys, monkeypatch):
    config, out = tmp_path / 'prompt.yaml', tmp_path / 'out'
    config.write_text(CONFIG)
    command = ['train-prompt', '--config', str(config), '--data', str(data), '--weights',
               'research', '--out', str(out)]
    whole = prompt_loop.PromptTrainer._step

    def stop_at_two(trainer):
        if trainer.iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(trainer)
    monkeypatch.setattr(prompt_loop.PromptTrainer, '_step', stop_at_two)
    assert main(command) == 1
    assert 'stopped at iteration 2' in capsys.readouterr().out
    monkeypatch.setattr(prompt_loop.PromptTrainer, '_step', whole)
    assert main(command) == 0
    assert 'going on at iteration 2' in capsys.readouterr().out
    again = [*command[:-1], str(tmp_path / 'again')]
    assert main(again) == 0
    state, metadata = read_checkpoint(out / 'prompt.safetensors')
    assert metadata['prompt_licence'] == 'CC0' and metadata['prompt_iterations'] == '4'
    straight, _ = read_checkpoint(tmp_path / 'again' / 'prompt.safetensors')
    assert all(name.startswith(PREFIX) for name in state)
    assert all(torch.allclose(state[name], straight[name], atol=1e-3) for name in state)
    merged = tmp_path / 'merged.safetensors'
    assert main(['weights', 'merge', 'research', str(out / 'prompt.safetensors'), '--out',
                 str(merged)]) == 0
    assert read_checkpoint(merged)[1]['prompt_data'] == 'cups'


def test_a_training_starts_from_a_head_and_replaces_nothing_of_others(data, tmp_path, capsys):
    config, out = tmp_path / 'prompt.yaml', tmp_path / 'out'
    config.write_text(CONFIG)
    command = ['train-prompt', '--config', str(config), '--data', str(data), '--weights',
               'research', '--iterations', '1', '--out', str(out)]
    shipped, before = read_checkpoint(SHIPPED_BY_NAME['research'])
    assert main([*command, '--start-from', str(SHIPPED_BY_NAME['research'])]) == 0
    trained, told = read_checkpoint(out / 'prompt.safetensors')
    assert int(told['prompt_iterations']) == int(before['prompt_iterations']) + 1
    assert max((trained[name].float() - shipped[name].float()).abs().max()
               for name in trained) < 0.01, 'one small step from where the shipped head is'
    assert main([*command[:-1], str(tmp_path / 'other'), '--start-from',
                 str(SHIPPED_BY_NAME['permissive'])]) == 2
    assert 'trained on another trunk' in capsys.readouterr().err
    theirs = tmp_path / 'theirs' / 'prompt.safetensors'
    theirs.parent.mkdir()
    theirs.write_text('mine')
    assert main([*command[:-1], str(theirs.parent)]) == 2
    assert theirs.read_text() == 'mine'


def test_mistakes_in_a_configuration_are_told(data, tmp_path):
    path = tmp_path / 'prompt.yaml'
    path.write_text(CONFIG + 'speed: 3\n')
    with pytest.raises(InputError, match=r"unknown \['speed'\]"):
        load_prompt_config(path, data)


@pytest.mark.parametrize('name', ['prompt', 'prompt_permissive'])
def test_shipped_configurations_name_known_data(name, tmp_path):
    text = (ROOT / 'config' / 'training' / f'{name}.yaml').read_text()
    for folder in {line.split('folder: ')[1].split(',')[0] for line in text.splitlines()
                   if 'folder: ' in line}:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    config = load_prompt_config(ROOT / 'config' / 'training' / f'{name}.yaml', tmp_path)
    permissive = {'CC BY 4.0', 'Apache-2.0', 'MIT', 'annotations CC BY 4.0, images Flickr'}
    licences = {data_set.licence for data_set in config.data_sets}
    assert (licences <= permissive) == (name == 'prompt_permissive')


def test_eval_prompts_measures_what_was_held_out(data, tmp_path, capsys):
    out = tmp_path / 'prompts'
    command = ['eval-prompts', '--data', str(data), '--segmenter', 'grabcut', '--way', 'box',
               '--out', str(out)]
    assert main(command) == 0
    rows = json.loads((out / 'prompts.json').read_text())
    assert {row['target'].split('/')[0] for row in rows if row['data_set'] == 'COCO'} <= {
        '00_0', '01_0'}
    assert [row['target'] for row in rows if row['data_set'] == 'DAVIS'] == ['cup/00000']
    said = capsys.readouterr().out
    assert '| data | targets | shown by | GrabCut |' in said and '| DAVIS | 1 | box |' in said
    assert all(0 <= row['iou'] <= 1 for row in rows)
    assert main([*command, '--way', 'telepathy']) == 2
    shutil.rmtree(out)


def test_scores_are_of_the_mask_and_refusals_count_as_nothing():
    truth = np.zeros((80, 100), bool)
    truth[20:60, 30:70] = True
    target = ShownTarget('drawn', 'square', np.where(truth[..., None], 200, 30).astype(np.uint8)
                         .repeat(3, axis=2), truth)

    class Learner:
        """Begins with the left half, and adds what is clicked."""

        name = 'learner'

        def segment(self, image, prompt):
            mask = truth.copy()
            mask[:, 50:] &= len(prompt.points) > 0
            if prompt.box is None:
                raise InputError('boxes only')
            return PromptedMask(mask, 0.5, self.name)
    by_way = {score.way: score for score in score_target(target, Learner())}
    assert by_way['box'].iou == 0.5 and by_way['box, 3 corrections'].iou == 1
    assert by_way['click'].refused and by_way['click'].iou == 0
    assert thinned([target] * 7, 3) == [target] * 3 and len(thinned([target] * 2, 3)) == 2
