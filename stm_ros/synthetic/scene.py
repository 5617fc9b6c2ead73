# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scenes that move: a background, cut-out objects over it, and each one's own motion."""
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator


@dataclass(frozen=True)
class Cutout:
    """An object without its surroundings: image h×w×3 uint8 and opacity h×w float32 in [0, 1]."""

    image: np.ndarray
    opacity: np.ndarray


@dataclass
class Layer:
    """A cut-out with one placement (2×3 affine, cut-out to frame pixels) for every frame.

    target: the id that its visible pixels get, 0 for an occluder or a distractor.
    """

    cutout: Cutout
    placements: list[np.ndarray]
    target: int


def cut_out(image: np.ndarray, mask: np.ndarray) -> Cutout | None:
    """Cut the object of `mask` (H×W bool) out of `image` with a softened edge.

    None where fewer than 150 pixels, or hardly anything of its box, belong to it.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = mask[top:bottom, left:right]
    if inside.sum() < 150 or inside.mean() < 0.08:
        return None
    padded = cv2.copyMakeBorder(inside.astype(np.float32), 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    opacity = cv2.GaussianBlur(padded, (3, 3), 0)
    surround = cv2.copyMakeBorder(image[top:bottom, left:right], 2, 2, 2, 2,
                                  cv2.BORDER_REPLICATE)
    return Cutout(surround, opacity)


def bend(cutout: Cutout, random: Generator, strength: float) -> Cutout:
    """Deform a cut-out smoothly by at most about `strength` of its size."""
    height, width = cutout.opacity.shape
    shifts = random.uniform(-strength, strength, (2, 4, 4)).astype(np.float32)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32),
                                np.arange(height, dtype=np.float32))
    shift_x = cv2.resize(shifts[0], (width, height), interpolation=cv2.INTER_CUBIC) * width
    shift_y = cv2.resize(shifts[1], (width, height), interpolation=cv2.INTER_CUBIC) * height
    x, y = columns + shift_x, rows + shift_y
    return Cutout(cv2.remap(cutout.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT),
                  cv2.remap(cutout.opacity, x, y, cv2.INTER_LINEAR))


def affine(center: np.ndarray, target: np.ndarray, scale: float, degrees: float,
           shear: float = 0.0, mirrored: bool = False) -> np.ndarray:
    """The 2×3 affine that scales, turns and shears about `center` and moves it to `target`."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.array([[-1.0 if mirrored else 1.0, shear], [0.0, 1.0]])
    matrix = scale * turn @ stretch
    return np.hstack([matrix, (target - matrix @ center)[:, None]])


def paste(frame: np.ndarray, label_map: np.ndarray, layer: Layer, time: int,
          cutout: Cutout) -> None:
    """Draw `cutout` of `layer` at `time` into frame (H×W×3 float32) and label map, in place."""
    size = (frame.shape[1], frame.shape[0])
    placement = layer.placements[time]
    opacity = cv2.warpAffine(cutout.opacity, placement, size, flags=cv2.INTER_LINEAR)
    color = cv2.warpAffine(cutout.image, placement, size, flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)
    frame += opacity[..., None] * (color - frame)
    label_map[opacity > 0.5] = layer.target


def path_of_layer(cutout: Cutout, frames: int, size: int, random: Generator,
                  near: np.ndarray | None = None, leaves: bool = False) -> list[np.ndarray]:
    """A random path of a cut-out over `frames` frames of size×size pixels.

    :param near: x, y that the object starts around; anywhere where None.
    :param leaves: whether it is outside the frame for one or two frames in the middle.
    """
    height, width = cutout.opacity.shape
    extent = size * random.uniform(0.18, 0.62)
    scale = extent / max(height, width)
    place = random.uniform(0.15, 0.85, 2) * size if near is None else near
    velocity = random.normal(0, 0.10, 2) * size
    growth = np.exp(random.normal(0, 0.10))
    degrees, spin = random.normal(0, 15), random.normal(0, 10)
    shear = random.normal(0, 0.08)
    mirrored = bool(random.random() < 0.5)
    center = np.array([width / 2, height / 2])
    away = np.sign(random.normal(size=2)) * size * 1.6
    first_absent = int(random.integers(1, max(2, frames - 1)))
    last_absent = first_absent + (int(random.integers(0, 2)) if frames > 3 else 0)
    placements = []
    for time in range(frames):
        jitter = random.normal(0, 0.015, 2) * size
        target = place + velocity * time + jitter
        if leaves and first_absent <= time <= last_absent:
            target = target + away
        elif not leaves:
            target = np.clip(target, 0.02 * size, 0.98 * size)
        placements.append(affine(center, target, scale * growth ** time,
                                 degrees + spin * time, shear, mirrored))
    return placements


def move_camera(loaded: list[tuple[np.ndarray, np.ndarray]], size: int, random: Generator,
                strength: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Crop a clip to size×size pixels with one view, which drifts by `strength`.

    :param loaded: images (H×W×3 uint8) and label maps (H×W uint8), all of one size.
    :returns: images (float32, 0..255) and label maps.
    """
    height, width = loaded[0][1].shape
    rows, columns = np.nonzero(loaded[0][1])
    middle = np.array([width / 2, height / 2])
    if rows.size and random.random() < 0.8:
        pick = random.integers(rows.size)
        middle = np.array([columns[pick], rows[pick]], float)
    scale = size / min(height, width) * np.exp(random.uniform(-0.15, 0.75))
    margin = size / 2 / scale
    low = np.minimum([margin, margin], [width / 2, height / 2])
    middle = np.clip(middle, low, np.array([width, height]) - low)
    degrees, mirrored = random.normal(0, 4), bool(random.random() < 0.5)
    drift = random.normal(0, 0.07, 2) * size * strength
    spin, growth = random.normal(0, 6) * strength, np.exp(random.normal(0, 0.08) * strength)
    frames, label_maps = [], []
    for time, (image, label_map) in enumerate(loaded):
        place = np.array([size / 2, size / 2]) + drift * time
        place = place + random.normal(0, 0.01, 2) * size * strength
        matrix = affine(middle, place, scale * growth ** time, degrees + spin * time,
                        random.normal(0, 0.03) * strength, mirrored)
        flags = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
        frames.append(cv2.warpAffine(image, matrix, (size, size), flags=flags,
                                     borderMode=cv2.BORDER_REFLECT_101).astype(np.float32))
        label_maps.append(cv2.warpAffine(label_map, matrix, (size, size),
                                         flags=cv2.INTER_NEAREST,
                                         borderMode=cv2.BORDER_REFLECT_101))
    return frames, label_maps
