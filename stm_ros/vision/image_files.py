# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and label maps on disk."""
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import check_image

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.ppm')


def read_image(path: str | Path) -> np.ndarray:
    """
    Read a picture as H×W×3 uint8 RGB, turned upright as its EXIF says; alpha is dropped.

    :raises InputError: where the file is missing, empty, not a picture, or not 8 bits deep.
    """
    # OpenCV returns nothing both for a missing file and for one that it cannot read
    data = np.frombuffer(_read_bytes(path), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None or pixels.size == 0:
        raise InputError(f'{path} is not a picture that OpenCV can read')
    if pixels.dtype != np.uint8:
        raise InputError(f'{path} holds {pixels.dtype} samples; pictures of 8 bits are accepted')
    code = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, code)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """
    Write H×W×3 uint8 RGB in the format that the suffix names; folders are made as needed.

    :raises InputError: where it is no such image, or the suffix is not one of IMAGE_SUFFIXES.
    """
    check_image(image)
    target = Path(path)
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f'{path}: pictures are written as {", ".join(IMAGE_SUFFIXES)}')
    target.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(target.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    target.write_bytes(encoded.tobytes())


def read_mask(path: str | Path) -> np.ndarray:
    """
    Read a mask's values (H×W uint8) exactly as stored: grey levels, or a palette's indices.

    A colour file is accepted when all its pixels are grey; bilevel files give 0 and 255.

    :raises InputError: where the file is missing, not a picture, coloured, or deeper than 8 bits.
    """
    _read_bytes(path)
    try:
        # Pillow, because OpenCV turns a palette into colours and the ids are lost
        with Image.open(path) as picture:
            values = np.asarray(picture.convert('L') if picture.mode == '1' else picture)
            mode = picture.mode
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f'{path} is not a picture that can be read: {error}') from error
    if mode in ('LA', 'PA'):
        values = values[..., 0]
    if values.ndim == 3:
        if (values[..., :3] != values[..., :1]).any():
            raise InputError(
                f'{path} holds colours; a mask is grey or has a palette (one value per pixel)')
        values = values[..., 0]
    if values.dtype != np.uint8:
        raise InputError(f'{path} holds {values.dtype} samples; masks of 8 bits are accepted')
    return np.array(values)


def write_label_map(path: str | Path, label_map: np.ndarray) -> None:
    """
    Write a label map (H×W uint8) as a PNG whose indices are the ids, in the DAVIS palette.

    :raises InputError: where it is not H×W uint8 with at least one pixel.
    """
    if label_map.ndim != 2 or label_map.dtype != np.uint8 or label_map.size == 0:
        raise InputError(
            f'the label map has shape {label_map.shape} and dtype {label_map.dtype}; '
            'H×W of uint8 is accepted')
    picture = Image.fromarray(label_map)
    picture.putpalette(PALETTE.tobytes())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # level 1: label maps are mostly flat, so more effort costs time and wins little
    picture.save(path, format='PNG', compress_level=1)


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of H×W×3 uint8 RGB or H×W uint8, quick rather than small."""
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode('.png', ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def decode_png(content: bytes) -> np.ndarray:
    """What encode_png was given."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels


def _palette() -> np.ndarray:
    """Spread the id's bits over red, green and blue: the lowest three become the highest."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            set_bits = (ids >> (3 * bit + channel)) & 1
            colours[:, channel] |= (set_bits << (7 - bit)).astype(np.uint8)
    return colours


PALETTE = _palette()
"""256×3 uint8 RGB: the colour of each id in PASCAL VOC, DAVIS and YouTube-VOS."""


def _read_bytes(path: str | Path) -> bytes:
    source = Path(path)
    if not source.is_file():
        reason = 'is a folder' if source.is_dir() else 'does not exist'
        raise InputError(f'{path} {reason}; the path of a picture is needed')
    data = source.read_bytes()
    if not data:
        raise InputError(f'{path} is empty (0 bytes)')
    return data
