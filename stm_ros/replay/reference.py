# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the user shows as the target: a mask file, or a box that is turned into a mask."""
from pathlib import Path

import numpy as np

from stm_ros.inference.prompting import segmenter_for
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_header
from stm_ros.vision.image_files import read_stored_mask
from stm_ros.vision.mask_planes import StoredMask
from stm_ros.vision.masks import ShownTargets
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.masks import refuse_specks
from stm_ros.vision.masks import show_targets
from stm_ros.vision.pictures import PictureHeader
from stm_ros.vision.pictures import turn_upright
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter


def show_reference(image: np.ndarray, image_file: str | Path | None, mask: str | Path | None,
                   box: Box | None = None, *, target_id: int | None = None,
                   choose: bool = False, segmenter: Segmenter | None = None) -> ShownTargets:
    """
    What either `mask` (a file) or `box` shows in `image` (H×W×3 uint8 RGB, upright).

    :param image_file: where the image was read from, None where that was no picture file.
    :param target_id: the id of the one target shown, None for 1 or what the mask says.
    :param choose: whether it may be one of several ids in the mask.
    :param segmenter: what turns the box into a mask; None for what ships.
    :raises InputError: where both or none are given, the mask's size is not the image's, it was
        drawn on the stored pixels of a picture that EXIF turns, its meaning is unclear (see
        show_targets), or the box cannot be turned into a mask.
    """
    if (mask is None) == (box is None):
        raise InputError('the target is shown by a mask or by a box: give exactly one of them')
    if box is not None:
        chosen = check_target_id(1 if target_id is None else target_id)
        found = (segmenter or segmenter_for()).segment(image, Prompt(box))
        label_map = found.mask * np.uint8(chosen)
        refuse_specks(label_map, 'the mask of the box')
        return ShownTargets(label_map, f'box, {found.meaning}')
    assert mask is not None
    stored = read_stored_mask(mask)
    if image_file is not None:
        _check_turned_alike(stored, mask, read_header(image_file), image_file)
    shown = show_targets(stored.values, target_id, name=str(mask), source=stored.source,
                         is_lossy=stored.is_lossy, choose=choose)
    if shown.label_map.shape != image.shape[:2]:
        raise InputError(
            f'{mask} is {shown.label_map.shape[1]}×{shown.label_map.shape[0]} pixels, but its '
            f'image {image.shape[1]}×{image.shape[0]}; they must be the same')
    return shown


def _check_turned_alike(stored: StoredMask, mask: str | Path, header: PictureHeader,
                        image_file: str | Path) -> None:
    """Refuse a mask that was, or may have been, drawn on a picture before EXIF turned it."""
    if header.orientation == 1 or stored.orientation == header.orientation:
        return
    is_as_stored = stored.values.shape == (header.height, header.width)
    is_alike = is_as_stored and header.is_transposed <= (header.height == header.width) and (
        np.array_equal(turn_upright(stored.values, header.orientation), stored.values))
    if is_as_stored and not is_alike:
        raise InputError(
            f'{image_file} is turned by its EXIF orientation ({header.orientation}), and {mask} '
            'has the size of its stored pixels, so it may lie on these: save the picture upright, '
            'without EXIF orientation, and draw the mask on that')
