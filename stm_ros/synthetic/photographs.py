# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs that scikit-image's wheel ships, and the objects cut out of them.

They are read where that package is installed, and not copied. Licences, as scikit-image says:

- coffee: "No copyright restrictions. CC0 by the photographer (Rachel Michetti)."
- chelsea: "No copyright restrictions. CC0 by the photographer (Stefan van der Walt)."
- astronaut: "No known copyright restrictions, released into the public domain." (NASA)
- rocket: "The image was captured by SpaceX and released in the public domain."
- coins: "No known copyright restrictions." (Brooklyn Museum)
- motorcycle: the left image of a pair of the Middlebury 2014 stereo benchmark; no licence is told.
"""
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError
from stm_ros.vision.grabcut import mask_from_points

_FILES = {'coffee': 'coffee.png', 'chelsea': 'chelsea.png', 'astronaut': 'astronaut.png',
          'rocket': 'rocket.jpg', 'coins': 'coins.png', 'motorcycle': 'motorcycle_left.png'}
PHOTOGRAPHS = tuple(_FILES)

_Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Recipe:
    """GrabCut's prompt for an object, and how far gaps in its outline are closed (pixels)."""

    photograph: str
    box: Box
    inside: _Points
    outside: _Points
    closing: int


_RECIPES = {
    'cup': _Recipe(
        'coffee', Box(66, 8, 440, 390),
        ((300, 60), (400, 120), (330, 200), (230, 180), (120, 240), (210, 330), (300, 370),
         (420, 320), (470, 260), (380, 270), (130, 120), (490, 220)),
        ((100, 60), (60, 300), (520, 100), (520, 350), (410, 370), (140, 350)), 9),
    'astronaut': _Recipe(
        'astronaut', Box(10, 4, 355, 508),
        ((220, 60), (220, 120), (215, 200), (90, 300), (200, 350), (330, 320), (60, 420),
         (150, 450), (150, 220), (130, 200), (300, 230), (100, 480), (250, 480), (180, 215),
         (250, 210), (200, 185), (240, 185)),
        ((30, 60), (420, 60), (400, 300), (60, 200), (120, 100), (320, 120), (340, 420),
         (310, 480)), 51),
    'coin': _Recipe(
        'coins', Box(303, 13, 64, 62),
        ((335, 44), (335, 20), (311, 44), (359, 44), (335, 68), (320, 28), (350, 28), (320, 60),
         (350, 60)),
        ((306, 16), (364, 16), (306, 72), (364, 72)), 9)}
CUT_OUTS = tuple(_RECIPES)


def photograph(name: str) -> np.ndarray:
    """
    Return one of `PHOTOGRAPHS` as H×W×3 uint8 RGB.

    :raises InputError: for another name, or where scikit-image is not installed.
    """
    if name not in _FILES:
        raise InputError(f'photograph {name!r} is unknown; known are {", ".join(PHOTOGRAPHS)}')
    path = package_folder('skimage', 'scikit-image') / 'data' / _FILES[name]
    # Pillow, because OpenCV warns of the colour profiles in these files
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB'))


@lru_cache(maxsize=len(CUT_OUTS))
def cut_out(name: str) -> np.ndarray:
    """
    Return one of `CUT_OUTS` as H×W×4 uint8: RGB and alpha (0 or 255), cropped to the object.

    :raises InputError: for another name, or where scikit-image is not installed.
    """
    if name not in _RECIPES:
        raise InputError(f'cut-out {name!r} is unknown; known are {", ".join(CUT_OUTS)}')
    recipe = _RECIPES[name]
    image = photograph(recipe.photograph)
    points = (*recipe.inside, *recipe.outside)
    on_object = [True] * len(recipe.inside) + [False] * len(recipe.outside)
    mask = _solid(mask_from_points(image, points, on_object, recipe.box), recipe.closing)
    box = box_of_mask(mask)
    if box is None:
        raise InputError(f'the recipe of {name!r} finds no object in this scikit-image photograph')
    top, left = int(box.y_min), int(box.x_min)
    rows, columns = slice(top, top + int(box.height)), slice(left, left + int(box.width))
    pixels = np.dstack((image, mask.astype(np.uint8) * 255))[rows, columns].copy()
    pixels.setflags(write=False)
    return pixels


def package_folder(module: str, package: str) -> Path:
    """Return the folder of an installed package without importing it; InputError if absent."""
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise InputError(f'{package} is not installed, and its pictures are needed: '
                         f'pip install {package}')
    return Path(next(iter(found.submodule_search_locations)))


def _solid(mask: np.ndarray, closing: int) -> np.ndarray:
    """Close gaps of `closing` pixels, smooth the outline, and fill the largest part."""
    padded = np.pad(mask.astype(np.uint8), closing)
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(closing))
    smooth = cv2.morphologyEx(joined, cv2.MORPH_OPEN, _disc(7))[closing:-closing, closing:-closing]
    contours, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return filled == 1


def _disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
