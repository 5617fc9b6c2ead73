# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Clips composed of real photographs, whose true masks are therefore known exactly.

A cup of coffee moves over another photograph while it turns, tilts, changes size, bends, is blurred
by its motion, is passed in front of by an astronaut, and the light changes. All of it follows from
name, number of frames, size and seed.
"""
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import lru_cache
from math import cos
from math import pi
from math import sin

import cv2
import numpy as np

from stm_ros.synthetic.photographs import cut_out
from stm_ros.synthetic.photographs import photograph
from stm_ros.vision.errors import InputError

TARGET_ID = 1
MOST_FRAMES = 2000
_EXPOSURES = 7
_NOISE = 2.0


@dataclass(frozen=True)
class Pose:
    """
    Where and how a cut-out stands.

    `x`, `y`: its centre, as shares of the image's width and height; `height`: its height as a share
    of the image's; `angle`: degrees, counter-clockwise; `tilt`: foreshortening, 0 is frontal;
    `bend`: amplitude of the wave that deforms it, as a share of its width; `phase`: radians.
    """

    x: float
    y: float
    height: float
    angle: float = 0.0
    tilt: float = 0.0
    bend: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Layer:
    """One of `CUT_OUTS` in the scene; what is marked as target makes the truth."""

    cut_out: str
    pose: Pose
    is_target: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class Moment:
    """The scene at one time: layers from back to front, and light."""

    background: str
    layers: tuple[Layer, ...]
    pan: float = 0.5
    gain: float = 1.0
    warmth: float = 0.0
    shade: float = 0.0
    shutter: float = field(default=0.0)


@dataclass(frozen=True)
class _Wobble:
    """A seed's own way of moving: phases and a side (1 or -1)."""

    phases: tuple[float, float, float]
    side: int


def generate_clip(name: str, frames: int, size: tuple[int, int],
                  seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """
    Return `frames` pairs of an image (H×W×3 uint8 RGB) and its label map (H×W uint8: 0, 1).

    In the first frame the target is clear, whole and sharp, as a reference should be. A pixel
    belongs to the target where the target makes up at least half of what it shows.

    :param name: one of `CLIPS`.
    :param size: (H, W) in pixels, at least 32 each.
    :raises InputError: for an unknown name, a size or number of frames out of range, or where
        scikit-image, whose photographs are used, is not installed.
    """
    if name not in _SCENES:
        raise InputError(f'clip {name!r} is unknown; known are {", ".join(CLIPS)}')
    if not 1 <= frames <= MOST_FRAMES:
        raise InputError(f'{frames} frames is outside 1..{MOST_FRAMES}')
    if min(size) < 32:
        raise InputError(f'{size[1]}×{size[0]} pixels is too small; 32×32 is the least')
    rng = np.random.default_rng(seed)
    first, second, third = rng.uniform(0, 2 * pi, 3)
    wobble = _Wobble((first, second, third), 1 if rng.random() < 0.5 else -1)
    return [_render_frame(_SCENES[name], index, frames, size, seed, wobble)
            for index in range(frames)]


def _render_frame(scene: Callable[[float, _Wobble], Moment], index: int, frames: int,
                  size: tuple[int, int], seed: int,
                  wobble: _Wobble) -> tuple[np.ndarray, np.ndarray]:
    time = index / max(1, frames - 1)
    moment = scene(time, wobble)
    spread = moment.shutter / max(1, frames - 1)
    times = [time] if spread == 0 else np.linspace(time - spread / 2, time + spread / 2, _EXPOSURES)
    # every exposure shows the scene of this frame: motion is blurred, a cut is not
    exposures = [compose(replace(scene(float(t), wobble), background=moment.background), size)
                 for t in times]
    colours = np.mean([picture for picture, _ in exposures], axis=0)
    coverage = np.mean([part for _, part in exposures], axis=0)
    image = expose(colours, moment, (seed, index))
    return image, (coverage >= 0.5).astype(np.uint8) * TARGET_ID


def _cup(time: float, wobble: _Wobble, **changes: float) -> Pose:
    """Return the target's pose on its usual way; at time 0 it stands upright in the left half."""
    grow = [sin(2 * pi * turns * time + phase) - sin(phase)
            for turns, phase in zip((1.0, 1.5, 2.0), wobble.phases, strict=True)]
    usual = Pose(
        x=0.36 + 0.34 * sin(pi * time), y=0.52 + 0.06 * grow[0], height=0.46 + 0.07 * grow[1],
        angle=wobble.side * 55 * sin(1.5 * pi * time), tilt=0.25 * sin(pi * time),
        bend=0.05 * min(1.0, 4 * time), phase=4 * pi * time)
    return replace(usual, **changes)


def _ramp(time: float, start: float, end: float) -> float:
    """Return 0 before `start`, 1 after `end`, and a smooth rise between."""
    share = min(1.0, max(0.0, (time - start) / (end - start)))
    return (1 - cos(pi * share)) / 2


def _bump(time: float, start: float, end: float) -> float:
    """Return a smooth hill: 0 outside start..end, 1 in the middle."""
    middle = (start + end) / 2
    return _ramp(time, start, middle) - _ramp(time, middle, end)


def _occlusion(time: float, wobble: _Wobble) -> Moment:
    # the astronaut crosses from right to left while the cup goes its way
    passing = Pose(x=1.35 - 1.7 * (time - 0.42) / 0.3, y=0.62, height=0.85)
    return Moment(
        'rocket', (Layer('cup', _cup(time, wobble), is_target=True), Layer('astronaut', passing)),
        pan=0.5 + 0.4 * sin(2 * pi * time) / 2, gain=1 - 0.55 * _bump(time, 0.65, 1.05),
        warmth=0.25 * _ramp(time, 0.6, 0.8), shade=0.4 * _bump(time, 0.1, 0.6),
        shutter=0.2 + 2.3 * _bump(time, 0.15, 0.4) if time > 0 else 0.0)


def _leave_return(time: float, wobble: _Wobble) -> Moment:
    # out over the right edge, a while of nothing, in again over the left one
    x = 0.36 + 1.1 * _ramp(time, 0.15, 0.4) if time < 0.5 else -0.4 + 0.8 * _ramp(time, 0.6, 0.85)
    return Moment(
        'astronaut', (Layer('cup', _cup(time, wobble, x=x), is_target=True),),
        gain=1 - 0.3 * _ramp(time, 0.5, 0.9), shutter=0.5 if time > 0 else 0.0)


def _look_alike(time: float, wobble: _Wobble) -> Moment:
    # a mirrored cup of the same make stands on the right and passes in front, to the left
    other = Pose(x=0.82 - 0.7 * _ramp(time, 0.25, 0.8), y=0.55, height=0.42, angle=-8)
    own = _cup(time, wobble, x=0.25 + 0.5 * _ramp(time, 0.25, 0.8))
    return Moment(
        'rocket', (Layer('cup', own, is_target=True), Layer('cup', other, mirrored=True)),
        pan=0.5, shutter=0.3 if time > 0 else 0.0)


def _scene_cut(time: float, wobble: _Wobble) -> Moment:
    if time < 0.5:
        return Moment('rocket', (Layer('cup', _cup(time, wobble), is_target=True),),
                      shutter=0.3 if time > 0 else 0.0)
    pose = _cup(time, wobble, x=0.3 + 0.3 * time, height=0.34)
    return Moment('chelsea', (Layer('cup', pose, is_target=True),), gain=0.75, warmth=-0.2,
                  shutter=0.3)


_SCENES = {'occlusion': _occlusion, 'leave_return': _leave_return, 'look_alike': _look_alike,
           'scene_cut': _scene_cut}
CLIPS = tuple(_SCENES)


def expose(colours: np.ndarray, moment: Moment, seed: tuple[int, ...]) -> np.ndarray:
    """Return what a camera makes of `colours` (H×W×3) in this light, with noise: uint8 RGB."""
    noise = np.random.default_rng(seed).normal(0, _NOISE, colours.shape)
    return np.rint(_lit(colours, moment) + noise).clip(0, 255).astype(np.uint8)


def compose(moment: Moment, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the unlit picture (H×W×3 float32) and the target's visible share (H×W, 0..1)."""
    picture: np.ndarray = _backdrop(moment.background, moment.pan, size)
    coverage: np.ndarray = np.zeros(size, np.float32)
    for layer in moment.layers:
        painted = _place(layer, size)
        alpha = painted[..., 3]
        # colours are already multiplied by alpha
        picture = picture * (1 - alpha[..., None]) + painted[..., :3]
        coverage = coverage * (1 - alpha) + (alpha if layer.is_target else 0)
    return picture, coverage


def _backdrop(name: str, pan: float, size: tuple[int, int]) -> np.ndarray:
    """Return the part of the photograph seen at `pan` (0 left, 1 right), H×W×3 float32."""
    wide = _wide_backdrop(name, size)
    offset = min(1.0, max(0.0, pan)) * (wide.shape[1] - size[1])
    top = (wide.shape[0] - size[0]) / 2
    shift = np.array([[1, 0, -offset], [0, 1, -top]], np.float32)
    return cv2.warpAffine(wide, shift, (size[1], size[0]), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=8)
def _wide_backdrop(name: str, size: tuple[int, int]) -> np.ndarray:
    image = photograph(name).astype(np.float32)
    scale = 1.25 * max(size[0] / image.shape[0], size[1] / image.shape[1])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=64)
def _patch(name: str, height: int, mirrored: bool) -> np.ndarray:
    """Return the cut-out at about the size it is shown, float32, colours multiplied by alpha."""
    source: np.ndarray = cut_out(name).astype(np.float32)
    source = source[:, ::-1] if mirrored else source
    source = np.dstack((source[..., :3] * (source[..., 3:] / 255), source[..., 3] / 255))
    # a border, into which the bent object may reach
    border = max(2, source.shape[0] // 8)
    source = cv2.copyMakeBorder(source, border, border, border, border, cv2.BORDER_CONSTANT)
    scale = height / (source.shape[0] - 2 * border)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(source, None, fx=scale, fy=scale, interpolation=way)


def _place(layer: Layer, size: tuple[int, int]) -> np.ndarray:
    """Return the layer alone, H×W×4 float32: colours multiplied by alpha, alpha in 0..1."""
    pose = layer.pose
    # in steps of an eighth, so that few sizes have to be kept
    nominal = max(8, round(8 * pose.height) * size[0] // 8)
    patch = _patch(layer.cut_out, nominal, layer.mirrored)
    if pose.bend:
        patch = _bent(patch, pose.bend, pose.phase)
    height, width = patch.shape[:2]
    scale = pose.height * size[0] / nominal
    turn = np.radians(pose.angle)
    rotation = scale * np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    matrix = np.eye(3)
    matrix[:2, :2] = rotation
    matrix[:2, 2] = (pose.x * size[1], pose.y * size[0])
    tilted = np.eye(3)
    tilted[2, 0] = pose.tilt / width
    centred = np.eye(3)
    centred[:2, 2] = (-width / 2, -height / 2)
    return cv2.warpPerspective(patch, matrix @ tilted @ centred, (size[1], size[0]),
                               flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _bent(patch: np.ndarray, bend: float, phase: float) -> np.ndarray:
    """Shift rows sideways and columns up and down along a wave."""
    height, width = patch.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    amplitude = bend * width
    shifted_x = columns + amplitude * np.sin(2 * pi * rows / height + phase).astype(np.float32)
    shifted_y = rows + amplitude * np.cos(1.5 * pi * columns / width + phase).astype(np.float32) / 2
    return cv2.remap(patch, shifted_x, shifted_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _lit(colours: np.ndarray, moment: Moment) -> np.ndarray:
    """Apply gain, warmth (more red, less blue) and a shade that falls off from left to right."""
    tint = moment.gain * np.array([1 + moment.warmth, 1.0, 1 - moment.warmth])
    slope = 1 - moment.shade * np.linspace(0, 1, colours.shape[1])
    return colours * tint * slope[None, :, None]
