# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts as a browser sends them, checked; and what a known mask adds to them."""
from math import isfinite
from typing import Any

import cv2
import numpy as np

from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError

MAX_POINTS = 200
_MARGIN = 0.25

BoxT = tuple[float, float, float, float]
PointsT = tuple[tuple[float, float, bool], ...]


def read_prompt(sent: Any) -> tuple[BoxT | None, PointsT]:
    """Read the box (x, y, width, height) and points (x, y, on the target) of a browser.

    :raises InputError: for anything else, numbers that are not finite, or too many points.
    """
    try:
        box, points = sent['box'], list(sent['points'])
        read_box = None
        if box is not None:
            x_min, y_min, width, height = map(float, box)
            read_box = (x_min, y_min, width, height)
        read_points = tuple((float(x), float(y), bool(on)) for x, y, on in points[:MAX_POINTS])
    except (TypeError, ValueError, KeyError) as error:
        raise InputError('the browser sent no box and no points that can be read') from error
    if len(points) > MAX_POINTS:
        raise InputError(f'{len(points)} points; at most {MAX_POINTS} are accepted')
    numbers = [*(read_box or ()), *(value for x, y, _ in read_points for value in (x, y))]
    if not all(map(isfinite, numbers)):
        raise InputError('the browser sent a number that is not finite')
    return read_box, read_points


def with_known_mask(mask: np.ndarray, box: BoxT | None, points: PointsT
                    ) -> tuple[BoxT, PointsT]:
    """Add to a prompt that corrects `mask` (H×W bool): where it lies, and its innermost point.

    A box that was drawn stays as it is.
    """
    if box is not None:
        return box, points
    height, width = mask.shape
    around = box_of_mask(mask)
    assert around is not None, 'a known mask is not empty'
    wanted = [(x, y) for x, y, on in points if on]
    left = min([around.x_min, *(x for x, _ in wanted)])
    top = min([around.y_min, *(y for _, y in wanted)])
    right = max([around.x_min + around.width, *(x for x, _ in wanted)])
    bottom = max([around.y_min + around.height, *(y for _, y in wanted)])
    extra = _MARGIN * max(right - left, bottom - top)
    left, top = max(1.0, left - extra), max(1.0, top - extra)
    right, bottom = min(width - 1.0, right + extra), min(height - 1.0, bottom + extra)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (left, top, right - left, bottom - top), (*points, (float(x), float(y), True))
