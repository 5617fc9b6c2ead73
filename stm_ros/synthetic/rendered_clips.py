# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rendered clips, frame by frame: image, exact label map with occlusion, exact depth."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.geometry import focal_length
from stm_ros.synthetic.geometry import shadow_matrix
from stm_ros.synthetic.rendering import Light
from stm_ros.synthetic.rendering import Renderer
from stm_ros.synthetic.staging import press_highlights
from stm_ros.synthetic.stories import Scene

FIELD_OF_VIEW = 45.0
#: where in a pixel each of the pictures looks that make up a frame, by their number: a rotated grid
_SUBPIXELS = {2: ((-0.25, -0.25), (0.25, 0.25)),
              3: ((-0.33, -0.11), (0.11, 0.33), (0.22, -0.22)),
              4: ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))}
_SHADOW_HEIGHT = 0.001
#: a pose of which nothing is seen: as small as nothing, far behind every camera
_GONE = np.array([[0, 0, 0, 0], [0, 0, 0, -1e3], [0, 0, 0, 0], [0, 0, 0, 1.0]])


class RenderedFrame(NamedTuple):
    """
    One frame.

    image: H×W×3 uint8 RGB. owners: H×W uint8, one more than the index of the actor that is seen
    at the pixel's centre in the middle of the exposure, 0 for the backdrop.
    """

    image: np.ndarray
    owners: np.ndarray


@dataclass(frozen=True)
class Lens:
    """
    What the camera makes of light: size (H, W) in pixels, gain, noise (grey levels).

    exposures: 2, 3 or 4 pictures make up a frame, each at its own time and part of a pixel.
    """

    size: tuple[int, int]
    gain: float = 1.0
    noise: float = 2.0
    exposures: int = 3


class Film:
    """Renders the frames of a scene; close it when done."""

    def __init__(self, scene: Scene, lens: Lens) -> None:
        """Hand the actors over to the renderer, see `Renderer`."""
        self.scene, self.lens = scene, lens
        self._renderer = Renderer([actor.mesh for actor in scene.actors], lens.size)
        lights, ambient = scene.lighting.at(0.0)
        self._first_light = [float(surface.brightness(lights, ambient).mean())
                             for surface in scene.backdrop]

    def close(self) -> None:
        """Give the renderer's memory back."""
        self._renderer.close()

    def camera(self, time: float, shift: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """Return the camera at a time from 0 to 1."""
        focal = focal_length(self.lens.size[1], FIELD_OF_VIEW)
        return Camera(self.lens.size, focal, self.scene.camera.at(time), shift)

    def frames(self, count: int, random: Generator) -> Iterator[RenderedFrame]:
        """Render `count` frames, evenly over the time from 0 to 1."""
        for index in range(count):
            yield self.frame(index / max(1, count - 1), self.scene.shutter / max(1, count - 1),
                             random)

    def frame(self, time: float, open_for: float, random: Generator) -> RenderedFrame:
        """Render one frame at a time from 0 to 1, exposed for `open_for` around it."""
        count = self.lens.exposures
        times = time + (np.arange(count) + 0.5 - count / 2) / count * open_for
        shadow = self._shadow(time)
        exposures = [self._expose(float(moment), shift, shadow)
                     for moment, shift in zip(times, _SUBPIXELS[count], strict=True)]
        colours = np.mean(exposures, axis=0)
        colours = press_highlights(self.lens.gain * colours)
        noise = random.normal(0, self.lens.noise, colours.shape)
        image = np.rint(colours + noise).clip(0, 255).astype(np.uint8)
        return RenderedFrame(image, self.owners(time))

    def owners(self, time: float) -> np.ndarray:
        """Return which actor owns each pixel at a moment, see `RenderedFrame`."""
        owner, depth = self._renderer.outline(self.camera(time), self.poses(time))
        behind = self.scene.backdrop.depth(self.camera(time))
        return np.where(depth < behind, owner, 0).astype(np.uint8)

    def depth(self, time: float) -> np.ndarray:
        """Return the depth of what is seen at a time: H×W float32, metres, infinite for nothing."""
        camera = self.camera(time)
        _, depth = self._renderer.outline(camera, self.poses(time))
        return np.minimum(depth, self.scene.backdrop.depth(camera))

    def alone(self, time: float, index: int) -> np.ndarray:
        """Return where an actor would be seen if nothing hid it: H×W bool."""
        poses = [place if number == index else _GONE
                 for number, place in enumerate(self.poses(time))]
        return np.asarray(self._renderer.outline(self.camera(time), poses)[0] == index + 1)

    def share_in_view(self, time: float, index: int, seen: np.ndarray) -> float:
        """
        Return how much of an actor is seen, from 0 to 1.

        :param seen: H×W bool, where it is seen. Of what lies outside the picture the hull of the
            actor is taken for its outline.
        """
        whole = int(self.alone(time, index).sum())
        if whole == 0:
            return 0.0
        actor = self.scene.actors[index]
        place = actor.at(time)
        points, depth = self.camera(time).project(
            actor.mesh.support @ place[:3, :3].T + place[:3, 3])
        return int(seen.sum()) / whole * share_inside(points[depth > 0], self.lens.size)

    def poses(self, time: float) -> list[np.ndarray]:
        """Return each actor's 4×4 pose at a time."""
        return [actor.at(time) for actor in self.scene.actors]

    def _expose(self, time: float, shift: tuple[float, float], shadow: np.ndarray) -> np.ndarray:
        camera = self.camera(time, shift)
        lights, ambient = self.scene.lighting.at(time)
        drawn, nearest = self._renderer.draw(camera, self.poses(time), lights, ambient)
        gains = [self._gain(index, lights, ambient) for index in range(len(self.scene.backdrop))]
        colours, depth, ground = self.scene.backdrop.draw(camera, gains)
        colours[ground] *= (1 - shadow[ground])[:, None]
        return np.where((nearest < depth)[..., None], drawn, colours)

    def _gain(self, index: int, lights: list[Light], ambient: float) -> np.ndarray:
        """Return what the light does to a picture, which was taken in the light of time 0."""
        now = self.scene.backdrop[index].brightness(lights, ambient)
        # linear light to sRGB's numbers
        return np.asarray((now / max(self._first_light[index], 1e-3)) ** (1 / 2.2))

    def _shadow(self, time: float) -> np.ndarray:
        """Return how much of each pixel's light is lost where it shows ground: H×W float32."""
        shadow: np.ndarray = np.zeros(self.lens.size, np.float32)
        if not self.scene.has_ground:
            return shadow
        lights, ambient = self.scene.lighting.at(time)
        # the others fill shadows, and their own are hardly seen
        key = max(lights, key=lambda light: light.power)
        flat = shadow_matrix(key.direction, _SHADOW_HEIGHT)
        poses = [flat @ place for place in self.poses(time)]
        seen = self._renderer.outline(self.camera(time), poses)[0] > 0
        edge = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), self.lens.size[1] / 130)
        reached = ambient + sum(light.power for light in lights) / np.pi
        shadow = edge * np.float32(key.power / np.pi / reached)
        # light to sRGB's numbers
        return 1 - (1 - np.clip(shadow, 0, 0.95)) ** np.float32(1 / 2.2)


def share_inside(points: np.ndarray, size: tuple[int, int]) -> float:
    """Return which share of the hull of N×2 points lies in a picture of `size` (H, W); 0 if none.

    :param points: x and y in pixels, edges at whole numbers.
    """
    if len(points) < 3:
        return 0.0
    hull = cv2.convexHull(points.astype(np.float32))
    area = cv2.contourArea(hull)
    height, width = size
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inside, _ = cv2.intersectConvexConvex(hull, frame)
    return float(inside / area) if area > 0 else 0.0
