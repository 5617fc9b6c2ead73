# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How rendered objects, hands and the camera move: poses as functions of time, drawn by chance.

Time runs from 0 to 1 over a clip. The stage is about half a metre wide around the origin; the
camera stands at negative y and looks along positive y, so that a smaller y is in front.
"""
from dataclasses import dataclass
from math import cos
from math import pi
from math import sin

import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.geometry import look_at
from stm_ros.synthetic.geometry import pose
from stm_ros.synthetic.geometry import random_rotation
from stm_ros.synthetic.geometry import rotation
from stm_ros.synthetic.objects import Mesh
from stm_ros.synthetic.objects import lowest_point

#: metres: half of what the camera sees at the stage, and how far one has to go to be out of view
HALF_WIDTH, HALF_HEIGHT, OUTSIDE = 0.26, 0.19, 0.62
_UP = np.array([0.0, 0.0, 1.0])
#: at how many times a hand takes over the place of what it holds
_FOLLOWED = 61


@dataclass(frozen=True)
class Route:
    """
    Places (K×3, metres) and when (K, rising); between them it goes smoothly (Catmull-Rom).

    stops: whether it comes to rest at each place, and so goes straight from one to the next.
    """

    times: np.ndarray
    places: np.ndarray
    stops: bool = False

    def at(self, time: float) -> np.ndarray:
        """Return the place at a time; before the first and after the last it stands still."""
        times, places = self.times, self.places
        if len(times) == 1 or time <= times[0]:
            return np.asarray(places[0])
        if time >= times[-1]:
            return np.asarray(places[-1])
        after = int(np.searchsorted(times, time, side='right'))
        before = after - 1
        span = times[after] - times[before]
        share = (time - times[before]) / span
        slopes = [self._slope(index) * span for index in (before, after)]
        cube, square = share ** 3, share ** 2
        return np.asarray((2 * cube - 3 * square + 1) * places[before]
                          + (cube - 2 * square + share) * slopes[0]
                          + (3 * square - 2 * cube) * places[after]
                          + (cube - square) * slopes[1])

    def _slope(self, index: int) -> np.ndarray:
        if self.stops or index in (0, len(self.times) - 1):
            return np.zeros(3)
        span = self.times[index + 1] - self.times[index - 1]
        return np.asarray((self.places[index + 1] - self.places[index - 1]) / span)


@dataclass(frozen=True)
class Turning:
    """
    How a thing turns: from `start` (3×3), about two axes at once (3 each).

    angles: radians about either axis from time `begins` to the end; before that it rocks by less
    than `rocking` radians.
    """

    start: np.ndarray
    axes: tuple[np.ndarray, np.ndarray]
    angles: tuple[float, float]
    begins: float = 0.0
    rocking: float = 0.0

    def at(self, time: float) -> np.ndarray:
        """Return the 3×3 rotation at a time."""
        share = max(0.0, time - self.begins) / (1 - self.begins)
        rock = self.rocking * sin(7 * time)
        return np.asarray(rotation(self.axes[0], self.angles[0] * share + rock)
                          @ rotation(self.axes[1], self.angles[1] * share) @ self.start)


@dataclass(frozen=True)
class Actor:
    """
    A mesh on its way.

    is_target: whether it is one to be followed; is_object: else it is a hand. rests: whether it
    stands on the ground, whatever the height of its route.
    """

    mesh: Mesh
    scale: float
    route: Route
    turning: Turning
    is_target: bool = False
    is_object: bool = True
    rests: bool = False

    def at(self, time: float) -> np.ndarray:
        """Return its 4×4 pose, which scales, at a time."""
        turn, place = self.turning.at(time), np.array(self.route.at(time), float)
        if self.rests:
            place[2] -= lowest_point(self.mesh, turn) * self.scale
        return pose(turn * self.scale, place)


@dataclass(frozen=True)
class CameraWay:
    """The camera's circle around what it looks at: radians, metres; and its unsteady holder."""

    distance: float
    elevation: float
    azimuth: float
    orbit: float
    dolly: float
    pan: np.ndarray
    shake: float
    phases: np.ndarray
    height: float

    def at(self, time: float) -> np.ndarray:
        """Return its 4×4 pose at a time."""
        angle = self.azimuth + self.orbit * (1 - cos(pi * time)) / 2
        distance = self.distance * (1 + self.dolly * (1 - cos(pi * time)) / 2)
        first, second, third = (sin(9 * time + phase) + 0.5 * sin(23 * time + 2 * phase)
                                for phase in self.phases)
        target = np.array([0, 0, self.height]) + self.pan * (time - 0.5)
        target = target + self.shake * np.array([first, 0, second])
        flat = cos(self.elevation)
        eye = target + distance * np.array([flat * sin(angle), -flat * cos(angle),
                                            sin(self.elevation)])
        return look_at(eye, target, roll=0.8 * self.shake * third)


def make_camera_way(random: Generator, on_table: bool, moves: bool, height: float) -> CameraWay:
    """Draw the camera's way; where it does not move, its holder still shakes a little."""
    elevation = random.uniform(0.3, 1.0) if on_table else random.uniform(-0.15, 0.5)
    strength = 1.0 if moves else 0.0
    return CameraWay(
        distance=random.uniform(0.55, 0.75), elevation=float(elevation),
        azimuth=float(random.normal(0, 0.15)), orbit=strength * float(random.normal(0, 0.45)),
        dolly=strength * random.uniform(-0.25, 0.35),
        pan=strength * random.normal(0, 0.06, 3), shake=random.uniform(0.0, 0.008),
        phases=random.uniform(0, 2 * pi, 3), height=height)


def fitting_scale(mesh: Mesh, random: Generator, least: float, most: float) -> float:
    """Return by how much a mesh is enlarged to have a radius of `least` to `most` metres."""
    wanted = float(np.clip(mesh.radius * random.uniform(0.85, 1.15), least, most))
    return wanted / mesh.radius


def make_slots(count: int, random: Generator, on_table: bool) -> np.ndarray:
    """Return count×3 places beside each other, in no order, all in view."""
    columns = (np.arange(count) + 0.5) / count * 2 - 1
    places = np.zeros((count, 3))
    places[:, 0] = columns * HALF_WIDTH * (0.85 if count > 1 else 0) + random.normal(0, 0.02, count)
    places[:, 1] = random.uniform(-0.13, 0.13, count) if count > 1 else 0.0
    if not on_table:
        places[:, 2] = random.uniform(-0.6, 0.6, count) * HALF_HEIGHT
    return np.asarray(random.permutation(places))


def wander(place: np.ndarray, random: Generator, on_table: bool, reach: float) -> Route:
    """Return a route from `place` over two or three others nearby."""
    count = int(random.integers(3, 5))
    steps = random.normal(0, reach, (count, 3)) * [1.0, 0.7, 0.0 if on_table else 0.7]
    steps[0] = 0
    places = place + np.cumsum(steps, axis=0)
    limits = np.array([HALF_WIDTH, 0.2, HALF_HEIGHT]) * 0.9
    return Route(np.linspace(0, 1, count), np.clip(places, -limits, limits))


def cross(place: np.ndarray, random: Generator, is_in_front: bool) -> Route:
    """Return a route to the other side of the stage and part of the way back."""
    depth = -0.14 if is_in_front else 0.14
    side = 1.0 if place[0] < 0 else -1.0
    middle = np.array([0.0, depth, place[2]])
    far = np.array([side * HALF_WIDTH * random.uniform(0.5, 0.8), depth, place[2]])
    back = np.array([-side * HALF_WIDTH * random.uniform(0.0, 0.4), depth, place[2]])
    return Route(np.array([0, 0.3, 0.6, 1.0]), np.stack([place, middle, far, back]))


def leave_and_return(place: np.ndarray, random: Generator, gone: tuple[float, float],
                     way: float = 0.15) -> Route:
    """
    Return a route out over one side and back over one.

    :param gone: when it is as far as it goes, and when it comes back; `way` before the first it is
        still at its place, `way` after the second it is back at another.
    """
    out, back = random.choice([-1.0, 1.0], 2)
    start, end = gone
    again = np.array([random.uniform(-0.5, 0.5) * HALF_WIDTH, place[1], place[2]])
    # from one side to the other it goes behind the camera
    behind = [0.0, -6.0, place[2]]
    places = [place, place, [out * OUTSIDE, place[1], place[2]], behind,
              [back * OUTSIDE, place[1], place[2]], again, again]
    times = [0.0, start - way, start, (start + end) / 2, end, end + way, 1.0]
    return Route(np.array(times), np.array(places, float), stops=True)


def make_turning(random: Generator, upright: bool, degrees: float, calm: float = 0.0) -> Turning:
    """
    Draw how an object turns.

    :param upright: whether it stays on its base, and turns about the vertical only.
    :param degrees: how far it turns in the clip about its first axis.
    :param calm: the share of the clip in which it only rocks.
    """
    sign = random.choice([-1.0, 1.0])
    start = rotation(_UP, random.uniform(0, 2 * pi))
    if upright:
        return Turning(start, (_UP, _UP), (sign * np.radians(degrees), 0.0), calm, 0.05)
    # about the way that the camera looks it would turn without showing another side
    axes = (random.normal(size=3) * [1.0, 0.3, 1.0], random.normal(size=3))
    turn = random_rotation(random) @ start if random.random() < 0.5 else start
    angles = (sign * np.radians(degrees), float(np.radians(degrees) * random.uniform(0.15, 0.5)))
    return Turning(turn, axes, angles, calm, 0.05)


def make_holder(mesh: Mesh, held: Actor, random: Generator, from_side: bool) -> Actor:
    """Return a hand that goes where an object goes, and hardly turns with it."""
    times = np.linspace(0, 1, _FOLLOWED)
    route = Route(times, np.stack([held.at(float(time))[:3, 3] for time in times]))
    return Actor(mesh, 1.0, route, _arm_turning(random, from_side), is_object=False)


def make_passer(mesh: Mesh, before: np.ndarray, random: Generator,
                covered: tuple[float, float], scale: float) -> Actor:
    """
    Return a hand that comes in, is in front of a place from one time to another, and goes.

    :param before: the place (3) that it hides, seen from a camera at negative y.
    """
    # nearer to the camera, and moved so that the palm, not the fingers, hides the place
    shade = before * [0.75, 0, 0.75] + [0, before[1] - 0.13, 0]
    turning = _arm_turning(random, from_side=True)
    arm = turning.start @ np.array([1.0, 0, 0])
    away = arm * 0.75
    start, end = covered
    shade = shade - arm * 0.06 * scale
    times = [0.0, max(0.01, start - 0.12), start, end, end + 0.12, 1.01]
    places = np.array([shade + away, shade + away, shade, shade, shade + away, shade + away])
    return Actor(mesh, scale, Route(np.array(times), places), turning, is_object=False)


def _arm_turning(random: Generator, from_side: bool) -> Turning:
    """Draw from where an arm comes: a side, below, or towards the camera."""
    ways = [0.0, pi] if from_side else [0.0, pi, pi / 2]
    lift = rotation(np.array([0, 1.0, 0]), ways[random.integers(len(ways))]
                    + random.normal(0, 0.25))
    nearer = rotation(_UP, random.uniform(-0.1, 0.7) * (-1 if lift[0, 0] > 0 else 1))
    roll = rotation(np.array([1.0, 0, 0]), random.uniform(-1.2, 1.2))
    return Turning(nearer @ lift @ roll, (random.normal(size=3), _UP),
                   (float(random.normal(0, 0.25)), 0.0), 0.0, 0.06)
