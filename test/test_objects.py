# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects: the split, what is found, meshes and hands."""
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from render_helpers import box
from render_helpers import box_arrays
from render_helpers import write_object

from stm_ros.synthetic.geometry import random_rotation
from stm_ros.synthetic.hands import Tube
from stm_ros.synthetic.hands import make_gripper
from stm_ros.synthetic.hands import make_hand
from stm_ros.synthetic.hands import tube_surface
from stm_ros.synthetic.object_names import HELD_OUT
from stm_ros.synthetic.object_names import KIND_OF
from stm_ros.synthetic.object_names import KINDS
from stm_ros.synthetic.object_names import TRAIN
from stm_ros.synthetic.objects import find_objects
from stm_ros.synthetic.objects import load_object
from stm_ros.synthetic.objects import lowest_point
from stm_ros.synthetic.objects import make_mesh
from stm_ros.synthetic.objects import smooth_normals
from stm_ros.synthetic.objects import support_of
from stm_ros.vision.errors import InputError


def test_the_split_holds_out_19_of_79_ycb_objects_some_of_each_kind():
    assert not set(TRAIN) & set(HELD_OUT) and len(set(TRAIN)) == len(TRAIN)
    assert len(HELD_OUT) == 19 and all(name.startswith('ycb_') for name in HELD_OUT)
    assert sum(name.startswith('ycb_') for name in TRAIN) == 60
    assert sum(map(len, KINDS.values())) == len(KIND_OF) == len(TRAIN) + len(HELD_OUT)
    for names in KINDS.values():
        held = set(names) & set(HELD_OUT)
        # clutter of one kind needs at least three
        assert 3 <= len(held) <= len(names) // 2


def test_only_named_objects_are_found_each_in_its_split(tmp_path):
    for name in ('ycb_025_mug', 'ycb_024_bowl', 'shampoo', 'sugar_box'):
        write_object(tmp_path, name)
    (tmp_path / 'ycb_026_sponge').mkdir()
    assert [place.name for place in find_objects(tmp_path, 'held_out')] == ['ycb_025_mug']
    train = find_objects(tmp_path, 'train')
    assert [place.name for place in train] == ['shampoo', 'ycb_024_bowl']
    assert [place.kind for place in train] == ['packaging', 'vessels']
    with pytest.raises(InputError, match='docs/rendering.md'):
        find_objects(tmp_path / 'ycb_026_sponge', 'train')
    with pytest.raises(InputError, match='known are train, held_out'):
        find_objects(tmp_path, 'dev')


def test_an_object_is_read_and_centred(tmp_path):
    if find_spec('trimesh') is None:
        pytest.skip('trimesh, which reads meshes, is absent')
    write_object(tmp_path, 'ycb_025_mug', extents=(0.1, 0.2, 0.3), colour=(250, 20, 10))
    [place] = find_objects(tmp_path, 'held_out')
    mesh = load_object(place)
    assert np.allclose(mesh.vertices.min(axis=0), [-0.05, -0.1, -0.15], atol=1e-6)
    assert np.allclose(mesh.vertices.max(axis=0), [0.05, 0.1, 0.15], atol=1e-6)
    assert len(mesh.faces) == 12 and mesh.texture.dtype == np.uint8
    assert mesh.texture[-1, 0].tolist() == [250, 20, 10] and mesh.name == 'ycb_025_mug'
    assert mesh.radius == pytest.approx(np.linalg.norm([0.05, 0.1, 0.15]))


@pytest.mark.parametrize('missing', ['textured.mtl', 'texture_map.png'])
def test_an_object_without_texture_is_refused(tmp_path, missing):
    if find_spec('trimesh') is None:
        pytest.skip('trimesh, which reads meshes, is absent')
    write_object(tmp_path, 'ycb_025_mug')
    (tmp_path / 'ycb_025_mug' / missing).unlink()
    [place] = find_objects(tmp_path, 'held_out')
    with pytest.raises(InputError, match='no textured mesh'):
        load_object(place)


def test_vertices_of_one_place_and_texture_are_joined():
    vertices, coordinates, faces = box_arrays((1, 1, 1))
    twice = make_mesh('box', np.vstack([vertices, vertices]), np.vstack([coordinates, coordinates]),
                      np.vstack([faces, faces + len(vertices)]), np.zeros((4, 4, 3), np.uint8))
    once = box((1, 1, 1))
    # four of the 24 corners lie on another's place with the same spot of the texture
    assert len(twice.vertices) == len(once.vertices) == 20 and len(twice.faces) == 24
    for mesh in (once, twice):
        corners = mesh.vertices[mesh.faces]
        outside = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert ((outside * corners.mean(axis=1)).sum(axis=1) > 0).all()


def test_normals_are_smooth_over_seams_and_point_outwards():
    vertices, _, faces = box_arrays((1, 1, 1))
    normals = smooth_normals(vertices, faces)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    # at a corner three sides meet: each has one or two of its triangles there
    assert ((normals * vertices).sum(axis=1) > 0.7).all()
    for place in np.unique(vertices, axis=0):
        assert np.ptp(normals[(vertices == place).all(axis=1)], axis=0).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_lowest_point_is_that_of_the_whole_mesh(seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(3000, 3)) * [0.05, 0.1, 0.02]
    mesh = make_mesh('cloud', points, np.zeros((3000, 2)), np.array([[0, 1, 2]]),
                     np.zeros((2, 2, 3), np.uint8))
    turn = random_rotation(random)
    lowest = (mesh.vertices @ turn[2]).min()
    assert lowest - 1e-6 <= lowest_point(mesh, turn) <= 0.9 * lowest
    assert len(support_of(points)) <= 400


def test_a_tube_is_closed_and_as_long_as_it_says():
    tube = Tube(np.zeros(3), np.array([0.0, 0.0, 0.5]), 0.1, 0.05)
    vertices, coordinates, faces = tube_surface(tube)
    assert coordinates.min() >= 0 and coordinates.max() <= 1
    assert vertices[:, 2].min() == pytest.approx(-0.1) and vertices[:, 2].max() == pytest.approx(
        0.55)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    # all but the two tiny rings at the ends
    assert set(counts) == {1, 2} and (counts == 1).sum() == 2 * tube.sides
    corners = vertices[faces]
    outside = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middles = corners.mean(axis=1) - [0, 0, 0.25]
    assert ((outside * middles).sum(axis=1) > 0).mean() > 0.99


@pytest.mark.parametrize('make', [make_hand, make_gripper])
def test_hands_hold_around_the_origin_and_their_arm_leaves_along_x(make):
    mesh = make(0.04, np.random.default_rng(3))
    assert mesh.vertices[:, 0].max() > 0.6
    near = np.linalg.norm(mesh.vertices, axis=1).min()
    assert 0.02 < near < 0.06
    # fingers on both sides of what is held
    around = mesh.vertices[np.abs(mesh.vertices[:, 0]) < 0.03]
    assert around[:, 2].min() < -0.04 and around[:, 2].max() > 0.04
    assert mesh.texture.shape == (64, 64, 3)
