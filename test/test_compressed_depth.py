# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth of image_transport's plugin compressedDepth, made here as the plugin makes it."""
import cv2
import numpy as np
import pytest
from depth_scenes import CAMERA
from depth_scenes import sphere_scene
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.vision.compressed_depth import HEADER
from stm_ros.vision.compressed_depth import decode_compressed_depth
from stm_ros.vision.depth import target_points
from stm_ros.vision.errors import InputError

SPHERE = sphere_scene((0.05, -0.03, 0.8), 0.12, 1.5)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


def in_millimetres(depth: np.ndarray) -> bytes:
    """As the plugin sends 16UC1; its quantisation is unused."""
    return HEADER.pack(0, 0.0, 0.0) + png(np.rint(1000 * np.nan_to_num(depth)).astype(np.uint16))


def in_inverse_metres(depth: np.ndarray, farthest: float = 10.0, quantum: float = 100.0) -> bytes:
    """As the plugin sends 32FC1: A = q (q + 1), B = 1 - A / farthest, d = A / depth + B."""
    scale = quantum * (quantum + 1)
    offset = 1 - scale / farthest
    known = np.isfinite(depth) & (depth > 0) & (depth < farthest)
    inverse = np.where(known, scale / np.where(known, depth, 1.0) + offset, 0.0)
    return HEADER.pack(0, scale, offset) + png(inverse.astype(np.uint16))


@pytest.mark.parametrize(('kind', 'make', 'tolerance'), [
    ('16UC1; compressedDepth png', in_millimetres, 0.0005),
    ('16UC1; compressedDepth', in_millimetres, 0.0005),
    # a step of d at 1.5 m is depth squared by A
    ('32FC1; compressedDepth png', in_inverse_metres, 1.5 ** 2 / 10_100)])
def test_a_sphere_before_a_wall_is_where_it_is(kind, make, tolerance):
    metres = decode_compressed_depth(kind, make(SPHERE.depth))
    assert metres.dtype == np.float32 and metres.shape == SPHERE.depth.shape
    assert np.abs(metres - SPHERE.depth).max() <= tolerance + 1e-6
    points = target_points(SPHERE.mask, metres, CAMERA, confidence=0.9, edge=3)
    centre = np.array([0.05, -0.03, 0.8])
    away = np.abs(np.linalg.norm(points.points - centre, axis=1) - 0.12)
    assert len(points.points) > 1000 and away.max() < 2 * tolerance + 1e-5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10 ** 6), st.sampled_from(['16UC1', '32FC1']))
def test_what_was_not_measured_is_no_depth(seed, encoding):
    chance = np.random.default_rng(seed)
    depth = chance.uniform(0.3, 9.0, (7, 9)).astype(np.float32)
    depth[chance.random(depth.shape) < 0.3] = np.nan
    make = in_millimetres if encoding == '16UC1' else in_inverse_metres
    found = decode_compressed_depth(f'{encoding}; compressedDepth png', make(depth))
    assert np.array_equal(np.isnan(found), np.isnan(depth))
    known = ~np.isnan(depth)
    assert (np.abs(found - depth)[known] <= depth[known] ** 2 / 10_000 + 0.0006).all()


@pytest.mark.parametrize(('kind', 'data', 'told'), [
    ('16UC1; compressedDepth rvl', in_millimetres(SPHERE.depth), 'rvl'),
    ('16UC1; png compressed ', in_millimetres(SPHERE.depth), 'accepted are 16UC1; compressedDepth'),
    ('mono8; compressedDepth png', in_millimetres(SPHERE.depth), 'mono8'),
    ('16UC1; compressedDepth png', bytes(12), 'cut short'),
    ('16UC1; compressedDepth png', in_millimetres(SPHERE.depth)[:400], 'compressed depth of 400'),
    ('16UC1; compressedDepth png', bytes(12) + png(np.zeros((5, 5), np.uint8)), 'uint8'),
    ('16UC1; compressedDepth png', png(np.zeros((5, 5), np.uint16)), 'compressed depth of')])
def test_what_it_is_not_is_refused_by_name(kind, data, told):
    with pytest.raises(InputError, match=told):
        decode_compressed_depth(kind, data)


def test_what_is_too_large_is_refused_undecoded():
    with pytest.raises(InputError, match='pixels'):
        decode_compressed_depth('16UC1; compressedDepth png', in_millimetres(SPHERE.depth), 0.01)
