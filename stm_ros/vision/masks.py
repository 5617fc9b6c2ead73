# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Label maps: what a user's mask means, and checks that say what is wrong with it."""
import numpy as np

from stm_ros.vision.errors import InputError

MAX_TARGET_ID = 254
IGNORED_LABEL = 255


def check_target_id(target_id: int) -> int:
    """Return `target_id` when it lies in 1..254.

    :raises InputError: otherwise.
    """
    if not 1 <= int(target_id) <= MAX_TARGET_ID:
        raise InputError(f'target id {target_id} is outside 1..{MAX_TARGET_ID}')
    return int(target_id)


def check_image(image: np.ndarray) -> np.ndarray:
    """Return `image` when it is H×W×3 uint8 with at least one pixel.

    :raises InputError: otherwise.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f'the image has shape {np.shape(image)}; H×W×3 RGB is accepted')
    if image.dtype != np.uint8:
        raise InputError(f'the image has dtype {image.dtype}; uint8 is accepted')
    if image.size == 0:
        raise InputError(f'the image is {image.shape[1]}×{image.shape[0]} pixels; it is empty')
    return image


def check_label_map(label_map: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return `label_map` (H×W uint8) with 255 turned into 0, checked against the image's H×W.

    :raises InputError: for another size or dtype, or where no pixel names a target.
    """
    if not isinstance(label_map, np.ndarray) or label_map.dtype != np.uint8:
        kind = getattr(label_map, 'dtype', type(label_map).__name__)
        raise InputError(f'the mask is {kind}; an H×W array of uint8 is accepted')
    if label_map.shape != tuple(image_shape[:2]):
        raise InputError(
            f'the mask has shape {label_map.shape} and the image {tuple(image_shape[:2])}; '
            'height and width must be the same')
    cleaned = np.where(label_map == IGNORED_LABEL, 0, label_map).astype(np.uint8)
    if not cleaned.any():
        raise InputError('the mask is empty: no pixel belongs to a target')
    return cleaned


def read_label_map(mask: np.ndarray, target_id: int) -> np.ndarray:
    """Read a user's mask (H×W uint8) as a label map (H×W uint8).

    Values within {0, 255} are a binary mask of `target_id`; otherwise the values are target
    ids and 255 is ignored (0 in the result).

    :raises InputError: for another dtype or shape, an empty mask, or a target id outside 1..254.
    """
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.uint8:
        raise InputError(
            f'the mask has shape {np.shape(mask)} and dtype {getattr(mask, "dtype", "none")}; '
            'an H×W array of uint8 is accepted')
    values = np.unique(mask)
    if np.isin(values, (0, IGNORED_LABEL)).all():
        label_map = np.where(mask == IGNORED_LABEL, check_target_id(target_id), 0)
    else:
        label_map = np.where(mask == IGNORED_LABEL, 0, mask)
    if not label_map.any():
        raise InputError('the mask is empty: no pixel belongs to a target')
    return label_map.astype(np.uint8)
