# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and label maps on disk."""
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stm_ros.vision.errors import InputError
from stm_ros.vision.mask_planes import StoredMask
from stm_ros.vision.mask_planes import stored_mask
from stm_ros.vision.masks import check_image
from stm_ros.vision.palette import PALETTE
from stm_ros.vision.pictures import MAX_MEGAPIXELS
from stm_ros.vision.pictures import PictureHeader
from stm_ros.vision.pictures import decode_picture
from stm_ros.vision.pictures import open_picture
from stm_ros.vision.pictures import turn_upright

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.ppm')


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """
    Read a picture as H×W×3 uint8 RGB, turned upright as its EXIF says; alpha is dropped.

    :param max_megapixels: millions of pixels; a larger picture is refused by its header.
    :raises InputError: where the file is missing, empty, cut short, not a picture, too large, or
        not 8 bits deep.
    """
    pixels, header = decode_picture(read_bytes(path), str(path), max_megapixels)
    if pixels.dtype != np.uint8:
        raise InputError(f'{path} holds {pixels.dtype} samples; pictures of 8 bits are accepted')
    upright = turn_upright(pixels, header.orientation)
    return cv2.cvtColor(upright, cv2.COLOR_GRAY2RGB) if upright.ndim == 2 else upright


def read_header(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> PictureHeader:
    """What a picture file says of itself.

    :raises InputError: where it is missing, no picture, or too large.
    """
    return open_picture(read_bytes(path), str(path), max_megapixels)[1]


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


def read_stored_mask(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> StoredMask:
    """
    Read a mask's values (one per pixel), upright, and where in the file they were found.

    Grey levels and ids are read as stored; palettes and colours are followed where they are those
    of DAVIS or grey; alpha counts where the colours say nothing.

    :raises InputError: where the file is missing, cut short, no picture or too large, or where it
        does not hold one value per pixel; the message names what is in the way.
    """
    picture, header = open_picture(read_bytes(path), str(path), max_megapixels)
    return stored_mask(picture, header, str(path))


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask's values alone, H×W uint8 or uint16; see read_stored_mask."""
    return read_stored_mask(path).values


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


def read_bytes(path: str | Path) -> bytes:
    """The content of a picture file.

    :raises InputError: where it is missing, a folder, or empty.
    """
    source = Path(path)
    if not source.is_file():
        reason = 'is a folder' if source.is_dir() else 'does not exist'
        raise InputError(f'{path} {reason}; the path of a picture is needed')
    data = source.read_bytes()
    if not data:
        raise InputError(f'{path} is empty (0 bytes)')
    return data
