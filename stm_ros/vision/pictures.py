# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Encoded pictures (PNG, JPEG, TIFF, ...): the header first, and no pixel of what is cut or too large.

Both files and compressed image messages come through here.
"""
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from stm_ros.vision.errors import InputError

MAX_MEGAPIXELS = 64.0
"""Pictures of more pixels (in millions) are refused before they are decoded."""

HIGHEST_MEGAPIXELS = 178.0
"""What that limit may be raised to: Pillow reads no larger pictures."""

_ORIENTATION = 0x0112
_COMPRESSION = 0x0103
_ALWAYS_LOSSY = ('JPEG', 'MPO', 'AVIF', 'JPEG2000')
# a camera's JPEG may hold a preview beside the picture, and an icon is one picture in many sizes
_MAY_HOLD_SEVERAL = ('GIF', 'PNG', 'TIFF', 'WEBP')
# JPEG, old and new, and WebP within TIFF
_LOSSY_TIFF = (6, 7, 34892, 50001)
_TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True)
class PictureHeader:
    """
    What a picture says of itself before its pixels are read.

    width, height: pixels as stored. format: as Pillow names it. mode: Pillow's, such as L, RGB,
    P or I;16. orientation: EXIF's, 1 for upright. is_lossy: whether its kind of compression changes
    values.
    """

    width: int
    height: int
    format: str
    mode: str
    orientation: int
    is_lossy: bool

    @property
    def is_transposed(self) -> bool:
        """Whether the upright picture's width is the stored one's height."""
        return self.orientation in _TRANSPOSED


def check_pixel_count(width: int, height: int, name: str,
                      max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Make sure that an image is not larger than allowed.

    :raises InputError: naming its size and the limit where it is.
    """
    if width * height > max_megapixels * 1e6:
        raise InputError(f'{name} has {width}×{height} pixels, {width * height / 1e6:.1f} million; '
                         f'up to {max_megapixels:g} million are accepted')


def open_picture(data: bytes | memoryview, name: str,
                 max_megapixels: float = MAX_MEGAPIXELS) -> tuple[Image.Image, PictureHeader]:
    """Read a picture's header; its pixels are read by `whole_picture`.

    :raises InputError: where it is no picture, several in one, or has more pixels than allowed.
    """
    try:
        picture = Image.open(BytesIO(data))
    except Image.DecompressionBombError as error:
        raise InputError(f'{name} has more than {HIGHEST_MEGAPIXELS:g} million pixels; up to '
                         f'{max_megapixels:g} million are accepted') from error
    except UnidentifiedImageError as error:
        raise InputError(f'{name} is not a picture that can be read: its first bytes are those of '
                         'no known format') from error
    # what a damaged header raises depends on the format
    except Exception as error:  # noqa: BLE001
        raise InputError(f'{name} is not a picture that can be read: {_reason(error)}') from error
    check_pixel_count(*picture.size, name, max_megapixels)
    _refuse_several(picture, name)
    return picture, PictureHeader(*picture.size, picture.format or '', picture.mode,
                                  _orientation(picture, name), _is_lossy(picture, data))


def _refuse_several(picture: Image.Image, name: str) -> None:
    """Of an animation or a stack, nobody knows which picture is meant."""
    if picture.format not in _MAY_HOLD_SEVERAL:
        return
    try:
        count = getattr(picture, 'n_frames', 1)
        picture.seek(0)
    except Exception as error:  # noqa: BLE001
        raise InputError(f'{name} is cut short or damaged: {_reason(error)}') from error
    if count > 1:
        raise InputError(f'{name} holds {count} pictures (an animation or a stack): save the one '
                         'that is meant by itself, and frames as a folder of pictures or a video')


def _is_lossy(picture: Image.Image, data: bytes | memoryview) -> bool:
    if picture.format == 'WEBP':
        return b'VP8 ' in bytes(data[:4096])
    if picture.format == 'TIFF':
        tags = getattr(picture, 'tag_v2', {})
        return tags.get(_COMPRESSION, 1) in _LOSSY_TIFF
    return picture.format in _ALWAYS_LOSSY


def _orientation(picture: Image.Image, name: str) -> int:
    """EXIF's, where it still has to be followed: Pillow and OpenCV turn TIFF files themselves."""
    told = 'exif' in picture.info or 'Raw profile type exif' in picture.info
    # of a PNG that does not tell in its header, Pillow would read all pixels to look further
    if picture.format == 'TIFF' or (picture.format == 'PNG' and not told):
        return 1
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # noqa: BLE001
        raise InputError(f'{name} has damaged EXIF data: {_reason(error)}') from error
    return int(orientation) if orientation in range(1, 9) else 1


def whole_picture(picture: Image.Image, name: str) -> Image.Image:
    """Read the pixels of an opened picture.

    :raises InputError: where it is cut short or damaged.
    """
    try:
        picture.load()
    # what damaged pixels raise depends on the format
    except Exception as error:  # noqa: BLE001
        raise InputError(f'{name} is cut short or damaged: {_reason(error)}') from error
    return picture


def decode_picture(data: bytes | memoryview, name: str,
                   max_megapixels: float = MAX_MEGAPIXELS) -> tuple[np.ndarray, PictureHeader]:
    """
    Decode a picture as it is stored: H×W grey or H×W×3 RGB, uint8 or uint16, and its header.

    Alpha is dropped, palettes become colours, and EXIF's orientation is left alone.

    :raises InputError: where it is no picture, cut short, too large, or of another depth.
    """
    picture, header = open_picture(data, name, max_megapixels)
    if header.format == 'JPEG':
        picture = whole_picture(picture, name)
        return np.array(picture if picture.mode in ('L', 'RGB') else picture.convert('RGB')), header
    _check_whole(picture, header, name)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f'{name} is damaged: {_reason(error)}') from error
    if pixels is None or pixels.size == 0:
        raise InputError(f'{name} is a picture of the format {header.format}; accepted are PNG, '
                         'JPEG, BMP, WebP, TIFF and PPM')
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f'{name} holds {pixels.dtype} samples; 8 and 16 bits are accepted')
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels, header


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn H×W or H×W×C pixels as EXIF's orientation (1..8) says."""
    if orientation in _TRANSPOSED:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _check_whole(picture: Image.Image, header: PictureHeader, name: str) -> None:
    if header.format != 'PNG':
        whole_picture(picture, name)
        return
    try:
        # the checksums of all parts, which costs less than the pixels
        picture.verify()
    except Exception as error:  # noqa: BLE001
        raise InputError(f'{name} is cut short or damaged: {_reason(error)}') from error


def _reason(error: Any) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
