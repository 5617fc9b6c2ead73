# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes with a picture on them: objects whose every pixel can be worked out."""
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from stm_ros.synthetic.choreography import Actor
from stm_ros.synthetic.choreography import CameraWay
from stm_ros.synthetic.choreography import Route
from stm_ros.synthetic.choreography import Turning
from stm_ros.synthetic.geometry import Plane
from stm_ros.synthetic.geometry import focal_length
from stm_ros.synthetic.geometry import rotation
from stm_ros.synthetic.objects import Mesh
from stm_ros.synthetic.objects import make_mesh
from stm_ros.synthetic.rendered_clips import FIELD_OF_VIEW
from stm_ros.synthetic.rendered_clips import Film
from stm_ros.synthetic.rendered_clips import Lens
from stm_ros.synthetic.rendering import missing_for_rendering
from stm_ros.synthetic.staging import Backdrop
from stm_ros.synthetic.staging import Lighting
from stm_ros.synthetic.staging import Surface
from stm_ros.synthetic.stories import Scene

needs_renderer = pytest.mark.skipif(
    missing_for_rendering() is not None,
    reason=f'nothing can be rendered here: {missing_for_rendering()}')

_SIDES = [(axis, sign) for axis in range(3) for sign in (-1.0, 1.0)]


def box_arrays(extents: tuple[float, float, float]):
    """Vertices N×3, texture coordinates N×2 and faces M×3 of a box, its sides facing outwards."""
    vertices, coordinates, faces = [], [], []
    for axis, sign in _SIDES:
        first, second = (axis + 1) % 3, (axis + 2) % 3
        start = len(vertices)
        for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            corner = np.zeros(3)
            corner[axis], corner[first], corner[second] = sign, 2 * u - 1, 2 * v - 1
            vertices.append(corner * np.array(extents) / 2)
            coordinates.append((u, v))
        quad = (0, 1, 2, 3) if sign > 0 else (0, 3, 2, 1)
        faces += [(start + quad[0], start + quad[1], start + quad[2]),
                  (start + quad[0], start + quad[2], start + quad[3])]
    return np.array(vertices), np.array(coordinates, float), np.array(faces)


def box(extents=(0.1, 0.1, 0.1), colour=(200, 60, 40), name='box') -> Mesh:
    vertices, coordinates, faces = box_arrays(extents)
    texture = np.full((32, 32, 3), colour, np.uint8)
    texture[:16, :16] = 255 - texture[:16, :16]
    return make_mesh(name, vertices, coordinates, faces, texture)


def write_object(folder: Path, name: str, extents=(0.1, 0.1, 0.1), colour=(200, 60, 40)) -> None:
    """Write a box as an OBJ file with its texture, as the collections have them."""
    vertices, coordinates, faces = box_arrays(extents)
    (folder / name).mkdir(parents=True)
    lines = ['mtllib textured.mtl', 'usemtl paint']
    lines += [f'v {x} {y} {z}' for x, y, z in vertices]
    lines += [f'vt {u} {v}' for u, v in coordinates]
    lines += ['f ' + ' '.join(f'{corner + 1}/{corner + 1}' for corner in face) for face in faces]
    (folder / name / 'textured.obj').write_text('\n'.join(lines) + '\n')
    (folder / name / 'textured.mtl').write_text('newmtl paint\nmap_Kd texture_map.png\n')
    picture = np.full((64, 64, 3), colour[::-1], np.uint8)
    picture[:32] //= 2
    cv2.imwrite(str(folder / name / 'texture_map.png'), picture)


class DepthFrame(NamedTuple):
    """
    A rendered frame with its whole truth.

    image: H×W×3 uint8 RGB. labels: H×W uint8, 1 for the crate. depth: H×W float32, metres along
    the optical axis. axes, centre: of the crate in the optical frame, 3×3 (columns) and 3.
    """

    image: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    axes: np.ndarray
    centre: np.ndarray


CRATE = (0.20, 0.12, 0.16)


def intrinsics(size: tuple[int, int]) -> np.ndarray:
    """Those of a rendered clip of `size` (H, W), 3×3, as ROS counts: a pixel's centre is whole."""
    focal = focal_length(size[1], FIELD_OF_VIEW)
    return np.array([[focal, 0, size[1] / 2 - 0.5], [0, focal, size[0] / 2 - 0.5], [0, 0, 1.0]])


def depth_clip(size: tuple[int, int], count: int) -> list[DepthFrame]:
    """A crate that slides and turns on a table, another one behind it, exactly known."""
    random = np.random.default_rng(4)
    crate = replace(box(CRATE), texture=_mottled(random, (200, 90, 40)))
    other = replace(box((0.1, 0.1, 0.1)), texture=_mottled(random, (40, 90, 200)))
    up = np.array([0, 0, 1.0])
    actors = (
        Actor(crate, 1.0, Route(np.array([0.0, 1.0]), np.array([[-0.06, 0, 0], [0.06, 0.02, 0]])),
              Turning(rotation(up, 0.6), (up, up), (0.5, 0.0)), is_target=True, rests=True),
        Actor(other, 1.0, Route(np.zeros(1), np.array([[0.14, 0.3, 0]])),
              Turning(np.eye(3), (up, up), (0.0, 0.0)), rests=True))
    wood = Surface(Plane(np.array([-2.0, 2.0, 0.0]), np.array([4.0, 0, 0]), np.array([0, -4.0, 0])),
                   _mottled(random, (150, 130, 110)).astype(np.float32), is_ground=True)
    film = Film(Scene(actors, Backdrop((wood,)), Lighting(0.0, 0.0, 0.8, 4.0, 0.3, 0.3),
                      CameraWay(0.8, 0.6, 0.1, 0.2, 0.0, np.zeros(3), 0.0, np.zeros(3), 0.06), 0.1),
                Lens(size, noise=1.0))
    frames = []
    for index in range(count):
        time = index / (count - 1)
        seen = film.frame(time, 0.1 / count, random)
        to_camera = np.linalg.inv(film.camera(time).pose) @ actors[0].at(time)
        frames.append(DepthFrame(seen.image, (seen.owners == 1).astype(np.uint8),
                                 film.depth(time).astype(np.float32), to_camera[:3, :3],
                                 to_camera[:3, 3]))
    film.close()
    return frames


def points_of(frame: DepthFrame, mask: np.ndarray) -> np.ndarray:
    """Where the pixels of a mask (H×W bool) are, N×3 metres, by the pinhole's formula alone."""
    rows, columns = np.nonzero(mask)
    z, k = frame.depth[rows, columns].astype(np.float64), intrinsics(mask.shape)
    return np.column_stack(((columns - k[0, 2]) * z / k[0, 0], (rows - k[1, 2]) * z / k[1, 1], z))


def _mottled(random: np.random.Generator, colour: tuple[int, int, int]) -> np.ndarray:
    """A texture that a tracker can tell from others: blocks of shades of a colour."""
    shades = random.uniform(0.4, 1.25, (8, 8, 1)) * np.array(colour)
    return cv2.resize(shades.clip(0, 255).astype(np.uint8), (128, 128),
                      interpolation=cv2.INTER_NEAREST)
