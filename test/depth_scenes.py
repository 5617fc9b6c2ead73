# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth images computed from geometry alone, with the truth: a sphere, and a box on a plane."""
from dataclasses import dataclass

import numpy as np

from stm_ros.vision.camera import Camera

HEIGHT, WIDTH = 240, 320
FOCAL = 300.0
CAMERA = Camera(np.array([[FOCAL, 0, 160.3], [0, FOCAL, 118.6], [0, 0, 1.0]]), (HEIGHT, WIDTH),
                np.zeros(0))


def directions(camera: Camera = CAMERA) -> np.ndarray:
    """Where each pixel looks, H×W×3, with z = 1."""
    height, width = camera.size
    rows, columns = np.mgrid[:height, :width]
    rays = camera.rays(rows.ravel(), columns.ravel()).reshape(height, width, 2)
    return np.dstack((rays, np.ones((height, width))))


@dataclass(frozen=True)
class Scene:
    """depth: H×W float64, metres, NaN where nothing is. mask: H×W bool, the object."""

    depth: np.ndarray
    mask: np.ndarray


def sphere_scene(centre: tuple[float, float, float], radius: float, wall: float | None = None
                 ) -> Scene:
    """A sphere, before a wall at z = `wall` or before nothing."""
    rays = directions()
    # |t r - c|^2 = R^2, the nearer root
    a, b = (rays ** 2).sum(-1), rays @ np.array(centre)
    root = b ** 2 - a * (np.array(centre) @ np.array(centre) - radius ** 2)
    mask = root >= 0
    depth = np.where(mask, (b - np.sqrt(np.maximum(root, 0))) / a,
                     np.nan if wall is None else wall)
    return Scene(depth, mask)


def box_scene(centre: np.ndarray, rotation: np.ndarray, size: np.ndarray) -> Scene:
    """A box (its own axes are the columns of `rotation`) standing on a plane, y downward."""
    rays = directions()
    local_rays, local_origin = rays @ rotation, -centre @ rotation
    with np.errstate(divide='ignore'):
        first = (-size / 2 - local_origin) / local_rays
        second = (size / 2 - local_origin) / local_rays
    near, far = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
    mask = (near <= far) & (near > 0)
    # the plane through the box's lower face, whose outward normal is its own y axis
    normal, foot = rotation[:, 1], centre + rotation[:, 1] * size[1] / 2
    with np.errstate(divide='ignore'):
        plane = (foot @ normal) / (rays @ normal)
    plane = np.where((plane > 0) & (plane < 5), plane, np.nan)
    return Scene(np.where(mask, near, plane), mask)


def turned(about_x: float, about_y: float) -> np.ndarray:
    """A rotation by degrees about the upright axis first, then about the camera's x axis."""
    a, b = np.radians((about_x, about_y))
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return tilt @ turn
