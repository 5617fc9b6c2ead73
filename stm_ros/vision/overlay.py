# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: results drawn over the image, and sheets of such pictures."""
from collections.abc import Iterable
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Protocol

import cv2
import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import IGNORED_LABEL
from stm_ros.vision.masks import check_image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TINT = 0.4
_GOLDEN_RATIO = 0.618034
_SHEET_LIMIT = 64
_BRIGHTEST_DARK = 140


class _State(Protocol):
    @property
    def name(self) -> str: ...


class DrawnTarget(Protocol):
    """What has to be known of a target to draw it; a tracker's TargetResult is one."""

    @property
    def id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def state(self) -> _State: ...
    @property
    def confidence(self) -> float: ...
    @property
    def box(self) -> Box | None: ...


def target_colour(target_id: int) -> tuple[int, int, int]:
    """
    Return the RGB colour of an id in pictures: bright, and far from its neighbours'.

    The first is cyan, which is rare in the scenes that cameras see; DAVIS has red there.
    """
    hue = (0.5 + (target_id - 1) * _GOLDEN_RATIO) % 1
    red, green, blue = (round(255 * value) for value in hsv_to_rgb(hue, 1.0, 1.0))
    return red, green, blue


def draw_overlay(image: np.ndarray, label_map: np.ndarray,
                 targets: Iterable[DrawnTarget]) -> np.ndarray:
    """
    Return a copy of `image` (H×W×3 uint8 RGB) with what was found drawn over it.

    Each target's pixels in `label_map` (H×W uint8) are tinted and outlined, its box is drawn with
    id, label, confidence and state; a target without a box is listed in the lower left corner.

    :raises InputError: where image and label map differ in size.
    """
    check_image(image)
    if label_map.shape != image.shape[:2]:
        raise InputError(
            f'the label map has shape {label_map.shape}, the image {image.shape[:2]}')
    picture = _tinted(image, label_map)
    scale = _text_scale(image.shape)
    absent = []
    for target in targets:
        text = f'{target.id} {target.label} {target.confidence:.2f} {target.state.name.lower()}'
        if target.box is None:
            absent.append((text, target_colour(target.id)))
        else:
            _draw_box(picture, target.box, text, target_colour(target.id), scale)
    for line, (text, colour) in enumerate(absent):
        _draw_text(picture, text, (2, picture.shape[0] - 4 - line * round(34 * scale)), colour,
                   scale)
    return picture


def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 4,
                  width: int = 320) -> np.ndarray:
    """
    Return one picture (H×W×3 uint8 RGB) of all `images`, each `width` pixels wide under its title.

    :param images: up to 64 of H×W×3 uint8 RGB, sizes may differ.
    :raises InputError: where there is no image, too many, or not one title for each.
    """
    if not 1 <= len(images) <= _SHEET_LIMIT or len(images) != len(titles):
        raise InputError(
            f'a sheet holds 1 to {_SHEET_LIMIT} images with a title each; '
            f'got {len(images)} images and {len(titles)} titles')
    small = [_resized_to_width(check_image(image), width) for image in images]
    columns = min(columns, len(small))
    bar = 22
    height = max(picture.shape[0] for picture in small) + bar
    rows = -(-len(small) // columns)
    sheet = np.full((rows * height, columns * width, 3), 24, np.uint8)
    for index, (picture, title) in enumerate(zip(small, titles, strict=True)):
        top, left = index // columns * height, index % columns * width
        cell = sheet[top:top + height, left:left + width]
        cell[bar:bar + picture.shape[0]] = picture
        cv2.putText(cell, printable(title), (4, 15), _FONT, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return sheet


def heat_map(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return `image` (H×W×3 uint8 RGB) with `heat` (h×w, non-negative) over it, blue to red."""
    check_image(image)
    size = (image.shape[1], image.shape[0])
    scaled = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    levels = np.rint(scaled / max(float(scaled.max()), 1e-12) * 255).clip(0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(image, 0.5, colours, 0.5, 0)


def printable(text: str) -> str:
    """Return `text` with what OpenCV's font cannot draw turned into question marks."""
    return ''.join(letter if 32 <= ord(letter) < 127 else '?' for letter in text)


def _tinted(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    picture = image.copy()
    for target_id in np.unique(label_map):
        if target_id in (0, IGNORED_LABEL):
            continue
        mask = label_map == target_id
        colour = target_colour(int(target_id))
        picture[mask] = np.rint((1 - _TINT) * image[mask] + _TINT * np.array(colour))
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, _line_width(image.shape))
    return picture


def _draw_box(picture: np.ndarray, box: Box, text: str, colour: tuple[int, int, int],
              scale: float) -> None:
    # pixel edges: the last column of the box is one before its right edge
    left, top = round(box.x_min), round(box.y_min)
    right, bottom = round(box.x_min + box.width) - 1, round(box.y_min + box.height) - 1
    cv2.rectangle(picture, (left, top), (right, bottom), colour, _line_width(picture.shape))
    room_above = top > 34 * scale
    _draw_text(picture, text, (left, top - 4 if room_above else top + round(30 * scale)), colour,
               scale)


def _draw_text(picture: np.ndarray, text: str, origin: tuple[int, int],
               colour: tuple[int, int, int], scale: float) -> None:
    """Write on a bar of the target's colour, kept inside the picture."""
    text = printable(text)
    (wide, high), below = cv2.getTextSize(text, _FONT, scale, 1)
    x = max(0, min(origin[0], picture.shape[1] - wide - 2))
    y = max(high + 2, min(origin[1], picture.shape[0] - below))
    cv2.rectangle(picture, (x, y - high - 2), (x + wide + 2, y + below), colour, cv2.FILLED)
    brightness = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (0, 0, 0) if brightness > _BRIGHTEST_DARK else (255, 255, 255)
    cv2.putText(picture, text, (x + 1, y), _FONT, scale, ink, 1, cv2.LINE_AA)


def _text_scale(shape: tuple[int, ...]) -> float:
    return min(1.2, max(0.35, min(shape[:2]) / 700))


def _line_width(shape: tuple[int, ...]) -> int:
    return max(1, round(min(shape[:2]) / 320))


def _resized_to_width(image: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
