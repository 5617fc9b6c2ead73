# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Cut a target out of its image."""
from math import ceil
from math import floor

import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError


def crop_around_box(image: np.ndarray, box: Box, margin: float = 0.2) -> np.ndarray:
    """
    Return a copy of `image` (H×W×C) around `box`, wider by `margin` of its size on every side.

    The crop ends at the image's border.

    :raises InputError: where the margin is negative or nothing of the crop lies inside the image.
    """
    if margin < 0:
        raise InputError(f'a margin of {margin} is negative')
    height, width = image.shape[:2]
    left = max(0, floor(box.x_min - margin * box.width))
    top = max(0, floor(box.y_min - margin * box.height))
    right = min(width, ceil(box.x_min + (1 + margin) * box.width))
    bottom = min(height, ceil(box.y_min + (1 + margin) * box.height))
    if right <= left or bottom <= top:
        raise InputError(f'{box} lies outside the image of {width}×{height} pixels')
    return image[top:bottom, left:right].copy()
