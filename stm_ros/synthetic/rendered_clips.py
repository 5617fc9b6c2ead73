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
#: pictures that make up a frame, each at its own time within the exposure and part of a pixel
EXPOSURES = 4
#: where in a pixel each of them looks: a rotated grid
_SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
_SHADOW_HEIGHT = 0.001
#: a pose of which nothing is seen: as small as nothing, far behind every camera
_GONE = np.array([[0, 0, 0, 0], [0, 0, 0, -1e3], [0, 0, 0, 0], [0, 0, 0, 1.0]])


class RenderedFrame(NamedTuple):
    """
    One frame.

    image: H×W×3 uint8 RGB. owners: H×W uint8, one more than the index of the actor that makes up
    most of what the pixel shows, 0 for the backdrop.
    """

    image: np.ndarray
    owners: np.ndarray


class _Exposure(NamedTuple):
    colours: np.ndarray
    owners: np.ndarray


@dataclass(frozen=True)
class Lens:
    """What the camera makes of light: size (H, W) in pixels, gain, noise (grey levels)."""

    size: tuple[int, int]
    gain: float = 1.0
    noise: float = 2.0


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
        times = time + (np.arange(EXPOSURES) + 0.5 - EXPOSURES / 2) / EXPOSURES * open_for
        shadow = self._shadow(time)
        exposures = [self._expose(float(moment), shift, shadow)
                     for moment, shift in zip(times, _SUBPIXELS, strict=True)]
        colours = np.mean([exposure.colours for exposure in exposures], axis=0)
        colours = press_highlights(self.lens.gain * colours)
        noise = random.normal(0, self.lens.noise, colours.shape)
        image = np.rint(colours + noise).clip(0, 255).astype(np.uint8)
        return RenderedFrame(image, majority([exposure.owners for exposure in exposures]))

    def owners(self, time: float) -> np.ndarray:
        """Return which actor owns each pixel at a moment, see `RenderedFrame`."""
        owner, depth = self._renderer.outline(self.camera(time), self.poses(time))
        gains = [np.ones(3)] * len(self.scene.backdrop)
        behind = self.scene.backdrop.draw(self.camera(time), gains)[1]
        return np.where(depth < behind, owner, 0).astype(np.uint8)

    def depth(self, time: float) -> np.ndarray:
        """Return the depth of what is seen at a time: H×W float32, metres, infinite for nothing."""
        camera = self.camera(time)
        _, depth = self._renderer.outline(camera, self.poses(time))
        gains = [np.ones(3)] * len(self.scene.backdrop)
        return np.minimum(depth, self.scene.backdrop.draw(camera, gains)[1])

    def alone(self, time: float, index: int) -> np.ndarray:
        """Return where an actor would be seen if nothing hid it: H×W bool."""
        poses = [place if number == index else _GONE
                 for number, place in enumerate(self.poses(time))]
        return np.asarray(self._renderer.outline(self.camera(time), poses)[0] == index + 1)

    def poses(self, time: float) -> list[np.ndarray]:
        """Return each actor's 4×4 pose at a time."""
        return [actor.at(time) for actor in self.scene.actors]

    def _expose(self, time: float, shift: tuple[float, float], shadow: np.ndarray) -> _Exposure:
        camera = self.camera(time, shift)
        lights, ambient = self.scene.lighting.at(time)
        drawn = self._renderer.draw(camera, self.poses(time), lights, ambient)
        gains = [self._gain(index, lights, ambient) for index in range(len(self.scene.backdrop))]
        colours, depth, ground = self.scene.backdrop.draw(camera, gains)
        colours[ground] *= (1 - shadow[ground])[:, None]
        in_front = (drawn.owner > 0) & (drawn.depth < depth)
        colours = np.where(in_front[..., None], drawn.colours, colours)
        return _Exposure(colours, np.where(in_front, drawn.owner, 0).astype(np.uint8))

    def _gain(self, index: int, lights: list[Light], ambient: float) -> np.ndarray:
        """Return what the light does to a picture, which was taken in the light of time 0."""
        now = self.scene.backdrop[index].brightness(lights, ambient)
        # linear light to sRGB's numbers
        return np.asarray((now / max(self._first_light[index], 1e-3)) ** (1 / 2.2))

    def _shadow(self, time: float) -> np.ndarray:
        """Return how much of each pixel's light is lost where it shows ground: H×W float32."""
        shadow = np.zeros(self.lens.size, np.float32)
        if not self.scene.has_ground:
            return shadow
        lights, ambient = self.scene.lighting.at(time)
        reached = ambient + sum(light.power for light in lights) / np.pi
        camera, poses = self.camera(time), self.poses(time)
        for light in lights:
            flat = shadow_matrix(light.direction, _SHADOW_HEIGHT)
            seen = self._renderer.outline(camera, [flat @ place for place in poses])[0] > 0
            softness = self.lens.size[1] / 130
            edge = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), softness)
            lost = light.power / np.pi / reached
            shadow = 1 - (1 - shadow) * (1 - lost * edge)
        # light to sRGB's numbers
        return 1 - (1 - np.clip(shadow, 0, 0.95)) ** np.float32(1 / 2.2)


def majority(maps: list[np.ndarray]) -> np.ndarray:
    """Return the value that most of several H×W uint8 maps have in each pixel.

    Of two that are as frequent it is the greater: what makes up half of a pixel owns it, not the
    backdrop.
    """
    stack = np.stack(maps)
    votes = (stack[:, None] == stack[None]).sum(axis=1)
    best = (votes.astype(np.int32) * 256 + stack).argmax(axis=0)
    return np.take_along_axis(stack, best[None], axis=0)[0]
