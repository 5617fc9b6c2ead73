# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a thing moves in the image: a constant-velocity filter of its box, in pixels and seconds.

Each axis of the box's centre is a Kalman filter with position and velocity as its state and white
noise as acceleration (Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking
and Navigation, 2001, section 6.2.2). Noise is in units of the box's size, so that near and far
things move alike.
"""
from dataclasses import dataclass

import numpy as np

from stm_ros.vision.boxes import Box

#: sizes a second per √second, and sizes: the most likely for the true boxes of 24 training
#: sequences at 24 Hz, of which 1.5 % leave the gate below; seen every fourth frame 0.7 %
ACCELERATION_NOISE = 5.0
POSITION_NOISE = 0.01
#: sizes a second: what a thing's velocity may be before it has been seen to move
FIRST_SPEED = 3.0
#: 99 % of the squared distances of two dimensions: chi-square
GATE = 9.21
#: variance of a place that is uniform over an interval, as a share of its squared length
_UNIFORM = 1 / 12


@dataclass(frozen=True)
class Motion:
    """A box in pixels of the source image at one time, and how it moves.

    velocity: x, y in pixels a second. variance: of position, of position with velocity, and of
    velocity, the same for both axes, in squared pixels and seconds. age: seconds since a box was
    seen.
    """

    box: Box
    velocity: tuple[float, float] = (0.0, 0.0)
    variance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    age: float = 0.0

    @classmethod
    def at(cls, box: Box) -> 'Motion':
        """A thing seen for the first time."""
        size = box.size
        return cls(box, variance=((POSITION_NOISE * size) ** 2, 0.0, (FIRST_SPEED * size) ** 2))

    def after(self, seconds: float) -> 'Motion':
        """The same thing `seconds` later, unseen."""
        at, both, speed = self.variance
        noise = (ACCELERATION_NOISE * self.box.size) ** 2
        x, y = self.velocity
        return Motion(
            self.box.moved(x * seconds, y * seconds), self.velocity,
            (at + 2 * seconds * both + seconds ** 2 * speed + noise * seconds ** 3 / 3,
             both + seconds * speed + noise * seconds ** 2 / 2, speed + noise * seconds),
            self.age + seconds)

    def seen(self, box: Box, is_whole: bool = True) -> 'Motion':
        """The motion once a box has been seen at this time.

        :param is_whole: whether all of the thing was free to be seen. Otherwise a smaller box is
            somewhere in a box of the size it had, and tells the centre that much less exactly.
        """
        sides = [(self.box.width, box.width), (self.box.height, box.height)]
        kept = [own if is_whole else max(own, held) for held, own in sides]
        hidden = max(0.0 if is_whole else held - own for held, own in sides)
        noise = (POSITION_NOISE * box.size) ** 2 + _UNIFORM * max(0.0, hidden) ** 2
        at, both, speed = self.variance
        total = at + noise
        gain, speed_gain = at / total, both / total
        residual = np.subtract(box.center, self.box.center)
        center = np.add(self.box.center, gain * residual)
        velocity = np.add(self.velocity, speed_gain * residual)
        return Motion(
            Box(float(center[0]) - kept[0] / 2, float(center[1]) - kept[1] / 2, *kept),
            (float(velocity[0]), float(velocity[1])),
            ((1 - gain) * at, (1 - gain) * both, speed - speed_gain * both))

    @property
    def spread(self) -> float:
        """Standard deviation of the box's place along each axis, in pixels."""
        return float(np.sqrt(self.variance[0]))

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Squared distances of places from the thing, which fills its box and may be elsewhere.

        Two degrees of freedom: GATE holds 99 % of a thing's own parts.

        :param x: pixels, any shape; `y` of one that it broadcasts with.
        """
        column, row = self.box.center
        place = self.variance[0] + (POSITION_NOISE * self.box.size) ** 2
        return ((x - column) ** 2 / (place + _UNIFORM * self.box.width ** 2)
                + (y - row) ** 2 / (place + _UNIFORM * self.box.height ** 2))

    def surprise(self, box: Box) -> float:
        """The squared distance of a box's centre from where it was expected, two degrees."""
        place = self.variance[0] + (POSITION_NOISE * self.box.size) ** 2
        return float(np.square(np.subtract(box.center, self.box.center)).sum() / place)
