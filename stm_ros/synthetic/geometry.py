# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Rigid motion, a pinhole camera and planes: metres, right-handed, the world's z up.

A camera's axes are those of REP 103's optical frames: x right, y down, z forward. Poses are 4×4
float64 matrices that take a thing's own coordinates to the world's.
"""
from dataclasses import dataclass
from math import cos
from math import radians
from math import sin
from math import tan

import numpy as np
from numpy.random import Generator

#: the sines below which two directions count as parallel
_PARALLEL = 1e-9


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Return the 3×3 rotation by `angle` (radians) about `axis` (3 numbers, any length but 0)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + sin(angle) * cross + (1 - cos(angle)) * cross @ cross


def random_rotation(random: Generator) -> np.ndarray:
    """Return a 3×3 rotation, all of them equally likely (Shoemake 1992)."""
    w, x, y, z = random.normal(size=4)
    length = (w * w + x * x + y * y + z * z) ** 0.5
    w, x, y, z = w / length, x / length, y / length, z / length
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def pose(turn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the 4×4 pose of a 3×3 rotation and a position (3)."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = place
    return matrix


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Return the pose of a camera at `eye` that looks at `target`, upright but for `roll` (rad)."""
    forward = np.asarray(target, float) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < _PARALLEL:
        right = np.array([1.0, 0.0, 0.0])
    right = right / np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward], axis=1)
    return pose(turn @ rotation(np.array([0.0, 0.0, 1.0]), roll), np.asarray(eye, float))


@dataclass(frozen=True)
class Camera:
    """
    A pinhole without distortion.

    size: (H, W) in pixels; focal: in pixels; pose: 4×4, camera to world; shift: by how much the
    picture is moved, x and y in pixels. A pixel's centre is at its index plus a half.
    """

    size: tuple[int, int]
    focal: float
    pose: np.ndarray
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """The 3×3 intrinsic matrix; pixel edges are whole numbers."""
        return np.array([[self.focal, 0.0, self.size[1] / 2 + self.shift[0]],
                         [0.0, self.focal, self.size[0] / 2 + self.shift[1]], [0.0, 0.0, 1.0]])

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (N×2) and depths (N, metres along the optical axis) of N×3 points."""
        seen = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        depth = seen[:, 2]
        return (seen @ self.matrix.T)[:, :2] / np.maximum(depth, _PARALLEL)[:, None], depth


def focal_length(width: int, degrees: float) -> float:
    """Return the focal length in pixels of a picture `width` pixels and `degrees` wide."""
    return width / 2 / tan(radians(degrees) / 2)


@dataclass(frozen=True)
class Plane:
    """A flat thing: the world's place of its corner, and its two sides (3 each, at right angles).

    What is drawn on it has its columns along `across` and its rows along `down`.
    """

    corner: np.ndarray
    across: np.ndarray
    down: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """The unit normal of the side on which a picture on it is not mirrored."""
        normal = np.cross(self.down, self.across)
        return normal / np.linalg.norm(normal)


def plane_homography(camera: Camera, plane: Plane) -> np.ndarray:
    """Return the 3×3 matrix from (share of `across`, share of `down`, 1) to pixels."""
    sides = np.stack([plane.across, plane.down, plane.corner - camera.pose[:3, 3]], axis=1)
    return camera.matrix @ camera.pose[:3, :3].T @ sides


def plane_depth(camera: Camera, plane: Plane) -> np.ndarray:
    """Return how far the endless plane is in each pixel: H×W float64 metres along the optical axis.

    Infinite where the ray of a pixel's centre does not meet it in front of the camera.
    """
    height, width = camera.size
    focal, (x, y) = camera.focal, camera.matrix[:2, 2]
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    normal = camera.pose[:3, :3].T @ plane.normal
    slope = normal[0] * (columns - x) / focal + normal[1] * (rows - y) / focal + normal[2]
    distance = float((plane.corner - camera.pose[:3, 3]) @ plane.normal)
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = distance / slope
    return np.where((np.abs(slope) > _PARALLEL) & (depth > 0), depth, np.inf)


def shadow_matrix(light: np.ndarray, height: float = 0.0) -> np.ndarray:
    """Return the 4×4 matrix that moves a point along `light` onto the plane z = `height`.

    :param light: 3 numbers, the way that the light travels, which leads down.
    :raises ValueError: where it does not.
    """
    if light[2] >= -_PARALLEL:
        raise ValueError(f'light that travels along {light} casts no shadow on the ground')
    matrix = np.eye(4)
    matrix[:2, 2] = -light[:2] / light[2]
    matrix[:2, 3] = height * light[:2] / light[2]
    matrix[2, 2:] = 0.0, height
    return matrix
