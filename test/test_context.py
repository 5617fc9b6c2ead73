# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The measurement of what a context holds where the view is spoiled."""
import json

import cv2
import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.evaluation.context import JudgedView
from stm_ros.evaluation.context import SpoiledFrame
from stm_ros.evaluation.context import score_context
from stm_ros.evaluation.context import spoiler_of
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_files import write_label_map

GOOD = JudgedView(is_same=True, is_clean=True, is_reference=False)
REFERENCE = JudgedView(is_same=True, is_clean=True, is_reference=True)
BLURRED = JudgedView(is_same=True, is_clean=False, is_reference=False)
OTHER = JudgedView(is_same=False, is_clean=True, is_reference=False)


def test_shares_are_of_frames_or_of_views():
    frames = [SpoiledFrame('dark', (GOOD, REFERENCE), (BLURRED,)),
              SpoiledFrame('dark', (BLURRED, REFERENCE), (GOOD,)),
              SpoiledFrame('dark', (OTHER, BLURRED), (OTHER,)),
              SpoiledFrame('dark', (), ())]
    score = score_context(frames)
    assert (score.frames, score.held, score.first) == (4, 0.5, 0.25)
    assert (score.beside_reference, score.by_attention) == (0.25, 0.25)
    assert (score.wrong, score.spoiled) == (pytest.approx(1 / 6), pytest.approx(2 / 6))
    assert score_context([]) is None


def test_clean_and_spoiled_stretches_take_turns():
    names = [spoiler_of(index, 2) and spoiler_of(index, 2).name for index in range(0, 80, 10)]
    assert names == [None, 'motion_blur', None, 'dark', None, 'deformation', None, 'motion_blur']
    assert spoiler_of(9, 2) is None and spoiler_of(19, 2).strength == 2


def davis_root(root, frames):
    """A folder laid out like DAVIS: a textured disc that moves over a texture."""
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.integers(40, 200, (12, 16, 3)).astype(np.uint8), (160, 120))
    patch = cv2.resize(rng.integers(0, 255, (9, 9, 3)).astype(np.uint8), (60, 60),
                       interpolation=cv2.INTER_NEAREST)
    for kind in ('JPEGImages', 'Annotations'):
        (root / kind / '480p' / 'disc').mkdir(parents=True)
    for index in range(frames):
        mask = cv2.circle(np.zeros((120, 160), np.uint8), (50 + 2 * index, 60), 26, 255, -1)
        shown = texture.copy()
        shown[30:90, 20 + 2 * index:80 + 2 * index] = patch
        image = np.where(mask[..., None] > 0, shown, texture)
        write_image(root / 'JPEGImages' / '480p' / 'disc' / f'{index:05d}.png', image)
        write_label_map(root / 'Annotations' / '480p' / 'disc' / f'{index:05d}.png', mask)
    return root


def test_the_command_measures_a_folder_like_davis(tmp_path, capsys):
    root = davis_root(tmp_path / 'root', 22)
    out = tmp_path / 'scores' / 'context.json'
    assert main(['context', '--root', str(root), '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert 'disc: 10 spoiled views' in printed and 'motion_blur' in printed
    scores = json.loads(out.read_text())['scores']
    assert set(scores) == {'motion_blur', 'all'} and scores['all']['frames'] == 10
    # a reference is always among the views, and it is clean
    assert scores['all']['held'] == 1.0


def test_videos_too_short_and_bad_numbers_are_user_errors(tmp_path, capsys):
    root = davis_root(tmp_path / 'root', 5)
    assert main(['context', '--root', str(root)]) == 2
    assert 'too short' in capsys.readouterr().err
    assert main(['context', '--clips', '0']) == 2
    assert main(['context', '--root', str(tmp_path / 'absent')]) == 2
