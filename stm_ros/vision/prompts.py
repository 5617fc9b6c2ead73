# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a person shows as the target: a box, points or a scribble; and what makes a mask of it."""
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from math import floor
from math import hypot
from typing import Protocol

import cv2
import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError

Point = tuple[float, float]
#: points of one prompt, those that a scribble is made of included
MAX_POINTS = 2000
# of the image's shorter side
_SLIP = 0.1
_LEAST_SIDE = 4


@dataclass(frozen=True)
class Prompt:
    """One target: a box, points on it and beside it (x, y in pixels), or both.

    A scribble is its points, close to one another.
    """

    box: Box | None = None
    points: tuple[Point, ...] = ()
    on_target: tuple[bool, ...] = ()


@dataclass(frozen=True)
class PromptedMask:
    """
    The mask (H×W bool) of a prompt.

    expected_iou: its intersection over union with the truth as the segmenter expects it, in
        [0, 1], None where it does not say.
    segmenter: the name of what made it, for people.
    """

    mask: np.ndarray
    expected_iou: float | None
    segmenter: str

    @property
    def meaning(self) -> str:
        """How the mask came about, in words."""
        if self.expected_iou is None:
            return f'by {self.segmenter}'
        return f'by {self.segmenter}, expected IoU {self.expected_iou:.2f}'


class Segmenter(Protocol):
    """What turns a prompt into a mask. Other packages offer theirs as entry points."""

    name: str

    def segment(self, image: np.ndarray, prompt: Prompt) -> PromptedMask:
        """
        Return the mask that `prompt` shows in `image` (H×W×3 uint8 RGB, upright).

        The same image and prompt always give the same mask.

        :raises InputError: where the prompt cannot be used, or nothing can be told apart.
        """


def parse_box(text: str) -> Box:
    """
    Read `x,y,width,height` (pixels; x and y of the upper left corner).

    :raises InputError: where it is anything else.
    """
    try:
        x_min, y_min, width, height = (float(part) for part in text.split(','))
    except ValueError as error:
        raise InputError(f'{text!r} is no box; four numbers are accepted: x,y,width,height, '
                         'such as 120,80,64,48') from error
    if width <= 0 or height <= 0:
        raise InputError(f'the box {text!r} has no area: width and height must be positive')
    return Box(x_min, y_min, width, height)


def check_points(points: Sequence[Point], on_target: Sequence[bool], *, has_box: bool = False
                 ) -> None:
    """
    Refuse points that show nothing.

    :param has_box: whether a box shows the target, so that all may lie beside it.
    :raises InputError: where no point is on the target, there are too many, the two lists differ
        in length, or a number is not finite.
    """
    if len(points) != len(on_target):
        raise InputError(f'{len(points)} points, but {len(on_target)} say where they lie')
    if len(points) > MAX_POINTS:
        raise InputError(f'{len(points)} points; at most {MAX_POINTS} are accepted')
    if not np.isfinite(np.asarray(points, np.float64)).all():
        raise InputError(f'the points {list(points)} hold a number that is not finite')
    if not has_box and not any(on_target):
        raise InputError('no point lies on the target; at least one is needed')


def along(stroke: Sequence[Point], step: float = 4.0) -> tuple[Point, ...]:
    """Points at most `step` pixels apart along a scribble, given by its corners."""
    points = [stroke[0]] if stroke else []
    for (x, y), (to_x, to_y) in pairwise(stroke):
        count = max(1, ceil(hypot(to_x - x, to_y - y) / step))
        points += [(x + (to_x - x) * i / count, y + (to_y - y) * i / count)
                   for i in range(1, count + 1)]
    return tuple(points)


def clipped_points(points: Sequence[Point], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The pixels (column, row) of an image of `shape` that are nearest to `points`.

    :raises InputError: for a point further outside than a stroke that slips over the edge.
    """
    height, width = shape[:2]
    slip = _SLIP * min(height, width)
    for x, y in points:
        if not (-slip <= x <= width + slip and -slip <= y <= height + slip):
            raise InputError(f'the point {x:g},{y:g} lies outside the image of {width}×{height} '
                             'pixels')
    return [(round(min(max(x, 0), width - 1)), round(min(max(y, 0), height - 1)))
            for x, y in points]


def pixels_inside(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """
    Return the column and row slices of the box's pixels inside an image of `shape`.

    :raises InputError: where the box has hardly any, holds them all (no background is left), or
        has a number that is not finite.
    """
    height, width = shape[:2]
    if not np.isfinite((box.x_min, box.y_min, box.width, box.height)).all():
        raise InputError(f'{box} holds a number that is not finite')
    left, top = max(0, floor(box.x_min)), max(0, floor(box.y_min))
    right = min(width, ceil(box.x_min + box.width))
    bottom = min(height, ceil(box.y_min + box.height))
    if right - left < _LEAST_SIDE or bottom - top < _LEAST_SIDE:
        raise InputError(
            f'{box} has less than {_LEAST_SIDE}×{_LEAST_SIDE} pixels inside the image of '
            f'{width}×{height} pixels')
    if right - left == width and bottom - top == height:
        raise InputError(
            f'{box} covers the whole image of {width}×{height} pixels; leave some background '
            'around the target, or give a mask')
    return slice(left, right), slice(top, bottom)


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part and those at least a tenth of it; fill no hole."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if areas.size == 0:
        return mask
    return np.isin(labels, 1 + np.flatnonzero(areas >= areas.max() / 10))


def parts_with(mask: np.ndarray, pixels: Sequence[tuple[int, int]]) -> np.ndarray:
    """Keep the connected parts that hold one of the `pixels` (column, row)."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    wanted = {int(labels[y, x]) for x, y in pixels} - {0}
    return np.isin(labels, list(wanted))
