# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fitting what confidence means, from video and from clips in which the target is away."""
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.cli.main import main
from stm_ros.evaluation.calibrating import balanced
from stm_ros.evaluation.calibration import calibration_table
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import load_network
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking.confidence import Calibration
from stm_ros.tracking.confidence import calibration_of

_pairs = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@given(_pairs, _pairs)
def test_the_map_starts_at_nothing_and_never_falls(video, absences):
    table = json.loads(calibration_table(*balanced(*(
        (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
        for pairs in (video, absences)))))
    calibration = Calibration(tuple(table['predicted']), tuple(table['measured']))
    values = [calibration(x) for x in np.linspace(0, 1, 30)]
    assert calibration(0.0) == 0.0
    assert all(later >= earlier - 1e-9 for earlier, later in zip(values, values[1:], strict=False))


def test_absences_weigh_as_much_as_video():
    video = np.full(100, 0.3), np.full(100, 0.8)
    away = np.full(7, 0.3), np.zeros(7)
    table = json.loads(calibration_table(*balanced(video, away)))
    assert np.interp(0.3, table['predicted'], table['measured']) == pytest.approx(0.4, abs=0.03)


def test_the_command_writes_the_map_into_the_weights(tmp_path, monkeypatch):
    pytest.importorskip('skimage')
    monkeypatch.setattr('stm_ros.evaluation.calibrating.ABSENCES', ('full_occlusion',))
    for index, (image, label_map) in enumerate(generate_clip('occlusion', 40, (96, 128))[:6]):
        for folder, suffix, pixels in (('JPEGImages', 'jpg', image[..., ::-1]),
                                       ('Annotations', 'png', label_map * 255)):
            place = tmp_path / 'video' / folder / '480p' / 'cup'
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f'{index:05d}.{suffix}'), pixels)
    (tmp_path / 'video' / 'ImageSets' / '480p').mkdir(parents=True)
    (tmp_path / 'video' / 'ImageSets' / '480p' / 'dev.txt').write_text('cup\n')
    out = tmp_path / 'calibrated.safetensors'
    assert main(['calibrate', str(SHIPPED_WEIGHTS), '--root', str(tmp_path / 'video'), '--clips',
                 '1', '--out', str(out), '--quiet']) == 0
    network = load_network('stm_lite', out)
    calibration = calibration_of(network)
    assert calibration is not None and calibration(0.0) == 0.0
    assert network.metadata['licence'] == load_network().metadata['licence']
