# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From a box or a few points to a mask, by GrabCut.

GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) separates the colours inside from those
outside. It cannot always: then the prompt is refused with the reason, because a rectangle passed
off as a mask would teach the memory the background too.
"""
from collections.abc import Sequence

import cv2
import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import check_image
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import PromptedMask
from stm_ros.vision.prompts import check_points
from stm_ros.vision.prompts import clipped_points
from stm_ros.vision.prompts import largest_part
from stm_ros.vision.prompts import parts_with
from stm_ros.vision.prompts import pixels_inside

_LONGEST_SIDE = 640
_ITERATIONS = 6
_SEED = 20190404
_LEAST_SHARE_OF_BOX = 0.02
_MOST_SHARE_OF_BOX = 0.98
_POINT_RADIUS = 0.01
_REACH_OF_POINT = 0.12


class GrabCut:
    """Segments by colour, for weights without a head for prompts."""

    name = 'GrabCut'

    def segment(self, image: np.ndarray, prompt: Prompt) -> PromptedMask:
        """Return the mask that `prompt` shows in `image`; see `Segmenter`."""
        if prompt.points:
            mask = mask_from_points(image, prompt.points, prompt.on_target, prompt.box)
        elif prompt.box is None:
            raise InputError('the prompt has neither a box nor points')
        else:
            mask = mask_from_box(image, prompt.box)
        return PromptedMask(mask, None, self.name)


def mask_from_box(image: np.ndarray, box: Box) -> np.ndarray:
    """
    Return the mask (H×W bool) of the thing in `box`; the box is clipped to the image.

    The same image and box always give the same mask.

    :param image: H×W×3 uint8 RGB.
    :raises InputError: where the box has no area inside the image, covers all of it (no
        background is left to learn from), or nothing in it can be told from what is around it.
    """
    check_image(image)
    columns, rows = pixels_inside(box, image.shape)
    trimap = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    trimap[rows, columns] = cv2.GC_PR_FGD
    mask = largest_part(_grab_cut(image, trimap))
    _check_share(mask, trimap != cv2.GC_BGD, box)
    return mask


def mask_from_points(image: np.ndarray, points: Sequence[tuple[float, float]],
                     on_target: Sequence[bool], box: Box | None = None) -> np.ndarray:
    """
    Return the mask (H×W bool) of the thing that the points marked `on_target` lie on.

    Points are (x, y) in pixels and are clipped to the image; the others lie on what is not the
    target. With `box`, everything outside it is background.

    :param image: H×W×3 uint8 RGB.
    :raises InputError: where no point is on the target, the two lists differ in length, two
        points contradict each other, or nothing can be told apart (as for `mask_from_box`).
    """
    check_image(image)
    check_points(points, on_target)
    allowed = _allowed_area(image.shape, box)
    trimap = np.where(allowed, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    height, width = image.shape[:2]
    centres = clipped_points(points, image.shape)
    reach = max(2, round(_REACH_OF_POINT * min(height, width)))
    _draw_near(trimap, allowed, [c for c, on in zip(centres, on_target, strict=True) if on], reach)
    radius = max(1, round(_POINT_RADIUS * min(height, width)))
    for centre, on in zip(centres, on_target, strict=True):
        cv2.circle(trimap, centre, radius, (cv2.GC_FGD if on else cv2.GC_BGD,), cv2.FILLED)
    wanted = [centre for centre, on in zip(centres, on_target, strict=True) if on]
    if any(trimap[y, x] != cv2.GC_FGD for x, y in wanted):
        raise InputError('a point on the target and one that is not lie on the same spot')
    mask = parts_with(_grab_cut(image, trimap), wanted)
    _check_share(mask, allowed, box)
    return mask


def _allowed_area(shape: tuple[int, ...], box: Box | None) -> np.ndarray:
    """Return H×W bool: inside the box, or all but the image's outermost pixels."""
    area = np.zeros(shape[:2], bool)
    if box is None:
        area[1:-1, 1:-1] = True
    else:
        columns, rows = pixels_inside(box, shape)
        area[rows, columns] = True
    return area


def _draw_near(trimap: np.ndarray, allowed: np.ndarray, centres: list[tuple[int, int]],
               reach: int) -> None:
    near = np.zeros_like(trimap)
    for centre in centres:
        cv2.circle(near, centre, reach, (1,), cv2.FILLED)
    trimap[(near == 1) & allowed] = cv2.GC_PR_FGD


def _grab_cut(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """Return H×W bool; large images are cut at `_LONGEST_SIDE`, since the time grows with area."""
    height, width = trimap.shape
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST)
    certain = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not certain.any() or certain.all():
        raise InputError('the prompt leaves no pixel for the target, or none for the background')
    # its colour models start from random clusters
    cv2.setRNGSeed(_SEED)
    no_rectangle = (0, 0, 1, 1)
    try:
        cv2.grabCut(small, labels, no_rectangle, np.zeros((1, 65)), np.zeros((1, 65)), _ITERATIONS,
                    cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise InputError(f'GrabCut finds no colours to tell apart ({error.err or error}); give a '
                         'mask') from error
    foreground = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(foreground, (width, height), interpolation=cv2.INTER_NEAREST) == 1


def _check_share(mask: np.ndarray, area: np.ndarray, box: Box | None) -> None:
    share = mask.sum() / area.sum()
    if share < _LEAST_SHARE_OF_BOX and box is not None or not mask.any():
        raise InputError(
            f'nothing inside {box or "reach of the points"} can be told from what is around it '
            f'(GrabCut keeps {share:.1%}); draw the box closer, add points, or give a mask')
    if share > _MOST_SHARE_OF_BOX:
        raise InputError(
            f'no background was found inside {box or "the image"} (GrabCut keeps {share:.1%}); '
            'the box must hold the whole target and a little around it, or give a mask')
