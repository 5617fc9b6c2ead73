# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets in space on rendered clips, whose depth, labels and poses are exact."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from render_helpers import CRATE
from render_helpers import DepthFrame
from render_helpers import depth_clip
from render_helpers import intrinsics
from render_helpers import needs_renderer
from render_helpers import points_of
from render_helpers import write_object

from stm_ros.cli.main import main
from stm_ros.synthetic.clip_files import depth_in_millimetres
from stm_ros.vision.camera import Camera
from stm_ros.vision.depth import TargetPoints
from stm_ros.vision.depth import cut_back
from stm_ros.vision.depth import decode_depth
from stm_ros.vision.depth import target_points
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask

pytestmark = needs_renderer
SIZE = (240, 320)
EDGE = 3


@pytest.fixture(scope='module')
def clip() -> list[DepthFrame]:
    return depth_clip(SIZE, 6)


def placed(mask: np.ndarray, millimetres: np.ndarray, confidence: float = 0.9,
           edge: int = EDGE) -> TargetPoints:
    """What the node makes of a mask and the bytes of a 16UC1 depth image."""
    height, width = mask.shape
    depth = decode_depth('16UC1', millimetres.tobytes(), height=height, width=width,
                         step=2 * width)
    return target_points(mask, depth, Camera(intrinsics(mask.shape), mask.shape, np.zeros(0)),
                         confidence=confidence, edge=edge)


def test_the_renderer_agrees_with_the_crate_s_own_surface(clip):
    """The truth itself: every labelled point lies on the crate."""
    for frame in clip:
        local = (points_of(frame, frame.labels == 1) - frame.centre) @ frame.axes
        outside = np.abs(local) - np.array(CRATE) / 2
        # on the nearest side, to the renderer's own depth buffer
        assert np.abs(outside.max(axis=1)).max() < 2e-3


def test_centroid_and_points_are_those_of_label_and_depth(clip):
    for frame in clip:
        truth = frame.labels == 1
        found = placed(truth, depth_in_millimetres(frame.depth))
        core = cut_back(truth, EDGE)[0]
        # the tip of a corner has too few pixels to be told from stray ones
        assert found.valid_share == 1.0 and found.rejected_share < 0.005
        # depth comes in whole millimetres
        expected = points_of(frame, core)
        assert found.centroid == pytest.approx(expected.mean(axis=0), abs=3e-4)
        assert core[found.rows, found.columns].all()
        kept = np.zeros(SIZE, bool)
        kept[found.rows, found.columns] = True
        assert np.abs(found.points - points_of(frame, kept)).max() < 1e-3


def test_the_box_is_the_crate(clip):
    """Three sides are in view, so that the box around what is seen is the crate itself."""
    for frame in clip:
        found = placed(frame.labels == 1, depth_in_millimetres(frame.depth), edge=0).box()
        pixel = frame.depth[frame.labels == 1].max() / intrinsics(SIZE)[0, 0]
        turn = found.axes.T @ frame.axes
        nearest = np.abs(turn).argmax(axis=0)
        assert sorted(nearest) == [0, 1, 2]
        assert np.abs(turn).max(axis=0).min() > np.cos(np.radians(4))
        assert found.size[nearest] == pytest.approx(CRATE, abs=3 * pixel)
        assert found.centre == pytest.approx(frame.centre, abs=2 * pixel)


def test_what_a_mask_has_of_the_table_behind_is_told_or_kept_small(clip):
    """A mask that is two pixels too large on all sides, cut back as the node does."""
    for frame in clip:
        truth = frame.labels == 1
        grown = cv2.dilate(frame.labels, np.ones((5, 5), np.uint8)) > 0
        found = placed(grown, depth_in_millimetres(frame.depth))
        assert found.centroid == pytest.approx(points_of(frame, truth).mean(axis=0), abs=4e-3)


def test_a_clip_that_stm_render_wrote(tmp_path: Path):
    """From its files alone, as somebody has them who plays it to the node."""
    pytest.importorskip('skimage', reason='scikit-image, whose photographs are used, is absent')
    for name, extents in (('ycb_024_bowl', (0.16, 0.16, 0.1)), ('ycb_025_mug', (0.1, 0.1, 0.1))):
        write_object(tmp_path / 'objects', name, extents)
    assert main(['render', '--objects', str(tmp_path / 'objects'), '--split', 'train', '--out',
                 str(tmp_path / 'out'), '--clips', '1', '--seed', '3', '--size', '320x240',
                 '--frames', '4-4', '--depth']) == 0
    [folder] = (tmp_path / 'out').iterdir()
    checked = 0
    for image in sorted((folder / 'images').iterdir()):
        labels = read_mask(folder / 'masks' / f'{image.stem}.png')
        millimetres = cv2.imread(str(folder / 'depth' / f'{image.stem}.png'), cv2.IMREAD_UNCHANGED)
        assert read_image(image).shape[:2] == labels.shape == millimetres.shape
        frame = DepthFrame(np.empty(0), labels, millimetres.astype(np.float32) / 1000, np.eye(3),
                           np.zeros(3))
        for target in np.unique(labels[labels > 0]):
            core = points_of(frame, cut_back(labels == target, EDGE)[0])
            if len(core) < 200:
                continue
            found = placed(labels == target, millimetres)
            kept = len(found.points) / len(core)
            assert kept > 0.95
            assert found.centroid == pytest.approx(core.mean(axis=0), abs=1e-3 + 0.1 * (1 - kept))
            box = found.box()
            inside = np.abs((core - box.centre) @ box.axes) <= box.size / 2 + 2e-3
            assert inside.all(axis=1).mean() > 0.95
            checked += 1
    assert checked >= 4
