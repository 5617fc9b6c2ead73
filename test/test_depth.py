# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets in space, against geometry that is known exactly, and against YCB-Video's labels."""
import json

import cv2
import numpy as np
import pytest
from depth_scenes import CAMERA
from depth_scenes import FOCAL
from depth_scenes import box_scene
from depth_scenes import directions
from depth_scenes import sphere_scene
from depth_scenes import turned
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from stm_ros.vision.camera import Calibration
from stm_ros.vision.camera import Camera
from stm_ros.vision.camera import camera_of
from stm_ros.vision.depth import cut_back
from stm_ros.vision.depth import decode_depth
from stm_ros.vision.depth import depth_noise
from stm_ros.vision.depth import edge_width
from stm_ros.vision.depth import target_points
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.oriented_box import fit_oriented_box
from stm_ros.vision.oriented_box import quaternion_of

CENTRE, RADIUS = (0.05, -0.03, 0.8), 0.09


def sure(mask, depth, confidence=0.95, edge=3, camera=CAMERA):
    return target_points(mask, depth.astype(np.float32), camera, confidence=confidence, edge=edge)


def rotation_of(quaternion):
    x, y, z, w = quaternion
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def test_points_of_a_sphere_lie_on_it():
    scene = sphere_scene(CENTRE, RADIUS, wall=1.4)
    found = sure(scene.mask, scene.depth)
    distances = np.linalg.norm(found.points - np.array(CENTRE), axis=1)
    assert np.abs(distances - RADIUS).max() < 1e-5
    assert (found.valid_share, found.rejected_share) == (1.0, 0.0)
    core, taken = cut_back(scene.mask, 3)
    assert taken == 3 and len(found.points) == core.sum()
    expected = (directions() * scene.depth[..., None])[core].mean(axis=0)
    assert found.centroid == pytest.approx(expected, abs=1e-6)
    assert found.margin == pytest.approx(3 * np.median(scene.depth[core]) / FOCAL)
    # the cap that is seen, less what was cut off at its edge
    box = found.box()
    truth = (directions() * scene.depth[..., None])[core]
    assert sorted(box.size) == pytest.approx(sorted(np.ptp(truth, axis=0)), abs=0.006)
    assert min(box.size) < RADIUS < 0.14 < max(box.size) < 2 * RADIUS


@pytest.mark.parametrize(('about_x', 'about_y'), [(35, 30), (20, -50), (60, 10), (-30, 0)])
def test_a_box_on_a_plane_has_its_size_and_place(about_x, about_y):
    size, centre = np.array([0.20, 0.12, 0.16]), np.array([0.02, 0.03, 0.9])
    rotation = turned(about_x, about_y)
    scene = box_scene(centre, rotation, size)
    # the mask as it is, and two or three sides in view: exact but for the pixels' own size
    box = sure(scene.mask, scene.depth, edge=0).box()
    pixel = scene.depth[scene.mask].max() / FOCAL
    assert box.centre == pytest.approx(centre, abs=2 * pixel)
    turn = box.axes.T @ rotation
    nearest = np.abs(turn).argmax(axis=0)
    assert sorted(nearest) == [0, 1, 2] and np.abs(turn).max(axis=0).min() > np.cos(np.radians(3))
    assert box.size[nearest] == pytest.approx(size, abs=2 * pixel)
    assert np.linalg.det(box.axes) == pytest.approx(1)
    assert rotation_of(box.quaternion) == pytest.approx(box.axes, abs=1e-9)


def test_what_the_mask_has_of_the_background_is_rejected():
    scene = sphere_scene(CENTRE, RADIUS, wall=1.4)
    leaked = scene.mask.copy()
    left = np.flatnonzero(scene.mask.any(axis=0))[0]
    leaked[100:125, left - 30:left + 30] = True
    leak = (leaked & ~scene.mask).sum() / leaked.sum()
    assert 0.1 < leak < 0.25
    found = sure(leaked, scene.depth, confidence=0.75)
    assert found.rejected_share > 0.05
    assert np.abs(np.linalg.norm(found.points - np.array(CENTRE), axis=1) - RADIUS).max() < 1e-5
    clean = sure(scene.mask, scene.depth)
    assert found.centroid == pytest.approx(clean.centroid, abs=0.004)
    # nobody doubts this mask, so what lies behind is a part of the target
    believed = sure(leaked, scene.depth, confidence=0.99, edge=0)
    assert believed.points[:, 2].max() == pytest.approx(1.4)


def test_stray_pixels_between_near_and_far_are_rejected():
    scene = sphere_scene(CENTRE, RADIUS, wall=1.4)
    rng = np.random.default_rng(3)
    depth = scene.depth.copy()
    rows, columns = np.nonzero(cut_back(scene.mask, 3)[0])
    stray = rng.choice(len(rows), 60, replace=False)
    depth[rows[stray], columns[stray]] = rng.uniform(0.9, 6.0, 60)
    found = sure(scene.mask, depth)
    assert np.abs(np.linalg.norm(found.points - np.array(CENTRE), axis=1) - RADIUS).max() < 1e-5
    assert found.rejected_share == pytest.approx(60 / len(rows))


def test_noise_is_not_mistaken_for_other_things():
    rng = np.random.default_rng(5)
    for scene in (sphere_scene(CENTRE, RADIUS), sphere_scene((0.3, 0.1, 2.5), 0.3)):
        depth = scene.depth + rng.normal(0, 1, scene.depth.shape) * depth_noise(scene.depth)
        assert sure(scene.mask, depth).rejected_share < 0.01


def test_a_leg_behind_is_a_part_of_the_target():
    depth = np.full(CAMERA.size, 3.0)
    mask = np.zeros(CAMERA.size, bool)
    mask[60:180, 100:140] = mask[60:160, 180:205] = True
    depth[60:180, 100:140], depth[60:160, 180:205] = 0.9, 1.2
    found = sure(mask, depth)
    assert set(np.round(found.points[:, 2], 3)) == {np.float32(0.9), np.float32(1.2)}
    assert found.rejected_share == 0


@settings(max_examples=40, deadline=None)
@given(share=strategies.floats(0, 1), seed=strategies.integers(0, 2 ** 32 - 1),
       bad=strategies.sampled_from([0.0, -1.0, np.nan, np.inf, -np.inf, 1e30]))
def test_invalid_depth_is_never_a_point(share, seed, bad):
    scene = sphere_scene(CENTRE, RADIUS)
    rng = np.random.default_rng(seed)
    spoiled = rng.random(scene.depth.shape) < share
    raw = np.where(spoiled | ~scene.mask, bad, scene.depth).astype('<f4')
    depth = decode_depth('32FC1', raw.tobytes(), height=240, width=320, step=1280)
    found = sure(scene.mask, depth)
    core = cut_back(scene.mask, 3)[0]
    assert found.valid_share == pytest.approx((core & ~spoiled).sum() / core.sum())
    assert not spoiled[found.rows, found.columns].any()
    assert (found.points[:, 2] > CENTRE[2] - RADIUS - 1e-6).all()
    assert np.isfinite(found.points).all()


def test_a_target_without_depth_has_no_points_and_no_box():
    mask = sphere_scene(CENTRE, RADIUS).mask
    found = sure(mask, np.full(CAMERA.size, np.nan))
    assert (len(found.points), found.valid_share, found.box()) == (0, 0.0, None)


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_millimetres_and_metres_are_the_same_depth(is_bigendian):
    truth = np.array([[0, 1, 1234], [65535, 800, 0]])
    order = '>' if is_bigendian else '<'
    rows = np.zeros((2, 4), f'{order}u2')
    rows[:, :3] = truth
    found = decode_depth('16UC1', rows.tobytes(), height=2, width=3, step=8,
                         is_bigendian=is_bigendian)
    expected = np.where(truth == 0, np.nan, truth / 1000)
    assert np.allclose(found, expected, equal_nan=True) and found.dtype == np.float32
    metres = (truth / 1000).astype(f'{order}f4')
    assert np.allclose(decode_depth('32FC1', metres.tobytes(), height=2, width=3, step=12,
                                    is_bigendian=is_bigendian), expected, equal_nan=True)


@pytest.mark.parametrize(('encoding', 'size', 'told'), [
    ('rgb8', 12, "'rgb8' is not accepted"), ('16UC1', 11, 'holds 11 bytes')])
def test_bad_depth_is_refused(encoding, size, told):
    with pytest.raises(InputError, match=told):
        decode_depth(encoding, bytes(size), height=2, width=3, step=6)


def test_masks_are_cut_back_but_never_away():
    mask = np.zeros((60, 80), bool)
    mask[10:50, 0:60] = True
    core, taken = cut_back(mask, 3)
    # the image's border is no edge of the target
    assert taken == 3 and np.array_equal(np.argwhere(core).min(0), [13, 0])
    assert np.array_equal(np.argwhere(core).max(0), [46, 56])
    thin = np.zeros((60, 80), bool)
    thin[30:33, 10:70] = True
    assert cut_back(thin, 3)[1] == 0 and np.array_equal(cut_back(thin, 3)[0], thin)


@pytest.mark.parametrize(('side', 'input_size', 'width'), [
    (480, 480, 3), (480, 0, 3), (240, 480, 3), (720, 480, 4), (1080, 480, 6)])
def test_the_edge_is_as_wide_as_masks_are_coarse(side, input_size, width):
    assert edge_width(side, input_size) == width


def test_intrinsics_of_a_cropped_and_binned_image():
    k, p = [600, 0, 320, 0, 610, 240, 0, 0, 1], [500, 0, 300, 0, 0, 500, 200, 0, 0, 0, 1, 0]
    calibration = Calibration((100, 150), k, p, [0.1, 0, 0, 0, 0], binning=(2, 2),
                              offset=(100, 60))
    camera = camera_of(calibration, (100, 150))
    assert camera.matrix[0].tolist() == [300, 0, 110] and camera.matrix[1].tolist() == [0, 305, 90]
    straight = camera_of(calibration, (100, 150), is_rectified=True)
    assert straight.matrix[0].tolist() == [250, 0, 100] and not straight.distortion.size
    with pytest.raises(InputError, match='150×100 pixels, the image has 640×480'):
        camera_of(calibration, (480, 640))
    with pytest.raises(InputError, match='not calibrated'):
        camera_of(Calibration((100, 150), [0] * 9, p, []), (100, 150))


@pytest.mark.parametrize(('model', 'd'), [
    ('plumb_bob', [0.12, -0.2, 0.001, -0.002, 0.05]), ('equidistant', [0.02, -0.01, 0.003, 0.0])])
def test_rays_undo_distortion(model, d):
    camera = Camera(CAMERA.matrix, CAMERA.size, np.array(d), model)
    directions3 = np.array([[0.2, -0.1, 1.0], [-0.3, 0.25, 1.0], [0.0, 0.0, 1.0]])
    if model == 'equidistant':
        pixels, _ = cv2.fisheye.projectPoints(directions3[:, None], np.zeros(3), np.zeros(3),
                                              camera.matrix, np.array(d))
    else:
        pixels, _ = cv2.projectPoints(directions3, np.zeros(3), np.zeros(3), camera.matrix,
                                      np.array(d))
    pixels = pixels.reshape(-1, 2)
    assert camera.rays(pixels[:, 1], pixels[:, 0]) == pytest.approx(directions3[:, :2], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(angles=strategies.tuples(strategies.floats(-180, 180), strategies.floats(-180, 180)),
       size=strategies.tuples(*[strategies.floats(0.02, 0.5)] * 3))
def test_the_box_around_the_corners_of_a_box_is_that_box(angles, size):
    rotation, extents = turned(*angles), np.array(size)
    corners = np.array([[x, y, z] for x in (-.5, .5) for y in (-.5, .5) for z in (-.5, .5)])
    box = fit_oriented_box((corners * extents) @ rotation.T + [0.1, 0.2, 1.0])
    assert np.prod(box.size) <= np.prod(extents) * 1.02 + 1e-6
    assert box.centre == pytest.approx([0.1, 0.2, 1.0], abs=0.02)
    inside = np.abs((corners * extents) @ rotation.T @ box.axes)
    assert (inside <= box.size / 2 + 0.02).all()
    assert rotation_of(quaternion_of(box.axes)) == pytest.approx(box.axes, abs=1e-9)


def ycb_frame(folder, number):
    meta = json.loads((folder / 'meta.json').read_text())[number]
    raw = cv2.imread(str(folder / f'{number}-depth.png'), cv2.IMREAD_UNCHANGED)
    label = read_mask(folder / f'{number}-label.png')
    metres = raw / meta['depth_units_per_metre']
    camera = Camera(np.array(meta['K']), raw.shape, np.zeros(0))
    return metres, label, camera, meta


@pytest.mark.parametrize('number', ['000001', '000005', '000010'])
def test_objects_of_ycb_video_are_where_their_labels_say(shared_dir, number):
    folder = shared_dir / 'data' / 'rgbd'
    if not folder.is_dir():
        pytest.skip(f'no YCB-Video frames in {folder}')
    metres, label, camera, meta = ycb_frame(folder, number)
    millimetres = np.rint(metres * 1000).astype('<u2')
    depth = decode_depth('16UC1', millimetres.tobytes(), height=480, width=640, step=1280)
    for class_id in meta['class_ids']:
        truth = label == class_id
        # a coarse mask of a tracker: grown by a pixel and with a leak into the background
        mask = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        found = target_points(mask, depth, camera, confidence=0.85, edge=3)
        known = truth & (metres > 0)
        z = metres[known]
        rows, columns = np.nonzero(known)
        k = np.array(meta['K'])
        place = np.median([(columns - k[0, 2]) * z / k[0, 0], (rows - k[1, 2]) * z / k[1, 1], z],
                          axis=1)
        low, high = np.percentile(z, (1, 99))
        box = found.box()
        assert np.median(found.points, axis=0) == pytest.approx(place, abs=0.006)
        assert found.points[:, 2].min() > low - 0.02 and found.points[:, 2].max() < high + 0.02
        assert found.valid_share > 0.7 and 0.02 < box.size.max() < 0.35
