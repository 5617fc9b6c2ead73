# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands behind rendered objects: tables and walls with pictures on them, and the light."""
from collections.abc import Callable
from dataclasses import dataclass
from math import cos
from math import pi
from math import sin
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.geometry import Plane
from stm_ros.synthetic.geometry import plane_depth
from stm_ros.synthetic.geometry import plane_homography
from stm_ros.synthetic.photographs import PHOTOGRAPHS
from stm_ros.synthetic.photographs import photograph
from stm_ros.synthetic.rendering import Light
from stm_ros.vision.errors import InputError

#: draws one picture, H×W×3 uint8 RGB
Pictures = Callable[[Generator], np.ndarray]
_LONGEST_PICTURE = 900
_SUFFIXES = ('.jpg', '.jpeg', '.png')
_WOODS = ((176, 132, 92), (120, 82, 54), (206, 176, 138), (86, 62, 48))
#: what is brighter than this share of white is pressed together, as cameras do
_SHOULDER = 0.8


def shipped_pictures(random: Generator) -> np.ndarray:
    """Draw one of scikit-image's photographs."""
    return photograph(PHOTOGRAPHS[random.integers(len(PHOTOGRAPHS))])


def pictures_in(folders: list[Path]) -> Pictures:
    """
    Return what draws from all pictures in `folders`, not below them, each as likely as another.

    :raises InputError: where one of them holds no JPEG or PNG.
    """
    found: list[Path] = []
    for folder in folders:
        inside = sorted(path for path in folder.glob('*') if path.suffix.lower() in _SUFFIXES)
        if not inside:
            raise InputError(f'{folder} holds no pictures ({", ".join(_SUFFIXES)})')
        found += inside

    def draw(random: Generator) -> np.ndarray:
        path = found[random.integers(len(found))]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f'{path} cannot be read as a picture')
        scale = _LONGEST_PICTURE / max(picture.shape[:2])
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return draw


@dataclass(frozen=True)
class Surface:
    """A picture (H×W×3 float32 sRGB) on a plane, which is mirrored on and on unless it is bounded.

    is_ground: whether shadows fall on it.
    """

    plane: Plane
    picture: np.ndarray
    is_bounded: bool = False
    is_ground: bool = False

    def draw(self, camera: Camera) -> np.ndarray:
        """Return what the camera sees of it, were it alone and endless: H×W×3 float32."""
        return cv2.warpPerspective(self.picture, self._homography(camera), camera.size[::-1],
                                   flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    def depth(self, camera: Camera) -> np.ndarray:
        """Return how far away it is in each pixel: H×W float32 metres, infinite where it is not."""
        depth = plane_depth(camera, self.plane).astype(np.float32)
        if not self.is_bounded:
            return depth
        inside = cv2.warpPerspective(np.ones(self.picture.shape[:2], np.uint8),
                                     self._homography(camera), camera.size[::-1],
                                     flags=cv2.INTER_NEAREST)
        return np.where(inside > 0, depth, np.float32(np.inf))

    def _homography(self, camera: Camera) -> np.ndarray:
        """Return the 3×3 matrix from the picture's pixels to the camera's, both as OpenCV counts.

        OpenCV counts from pixels' centres, we from their edges.
        """
        height, width = self.picture.shape[:2]
        to_shares = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height],
                              [0, 0, 1]])
        to_centres = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        return np.asarray(to_centres @ plane_homography(camera, self.plane) @ to_shares)

    def brightness(self, lights: list[Light], ambient: float) -> np.ndarray:
        """Return the light that falls on it, RGB, linear."""
        total: np.ndarray = np.full(3, ambient)
        for light in lights:
            facing = -float(self.plane.normal @ light.direction) / np.linalg.norm(light.direction)
            total = total + max(0.0, facing) * light.power / pi * np.array(light.colour)
        return total


class Backdrop(tuple[Surface, ...]):
    """Surfaces, of which the nearest is seen in each pixel."""

    def draw(self, camera: Camera, gains: list[np.ndarray]
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Draw all surfaces.

        :param gains: RGB factors on each surface's picture.
        :returns: colours (H×W×3 float32), depth (H×W float32, metres), and where ground is seen
            (H×W bool).
        """
        colours = np.zeros((*camera.size, 3), np.float32)
        nearest: np.ndarray = np.full(camera.size, np.inf, np.float32)
        ground: np.ndarray = np.zeros(camera.size, bool)
        for surface, gain in zip(self, gains, strict=True):
            depth = surface.depth(camera)
            here = depth < nearest
            np.copyto(colours, surface.draw(camera) * gain.astype(np.float32),
                      where=here[..., None])
            np.copyto(nearest, depth, where=here)
            np.copyto(ground, surface.is_ground, where=here)
        return colours, nearest, ground

    def depth(self, camera: Camera) -> np.ndarray:
        """Return only the depth, as `draw`."""
        return np.minimum.reduce([surface.depth(camera) for surface in self])


def make_table(pictures: Pictures, random: Generator) -> Backdrop:
    """Return a table at z = 0 and a wall behind it; half of the tables show a photograph."""
    side = random.uniform(1.0, 1.8)
    middle = np.array([random.normal(0, 0.05), random.uniform(0.0, 0.15), 0.0])
    if random.random() < 0.5:
        picture = pictures(random)
        across = side * np.array([1.0, 0, 0])
        down = -side * picture.shape[0] / picture.shape[1] * np.array([0, 1.0, 0])
    else:
        picture = _plain_surface(random)
        angle = random.uniform(0, 2 * pi)
        across = side * np.array([cos(angle), sin(angle), 0])
        down = -side * np.array([-sin(angle), cos(angle), 0])
    is_bounded = bool(random.random() < 0.3)
    plane = Plane(middle - across / 2 - down / 2, across, down)
    table = Surface(plane, _softened(picture, random, 0.0), is_bounded, is_ground=True)
    return Backdrop((_wall(pictures, random, random.uniform(0.6, 1.6), 0.35), table))


def make_air(pictures: Pictures, random: Generator) -> Backdrop:
    """Return a photograph behind things in mid-air, a metre or two away."""
    return Backdrop((_wall(pictures, random, random.uniform(0.5, 2.0), 0.0),))


def _wall(pictures: Pictures, random: Generator, distance: float, height: float) -> Surface:
    picture = pictures(random)
    # wide enough for a camera half a metre in front of the objects, with some room to pan
    width = (0.7 + distance) * random.uniform(1.3, 1.8)
    across = np.array([width, 0, 0])
    down = np.array([0, 0, -width * picture.shape[0] / picture.shape[1]])
    middle = np.array([random.normal(0, 0.05), distance, height + random.normal(0, 0.05)])
    plane = Plane(middle - across / 2 - down / 2, across, down)
    return Surface(plane, _softened(picture, random, 1.2))


def _softened(picture: np.ndarray, random: Generator, most: float) -> np.ndarray:
    """Return the picture as float32, out of focus by up to `most` pixels in half of the cases."""
    colours = picture.astype(np.float32)
    blur = random.uniform(0, most)
    return cv2.GaussianBlur(colours, (0, 0), blur) if blur > 0.4 else colours


def _plain_surface(random: Generator) -> np.ndarray:
    """Return 512×512×3 uint8: wood, cloth, or one colour with stains."""
    kind = random.integers(3)
    grain = random.normal(0, 1, (512, 512)).astype(np.float32)
    stains = cv2.resize(random.normal(0, 1, (6, 6)).astype(np.float32), (512, 512),
                        interpolation=cv2.INTER_CUBIC)
    if kind == 0:
        colour = np.array(_WOODS[random.integers(len(_WOODS))])
        streaks = cv2.GaussianBlur(grain, (0, 0), sigmaX=60, sigmaY=1.2)
        shade = 1 + 1.1 * streaks + 0.05 * stains
    elif kind == 1:
        colour = random.uniform(30, 230, 3)
        columns, rows = np.meshgrid(np.arange(512), np.arange(512))
        period = random.uniform(20, 90)
        stripes = np.sign(np.sin(2 * pi * columns / period)) * random.uniform(0, 0.25)
        stripes = stripes + np.sign(np.sin(2 * pi * rows / period)) * random.uniform(0, 0.25)
        shade = 1 + stripes + 0.05 * cv2.GaussianBlur(grain, (0, 0), 0.8)
    else:
        colour = random.uniform(60, 240, 3)
        shade = 1 + 0.06 * stains + 0.03 * cv2.GaussianBlur(grain, (0, 0), 1.0)
    return (colour * shade[..., None]).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Lighting:
    """
    How the light changes over a clip.

    azimuth, sweep: of the key light, radians, where it starts and how far it moves. elevation:
    radians. power, fill, ambient: see `Light`. warmth: more red and less blue, a share. switched:
    from which share of the clip to which the key light is off. drift: share by which all of it
    rises or falls.
    """

    azimuth: float
    sweep: float
    elevation: float
    power: float
    fill: float
    ambient: float
    warmth: float = 0.0
    switched: tuple[float, float] | None = None
    drift: float = 0.0

    def at(self, time: float) -> tuple[list[Light], float]:
        """Return lights and ambient at a time from 0 to 1."""
        is_off = self.switched is not None and self.switched[0] <= time < self.switched[1]
        level = 1 + self.drift * sin(2 * pi * time)
        angle = self.azimuth + self.sweep * time
        flat = cos(self.elevation)
        key = np.array([flat * cos(angle), flat * sin(angle), -sin(self.elevation)])
        colour = (1 + self.warmth, 1.0, 1 - self.warmth)
        lights = [Light(np.array([-0.6 * cos(angle), 0.8, -0.5]), (1.0, 1.0, 1.0),
                        self.fill * level * (0.7 if is_off else 1.0))]
        if not is_off:
            lights.append(Light(key, colour, self.power * level))
        return lights, self.ambient * level * (0.7 if is_off else 1.0)


def make_lighting(random: Generator, moves: bool, is_switched: bool) -> Lighting:
    """Draw a key light from above, a weaker one from the camera's side, and what is everywhere."""
    switched = None
    if is_switched:
        start = random.uniform(0.2, 0.6)
        switched = (start, start + random.uniform(0.15, 0.35))
    return Lighting(
        azimuth=random.uniform(0, 2 * pi), sweep=random.normal(0, 1.2) if moves else 0.0,
        elevation=random.uniform(0.6, 1.35), power=random.uniform(2.2, 4.6),
        fill=random.uniform(0.5, 1.8), ambient=random.uniform(0.25, 0.5),
        warmth=float(random.normal(0, 0.06)), switched=switched,
        drift=float(random.normal(0, 0.12)) if moves else 0.0)


def press_highlights(colours: np.ndarray) -> np.ndarray:
    """Bend what is brighter than 80 % of white towards white, instead of cutting it off."""
    knee = 255 * _SHOULDER
    room = 255 - knee
    above = np.maximum(colours - knee, 0)
    return np.where(colours > knee, knee + room * (1 - np.exp(-above / room)), colours)
