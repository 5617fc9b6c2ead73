# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The judge: what masks with such cues were worth."""
import json

import cv2
import numpy as np
import pytest
import torch

from stm_ros.cli.main import main
from stm_ros.evaluation.judge_fitting import fit_judge
from stm_ros.evaluation.judge_fitting import left_out
from stm_ros.evaluation.rollouts import CUT_AFTER
from stm_ros.evaluation.rollouts import CUT_FRAMES
from stm_ros.evaluation.rollouts import Frame
from stm_ros.evaluation.rollouts import Observation
from stm_ros.evaluation.rollouts import with_cut
from stm_ros.inference.judge import SIGHT_CUES
from stm_ros.inference.judge import TRACK_CUES
from stm_ros.inference.judge import UNCALIBRATED
from stm_ros.inference.judge import Judge
from stm_ros.inference.judge import TrackCues
from stm_ros.inference.judge import judge_of
from stm_ros.inference.judge import sight_cues
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.stcn import STCN
from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.errors import InputError

COUNT = len(SIGHT_CUES) + len(TRACK_CUES)
CALM = TrackCues(0.0, 0.03, 0.0, 0.0, 0.9, 0.0, 1.0)


def observations(count: int, seed: int = 0) -> list[Observation]:
    """Masks whose worth is a smooth function of two cues, the rest being noise."""
    random = np.random.default_rng(seed)
    cues = random.normal(size=(count, COUNT))
    worth = 1 / (1 + np.exp(-(2 * cues[:, 0] - cues[:, 13])))
    return [Observation(row, float(value), f'sequence {index % 20}')
            for index, (row, value) in enumerate(zip(cues, worth, strict=True))]


def test_it_learns_what_masks_were_worth_and_says_so_of_others():
    judge = fit_judge(observations(1500))
    others = observations(300, seed=1)
    said = np.array([judge.of_values(each.cues) for each in others])
    truth = np.array([each.iou for each in others])
    assert np.abs(said - truth).mean() < 0.08
    assert np.corrcoef(said, truth)[0, 1] > 0.9


def test_sequences_left_out_are_judged_by_others():
    held = observations(400)
    said = left_out(held)
    assert said.shape == (400,) and np.corrcoef(said, [each.iou for each in held])[0, 1] > 0.8


def test_it_comes_back_from_the_weights_as_it_was():
    judge = fit_judge(observations(200))

    class Carrier:
        metadata = {'judge': judge.to_json()}
    again = judge_of(Carrier())
    sight = [0.5] * len(SIGHT_CUES)
    assert again.is_calibrated and again(sight, CALM) == pytest.approx(judge(sight, CALM), abs=1e-3)
    # nothing is matched at stride 8 with top_k, which it was fitted with
    assert not judge_of(Carrier(), top_k=5).is_calibrated


def test_too_few_observations_are_refused():
    with pytest.raises(InputError, match='7 masks were observed; 50'):
        fit_judge(observations(7))


def test_without_a_fit_the_network_is_believed_and_said_not_to_be_calibrated():
    judge = Judge()
    assert judge([0.7] + [0.0] * 11, CALM) == 0.7 and not judge.is_calibrated


def test_what_is_not_known_of_a_stranger_counts_for_nothing():
    judge = fit_judge(observations(300))
    sight = [0.5] * len(SIGHT_CUES)
    average = TrackCues.of_a_stranger(0.0)
    assert 0 < judge(sight, average) < 1
    values = np.array([*sight, *average.values()])
    filled = np.where(np.isnan(values), judge.mean, values)
    assert judge.of_values(values) == judge.of_values(filled)


def test_cues_tell_a_clear_mask_from_a_vague_one():
    clear = torch.full((1, 16, 16), -9.0)
    clear[:, 4:12, 4:12] = 9
    both = torch.cat([clear, clear / 30])
    cues = sight_cues(both, torch.zeros(2, 4, 4), None, torch.tensor([0.9, 0.4]))
    table = dict(zip(SIGHT_CUES, cues.T, strict=True))
    assert table['fuzziness'][0] < 0.1 < table['fuzziness'][1]
    assert table['strongest'][0] > 0.99 and table['quality'].tolist() == pytest.approx([0.9, 0.4])
    assert (cues[:, 6:] == 0).all()


def test_cues_say_how_far_references_and_past_frames_agree():
    logits = torch.full((2, 16, 16), -9.0)
    logits[:, 4:12, 4:12] = 9
    match = torch.zeros(2, 5, 8, 8)
    match[:, 1], match[:, 3] = 1, 1
    match[0, 0, 2:6, 2:6], match[0, 1, 2:6, 2:6] = 1, 0
    cues = sight_cues(logits, torch.zeros(2, 4, 4), match, None)
    table = dict(zip(SIGHT_CUES, cues.T, strict=True))
    assert table['by_references'][0] > 0.9 and table['by_references'][1] < 0.1
    assert table['of_references'][0] > 0.5 and table['by_recent'][0] < 0.1


def test_weights_of_stcn_are_calibrated_on_videos_of_a_user(tmp_path, capsys):
    """Weights of no training: nothing is found, which figures say rather than 0."""
    torch.manual_seed(0)
    torch.save(STCN().state_dict(), tmp_path / 'stcn.pth')
    clip = generate_clip('occlusion', 40, (48, 64))
    for number in range(5):
        for index, (image, label_map) in enumerate(clip[5 * number:5 * number + 14]):
            for folder, pixels in (('images', image[..., ::-1]), ('masks', label_map)):
                place = tmp_path / 'videos' / f'{number}' / folder
                place.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(place / f'{index:05d}.png'), pixels)
    out = tmp_path / 'mine.safetensors'
    assert main(['calibrate', str(tmp_path / 'stcn.pth'), '--model', 'stcn', '--videos',
                 str(tmp_path / 'videos'), '--clips', '0', '--rounds', '1', '--out', str(out),
                 '--quiet']) == 0
    said = capsys.readouterr().out
    assert 'AUROC for IoU below 0.5 undefined' in said and 'there are none' in said
    assert f'wrote {out}' in said
    assert judge_of(load_network('stcn', out)).note == ''
    assert judge_of(load_network('stcn', tmp_path / 'stcn.pth')).note == UNCALIBRATED


def test_the_command_writes_the_judge_into_the_weights(tmp_path, capsys):
    for index, (image, label_map) in enumerate(generate_clip('occlusion', 24, (96, 128))):
        for folder, suffix, pixels in (('images', 'jpg', image[..., ::-1]),
                                       ('masks', 'png', label_map)):
            place = tmp_path / 'videos' / 'cup' / folder
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f'{index:05d}.{suffix}'), pixels)
    for name in ('one', 'two'):
        (tmp_path / 'videos' / name).symlink_to(tmp_path / 'videos' / 'cup')
    out = tmp_path / 'judged.safetensors'
    assert main(['calibrate', str(SHIPPED_WEIGHTS), '--videos', str(tmp_path / 'videos'),
                 '--clips', '0', '--rounds', '1', '--out', str(out), '--quiet']) == 0
    assert 'on sequences left out' in capsys.readouterr().out
    network = load_network('stm_lite', out)
    judge = judge_of(network)
    assert judge.is_calibrated and 0 <= judge([0.5] * len(SIGHT_CUES), CALM) <= 1
    assert network.metadata['licence'] == load_network().metadata['licence']
    assert json.loads(network.metadata['judge'])['bias']


def test_a_video_with_a_cut_shows_nothing_of_its_targets_meanwhile():
    def video(count: int, shape: tuple[int, int], level: int) -> list[Frame]:
        return [Frame(np.full((*shape, 3), level, np.uint8), np.full(shape, 1, np.uint8))
                for _ in range(count)]
    own, other = video(40, (48, 64), 50), video(30, (96, 80), 200)
    cut = with_cut(own, other)
    levels = [int(frame.image[0, 0, 0]) for frame in cut]
    assert levels == [50] * CUT_AFTER + [200] * CUT_FRAMES + [50] * (40 - CUT_AFTER)
    assert all(frame.image.shape == (48, 64, 3) for frame in cut)
    assert [frame.truth.any() for frame in cut] == [level == 50 for level in levels]
    assert [frame.image[0, 0, 0] for frame in with_cut(own[:10], other)][:6] == [50] * 5 + [200]
