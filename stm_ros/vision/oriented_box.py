# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A tight box, in any orientation, around points in space."""
from dataclasses import dataclass
from itertools import permutations
from itertools import product

import cv2
import numpy as np

_SEARCH_POINTS = 800
_ROUNDS = 8
_LEAST_GAIN = 1 - 1e-6
_CANDIDATES = 4
_NEARLY_LEAST = 1.15


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box in space, metres.

    centre: 3 float64. axes: 3×3 float64, a right-handed rotation whose columns are the box's axes.
    size: 3 float64, extents along these.
    """

    centre: np.ndarray
    axes: np.ndarray
    size: np.ndarray

    @property
    def quaternion(self) -> tuple[float, float, float, float]:
        """The rotation of `axes` as x, y, z, w."""
        return quaternion_of(self.axes)


def fit_oriented_box(points: np.ndarray, least_side: float = 1e-3) -> OrientedBox:
    """
    A tight box around `points` (N×3, N >= 1) of a surface, found by turning it axis by axis.

    It starts from the principal axes of the points and from the axes they are given in. Around each
    axis in turn it is turned to a rectangle around the projected points, until that makes it no
    better. Best is little volume and points near the box's sides: of two sides of a box that are
    seen, rectangles along them and along their diagonal have the same area. The box's axes are
    named so that they lie as near as possible to those that the points are given in.

    :param least_side: metres added to each side when volumes are compared, so that among boxes
        around a flat surface the one with the least area is the smallest.
    """
    middle = points.mean(axis=0, dtype=np.float64)
    offsets = np.asarray(points, np.float64) - middle
    # in steps, so that the same points always give the same box
    some = offsets[::-(-len(offsets) // _SEARCH_POINTS)]
    _, _, principal = np.linalg.svd(some, full_matrices=len(some) < 3)
    starts = [_right_handed(principal.T), np.eye(3)]
    ends = [_turned(some, start, least_side) for start in starts]
    axes = _named(ends[int(np.argmin(_costs(some, ends, least_side)))])
    along = offsets @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    return OrientedBox(middle + axes @ ((low + high) / 2), axes, high - low)


def _turned(offsets: np.ndarray, axes: np.ndarray, least_side: float) -> np.ndarray:
    cost = _costs(offsets, [axes], least_side)[0]
    for _ in range(_ROUNDS):
        tried = [candidate for about in range(3)
                 for candidate in _turned_about(offsets, axes, about, least_side)]
        costs = _costs(offsets, tried, least_side)
        place = int(np.argmin(costs))
        if costs[place] >= cost * _LEAST_GAIN:
            break
        axes, cost = tried[place], costs[place]
    return axes


def _turned_about(offsets: np.ndarray, axes: np.ndarray, about: int, least_side: float
                  ) -> list[np.ndarray]:
    """Turn two axes about the third to small rectangles around the points seen along it.

    The smallest of all lies along an edge of the convex hull (Freeman and Shapira, 1975).
    """
    kept, first, second = axes[:, about], axes[:, (about + 1) % 3], axes[:, (about + 2) % 3]
    seen = np.stack((offsets @ first, offsets @ second), axis=1).astype(np.float32)
    hull = cv2.convexHull(seen)[:, 0].astype(np.float64)
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    cosines, sines = np.cos(angles), np.sin(angles)
    across = np.ptp(np.outer(cosines, hull[:, 0]) + np.outer(sines, hull[:, 1]), axis=1)
    along = np.ptp(np.outer(cosines, hull[:, 1]) - np.outer(sines, hull[:, 0]), axis=1)
    areas = (across + least_side) * (along + least_side)
    small = np.argsort(areas, kind='stable')[:_CANDIDATES]
    small = small[areas[small] <= areas[small[0]] * _NEARLY_LEAST]
    turned = [cosines[i] * first + sines[i] * second for i in small]
    return [np.stack((kept, one, np.cross(kept, one)), axis=1) for one in turned]


def _costs(offsets: np.ndarray, axes: list[np.ndarray], least_side: float) -> np.ndarray:
    """Volumes, larger the farther points are from the box's sides."""
    along = (offsets @ np.concatenate(axes, axis=1)).T.reshape(len(axes), 3, -1)
    low, high = along.min(axis=2), along.max(axis=2)
    volumes = np.prod(high - low + least_side, axis=1)
    depths = np.minimum(along - low[..., None], high[..., None] - along).min(axis=1)
    return volumes * (1 + depths.mean(axis=1) / volumes ** (1 / 3))


def _right_handed(axes: np.ndarray) -> np.ndarray:
    return axes if np.linalg.det(axes) > 0 else -axes


def _named(axes: np.ndarray) -> np.ndarray:
    """Of the 24 ways to name a box's axes the one closest to no rotation at all."""
    candidates = (axes[:, order] * np.array(signs)
                  for order in permutations(range(3)) for signs in product((1, -1), repeat=3))
    return max((one for one in candidates if np.linalg.det(one) > 0), key=np.trace)


def quaternion_of(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """A rotation matrix as the unit quaternion x, y, z, w with w >= 0.

    By the largest eigenvector of Bar-Itzhack's symmetric matrix (J. Guidance 23(6), 2000).
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    matrix = np.array([[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g],
                       [c + g, f + h, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]])
    vector = np.linalg.eigh(matrix)[1][:, -1]
    x, y, z, w = (float(value) for value in (vector if vector[3] >= 0 else -vector))
    return x, y, z, w
