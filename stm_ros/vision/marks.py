# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The image with a numbered mark on each target, for models that are asked about "object 2"."""
from collections.abc import Iterable

import cv2
import numpy as np

from stm_ros.vision.masks import check_image
from stm_ros.vision.overlay import target_colour

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RADIUS_SHARE = 0.028
_LEAST_RADIUS = 9


def draw_marks(image: np.ndarray, label_map: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """
    Return a copy of `image` (H×W×3 uint8 RGB) with targets outlined and numbered.

    The number stands on a disc at the innermost point of the target's mask in `label_map` (H×W
    uint8), so that it lies on the target whatever its shape. Targets without a mask have no mark.
    """
    picture = check_image(image).copy()
    radius = max(_LEAST_RADIUS, round(_RADIUS_SHARE * min(picture.shape[:2])))
    for target_id in ids:
        mask = (label_map == target_id).astype(np.uint8)
        if not mask.any():
            continue
        colour = target_colour(target_id)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, max(1, radius // 6))
        _draw_number(picture, target_id, innermost(mask), radius, colour)
    return picture


def innermost(mask: np.ndarray) -> tuple[int, int]:
    """Column and row of the pixel of a mask (H×W uint8, 0 or 1) that is farthest from its edge."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(column) - 1, int(row) - 1


def _draw_number(picture: np.ndarray, number: int, middle: tuple[int, int], radius: int,
                 colour: tuple[int, int, int]) -> None:
    cv2.circle(picture, middle, radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, middle, radius, colour, max(1, radius // 5), cv2.LINE_AA)
    scale = radius / (18 if number < 100 else 24)
    (wide, high), _ = cv2.getTextSize(str(number), _FONT, scale, 2)
    cv2.putText(picture, str(number), (middle[0] - wide // 2, middle[1] + high // 2), _FONT, scale,
                (0, 0, 0), max(1, radius // 8), cv2.LINE_AA)
