# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rigid motion, camera, planes and shadows: what they claim, in numbers."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.geometry import Plane
from stm_ros.synthetic.geometry import focal_length
from stm_ros.synthetic.geometry import look_at
from stm_ros.synthetic.geometry import plane_depth
from stm_ros.synthetic.geometry import plane_homography
from stm_ros.synthetic.geometry import pose
from stm_ros.synthetic.geometry import random_rotation
from stm_ros.synthetic.geometry import rotation
from stm_ros.synthetic.geometry import shadow_matrix

TABLE = Plane(np.array([-1.0, 2.0, 0.0]), np.array([2.0, 0.0, 0.0]), np.array([0.0, -2.0, 0.0]))
quickly = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)
angles = st.floats(-7, 7)


def is_rotation(matrix: np.ndarray) -> bool:
    return np.allclose(matrix @ matrix.T, np.eye(3)) and np.isclose(np.linalg.det(matrix), 1)


@quickly
@given(seeds, angles)
def test_rotations_are_rotations_and_keep_their_axis(seed, angle):
    random = np.random.default_rng(seed)
    axis = random.normal(size=3)
    turn = rotation(axis, angle)
    assert is_rotation(turn) and is_rotation(random_rotation(random))
    assert np.allclose(turn @ axis, axis)
    assert np.isclose(np.trace(turn), 1 + 2 * np.cos(angle))


def test_a_quarter_turn_about_z_takes_x_to_y():
    assert np.allclose(rotation(np.array([0, 0, 2.0]), np.pi / 2) @ [1, 0, 0], [0, 1, 0])


@quickly
@given(seeds)
def test_what_a_camera_looks_at_is_in_its_middle_and_up_is_up(seed):
    eye, target = np.random.default_rng(seed).uniform(-2, 2, (2, 3)) + [[0, -5, 1], [0, 0, 0]]
    camera = Camera((48, 64), 80.0, look_at(eye, target))
    assert is_rotation(camera.pose[:3, :3])
    [[x, y], [_, above]], depth = camera.project(np.stack([target, target + [0, 0, 0.1]]))
    assert (x, y) == (pytest.approx(32), pytest.approx(24)) and above < 24
    assert depth[0] == pytest.approx(np.linalg.norm(target - eye))


def test_a_camera_that_looks_straight_down_is_defined():
    camera = Camera((48, 64), 80.0, look_at(np.array([0.0, 0, 3]), np.zeros(3)))
    assert is_rotation(camera.pose[:3, :3])
    pixels, depth = camera.project(np.zeros((1, 3)))
    assert np.allclose(pixels, [[32, 24]]) and depth[0] == pytest.approx(3)


def test_the_focal_length_spans_the_angle():
    focal = focal_length(64, 60)
    camera = Camera((48, 64), focal, np.eye(4))
    edge = np.array([[np.tan(np.radians(30)), 0, 1]])
    assert camera.project(edge)[0][0, 0] == pytest.approx(64)
    moved = Camera((48, 64), focal, np.eye(4), shift=(0.25, -0.5))
    assert np.allclose(moved.project(edge)[0] - camera.project(edge)[0], [[0.25, -0.5]])


@quickly
@given(seeds)
def test_plane_homography_and_depth_agree_with_projection(seed):
    random = np.random.default_rng(seed)
    eye = np.array([random.uniform(-1, 1), -3 + random.uniform(-1, 1), random.uniform(0.5, 3)])
    camera = Camera((48, 64), 70.0, look_at(eye, np.array([0, 1, 0.0]), random.uniform(-0.2, 0.2)))
    shares = random.uniform(0, 1, (5, 2))
    points = TABLE.corner + shares[:, :1] * TABLE.across + shares[:, 1:] * TABLE.down
    pixels, depths = camera.project(points)
    mapped = np.column_stack([shares, np.ones(5)]) @ plane_homography(camera, TABLE).T
    assert np.allclose(mapped[:, :2] / mapped[:, 2:], pixels)
    seen = plane_depth(camera, TABLE)
    rows, columns = 30, 20
    depth = seen[rows, columns]
    ray = np.array([(columns + 0.5 - 32) / 70, (rows + 0.5 - 24) / 70, 1.0]) * depth
    place = camera.pose[:3, :3] @ ray + camera.pose[:3, 3]
    assert abs(place[2]) < 1e-9 and (depths > 0).all()


def test_no_plane_is_seen_above_its_horizon():
    camera = Camera((40, 60), 50.0, look_at(np.array([0, -2, 1.0]), np.array([0, 2, 1.0])))
    depth = plane_depth(camera, TABLE)
    assert np.isinf(depth[:20]).all() and np.isfinite(depth[20:]).all()
    assert (np.diff(depth[20:, 30]) < 0).all()
    assert np.allclose(TABLE.normal, [0, 0, 1])


@quickly
@given(seeds)
def test_shadows_lie_on_the_ground_along_the_light(seed):
    random = np.random.default_rng(seed)
    light = np.array([*random.uniform(-1, 1, 2), -random.uniform(0.2, 1)])
    height = random.uniform(-1, 1)
    point = random.uniform(-1, 1, 3)
    shadow = (shadow_matrix(light, height) @ [*point, 1])
    assert shadow[2] == pytest.approx(height) and shadow[3] == 1
    assert np.allclose(np.cross(shadow[:3] - point, light), 0, atol=1e-9)


def test_light_from_below_casts_no_shadow():
    with pytest.raises(ValueError, match='casts no shadow'):
        shadow_matrix(np.array([0, 0, 1.0]))


def test_a_pose_turns_first_and_moves_then():
    matrix = pose(rotation(np.array([0, 0, 1.0]), np.pi / 2), np.array([1.0, 2, 3]))
    assert np.allclose(matrix @ [1, 0, 0, 1], [1, 3, 3, 1])
