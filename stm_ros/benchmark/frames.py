# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the network looks at: cut-outs of photographs that circle over another photograph."""
from dataclasses import dataclass
from math import ceil
from math import cos
from math import pi
from math import sin
from math import sqrt

import cv2
import numpy as np

from stm_ros.synthetic.photographs import CUT_OUTS
from stm_ros.synthetic.photographs import cut_out
from stm_ros.synthetic.photographs import photograph
from stm_ros.vision.encodings import decode

_BACKDROP = 'rocket'
_ENCODING = 'yuv422_yuy2'
_MARGIN = 1.15
_SHARE_OF_CELL = 0.6
_SWAY = 0.15
_COLORS = ((0, 1, 2), (2, 0, 1), (1, 2, 0))
_TINTS = ((1.0, 1.0, 1.0), (1.0, 0.6, 1.0), (0.7, 1.0, 0.5))


@dataclass(frozen=True)
class CameraFrame:
    """A frame as the driver of a USB camera hands it over: YUYV, two bytes a pixel."""

    data: bytes
    width: int
    height: int

    def decoded(self) -> np.ndarray:
        """H×W×3 uint8 RGB."""
        return decode(_ENCODING, self.data, self.height, self.width, 2 * self.width, False)


@dataclass(frozen=True)
class BenchmarkClip:
    """Frames that repeat without a jump, and their label maps H×W uint8."""

    frames: list[CameraFrame]
    label_maps: list[np.ndarray]

    @property
    def reference(self) -> np.ndarray:
        """The label map of the first frame."""
        return self.label_maps[0]

    def frame(self, index: int) -> CameraFrame:
        """The frame at `index`, over and over."""
        return self.frames[index % len(self.frames)]


def benchmark_clip(size: tuple[int, int], targets: int, period: int) -> BenchmarkClip:
    """Compose `period` frames with `targets` targets, ids from 1, each in a cell of its own.

    :param size: width and height in pixels.
    :raises InputError: where scikit-image, whose photographs are used, is not installed.
    """
    width, height = size
    backdrop = _backdrop(width, height)
    columns = ceil(sqrt(targets))
    rows = ceil(targets / columns)
    cell = (width / columns, height / rows)
    patches = [_patch(index, cell) for index in range(targets)]
    frames, label_maps = [], []
    for time in range(period):
        turn = 2 * pi * time / period
        shift = round((backdrop.shape[1] - width) * (1 - cos(turn)) / 2)
        picture = backdrop[:height, shift:shift + width].copy()
        label_map = np.zeros((height, width), np.uint8)
        for index, patch in enumerate(patches):
            row, column = divmod(index, columns)
            centre = ((column + 0.5 + _SWAY * cos(turn + index)) * cell[0],
                      (row + 0.5 + _SWAY * sin(turn + index)) * cell[1])
            label_map[_paste(picture, patch, centre)] = index + 1
        frames.append(CameraFrame(_as_yuyv(picture), width, height))
        label_maps.append(label_map)
    return BenchmarkClip(frames, label_maps)


def _as_yuyv(picture: np.ndarray) -> bytes:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_YUY2).tobytes()


def _backdrop(width: int, height: int) -> np.ndarray:
    image = photograph(_BACKDROP)
    scale = _MARGIN * max(width / image.shape[1], height / image.shape[0])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)


def _patch(index: int, cell: tuple[float, float]) -> np.ndarray:
    """A cut-out, RGB and alpha, that fits into a cell of (width, height) pixels.

    Each time that the cut-outs are used up, colours change: targets that look the same could only
    be told apart by their places.
    """
    turn, which = divmod(index, len(CUT_OUTS))
    pixels = cut_out(CUT_OUTS[which])
    colors = list(_COLORS[turn % len(_COLORS)])
    inverted = turn // len(_COLORS) % 2 == 1
    painted = 255 - pixels[..., colors] if inverted else pixels[..., colors]
    tinted = (painted * np.array(_TINTS[turn % len(_TINTS)])).astype(np.uint8)
    pixels = np.dstack([tinted, pixels[..., 3]])
    scale = _SHARE_OF_CELL * min(cell[0] / pixels.shape[1], cell[1] / pixels.shape[0])
    size = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _paste(picture: np.ndarray, patch: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Paint `patch` into `picture`; where it covers at least half of a pixel, H×W bool."""
    height, width = patch.shape[:2]
    left = min(max(0, round(centre[0] - width / 2)), picture.shape[1] - width)
    top = min(max(0, round(centre[1] - height / 2)), picture.shape[0] - height)
    place = (slice(top, top + height), slice(left, left + width))
    solid = patch[..., 3] >= 128
    picture[place][solid] = patch[solid][:, :3]
    inside = np.zeros(picture.shape[:2], bool)
    inside[place] = solid
    return inside
