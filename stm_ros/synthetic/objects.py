# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Textured meshes: found in a folder, read with trimesh, and brought to one shape."""
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm_ros.synthetic.object_names import KIND_OF
from stm_ros.synthetic.object_names import SPLITS
from stm_ros.vision.errors import InputError

#: where a model's mesh lies below its folder, in both collections
_MESHES = ('meshes/textured.dae', 'textured.obj')
_LONGEST_TEXTURE, _SMALLEST_TEXTURE = 1024, 8
_MOST_LOADED = 128
_DIRECTIONS = 400


@dataclass(frozen=True, eq=False)
class Mesh:
    """
    A textured thing about its own middle, metres.

    vertices, normals: N×3 float32; coordinates: N×2 float32 in [0, 1], the texture's bottom left
    first; faces: M×3 int32; texture: H×W×3 uint8 RGB. support: K×3, those vertices that are
    farthest in some direction: what touches the ground is one of them.
    """

    name: str
    vertices: np.ndarray
    normals: np.ndarray
    coordinates: np.ndarray
    faces: np.ndarray
    texture: np.ndarray
    support: np.ndarray

    @property
    def radius(self) -> float:
        """How far the farthest point is from the middle."""
        return float(np.linalg.norm(self.support, axis=1).max())


@dataclass(frozen=True)
class ObjectFolder:
    """One object: its name, its kind (see `object_names`) and its mesh file."""

    name: str
    kind: str
    path: Path


def find_objects(folder: Path, split: str) -> list[ObjectFolder]:
    """
    Return the objects of `split` ('train' or 'held_out') that lie in `folder`, in order of name.

    Folders with other names are left out, so that no copy of a held-out object is trained on.

    :raises InputError: for another split, or where the folder holds none of its objects.
    """
    if split not in SPLITS:
        raise InputError(f'split {split!r} is unknown; known are {", ".join(SPLITS)}')
    found = []
    for name in sorted(SPLITS[split]):
        for mesh in _MESHES:
            if (folder / name / mesh).is_file():
                found.append(ObjectFolder(name, KIND_OF[name], folder / name / mesh))
                break
    if not found:
        raise InputError(f'{folder} holds no object of the split {split!r}, such as '
                         f'{sorted(SPLITS[split])[0]}/{_MESHES[0]}; see docs/rendering.md')
    return found


@lru_cache(maxsize=_MOST_LOADED)
def load_object(place: ObjectFolder) -> Mesh:
    """
    Read one object.

    :raises InputError: where trimesh is not installed, or the file holds no textured mesh.
    """
    if find_spec('trimesh') is None:
        raise InputError('trimesh, which reads meshes, is not installed: '
                         'pip install "stm_ros[render]"')
    import trimesh

    try:
        loaded: Any = trimesh.load_mesh(place.path, process=False)
        texture = _texture(loaded.visual.material)
        coordinates = np.asarray(loaded.visual.uv, np.float32)
    except (AttributeError, ValueError, OSError) as error:
        raise InputError(f'{place.path} holds no textured mesh: {error}') from error
    return make_mesh(place.name, np.asarray(loaded.vertices), coordinates,
                     np.asarray(loaded.faces), texture)


def _texture(material: object) -> np.ndarray:
    picture = getattr(material, 'baseColorTexture', None) or getattr(material, 'image', None)
    # trimesh puts 2×2 grey pixels in the place of a texture that is not there
    if picture is None or min(picture.size) < _SMALLEST_TEXTURE:
        raise ValueError('it has no texture')
    texture = np.asarray(picture.convert('RGB'))
    scale = _LONGEST_TEXTURE / max(texture.shape[:2])
    if scale >= 1:
        return texture
    return cv2.resize(texture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def make_mesh(name: str, vertices: np.ndarray, coordinates: np.ndarray, faces: np.ndarray,
              texture: np.ndarray) -> Mesh:
    """Centre a mesh on its box, and give it smooth normals and its support."""
    # one vertex where several have one place and one spot of the texture: a quarter of the work
    _, first, place = np.unique(np.column_stack([vertices, coordinates]).round(6), axis=0,
                                     return_index=True, return_inverse=True)
    vertices, coordinates = vertices[first], coordinates[first]
    faces = place.reshape(-1)[faces]
    centred = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return Mesh(name, centred.astype(np.float32), smooth_normals(centred, faces),
                np.asarray(coordinates, np.float32), np.asarray(faces, np.int32), texture,
                support_of(centred))


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return a unit normal for each vertex (N×3 float32): the mean of its faces', by their area.

    Vertices at one place count as one, so that a seam of the texture is none of the shape.
    """
    _, place = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
    place = place.reshape(-1)
    corners = vertices[faces]
    # its length is twice the face's area
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((int(place.max()) + 1, 3))
    for corner in range(3):
        np.add.at(total, place[faces[:, corner]], weighted)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.where(length > 0, total / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
    return unit[place].astype(np.float32)


def support_of(vertices: np.ndarray) -> np.ndarray:
    """Return the vertices that are farthest in some of 400 directions (K×3 float64)."""
    steps = np.arange(_DIRECTIONS) + 0.5
    # a Fibonacci lattice on the sphere
    height = 1 - 2 * steps / _DIRECTIONS
    angle = np.pi * (1 + 5 ** 0.5) * steps
    radius = np.sqrt(1 - height ** 2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height])
    return np.asarray(vertices[np.unique((vertices @ directions).argmax(axis=0))], float)


def lowest_point(mesh: Mesh, turn: np.ndarray) -> float:
    """Return the z of the mesh's lowest point, turned by a 3×3 rotation, middle at 0: below 0."""
    return float((mesh.support @ turn[2]).min())
