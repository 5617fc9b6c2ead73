# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the user shows as the target: a mask file, or a box that GrabCut turns into a mask."""
from pathlib import Path

import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.masks import read_label_map
from stm_ros.vision.prompts import mask_from_box


def reference_label_map(image: np.ndarray, mask: str | Path | None, box: Box | None,
                        target_id: int = 1) -> np.ndarray:
    """
    Return the label map (H×W uint8) that either `mask` (a file) or `box` gives for `image`.

    A mask of 0 and 255 belongs to `target_id`; one with other values tells the ids itself.

    :raises InputError: where both or none are given, the mask's size is not the image's, it is
        empty, or the box cannot be turned into a mask.
    """
    if (mask is None) == (box is None):
        raise InputError('the target is shown by a mask or by a box: give exactly one of them')
    if box is not None:
        return mask_from_box(image, box).astype(np.uint8) * np.uint8(check_target_id(target_id))
    assert mask is not None
    label_map = read_label_map(read_mask(mask), target_id)
    if label_map.shape != image.shape[:2]:
        raise InputError(
            f'{mask} is {label_map.shape[1]}×{label_map.shape[0]} pixels, but its image '
            f'{image.shape[1]}×{image.shape[0]}; they must be the same')
    return label_map
