# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One value per pixel out of whatever picture a mask was stored in: grey, palette, colours, alpha.

What the values mean is told by `stm_ros.vision.masks`.
"""
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import Kind
from stm_ros.vision.masks import kind_of
from stm_ros.vision.palette import PALETTE
from stm_ros.vision.pictures import PictureHeader
from stm_ros.vision.pictures import turn_upright
from stm_ros.vision.pictures import whole_picture

_REMEDY = ('a mask is grey (0 and 255, or target ids), has a palette of ids, or is drawn in the '
           'colours of DAVIS; save it as a PNG of one of these kinds')
_ID_OF_COLOUR = {tuple(colour): index for index, colour in enumerate(PALETTE.tolist())}
_GREY_IDS = {red: index for (red, green, blue), index in _ID_OF_COLOUR.items()
             if red == green == blue and index}


@dataclass(frozen=True)
class StoredMask:
    """
    A mask as it was stored: H×W uint8 or uint16 values, upright, and where they were found.

    source: 'alpha', 'DAVIS colours', ... or '' for plain grey. is_lossy: whether the format changes
    values. orientation: EXIF's, which was applied.
    """

    values: np.ndarray
    source: str
    is_lossy: bool
    orientation: int


def stored_mask(picture: Image.Image, header: PictureHeader, name: str) -> StoredMask:
    """Read the values of an opened picture.

    :raises InputError: where it is cut short, or does not hold one value per pixel; the message
        names the colours or values that are in the way.
    """
    is_deep = _has_deep_colours(picture)
    picture = whole_picture(picture, name)
    if is_deep:
        _refuse_levels(picture, name)
    values, source = _plane(picture, name)
    return StoredMask(turn_upright(values, header.orientation), source, header.is_lossy,
                      header.orientation)


def _has_deep_colours(picture: Image.Image) -> bool:
    """Whether colours have 16 bits, of which Pillow keeps the upper 8."""
    tiles = getattr(picture, 'tile', [])
    told = tiles[0].args if tiles and len(picture.getbands()) > 1 else ()
    return any(isinstance(each, str) and ';16' in each or
               picture.format == 'PPM' and isinstance(each, int) and each > 255
               for each in (told if isinstance(told, tuple) else (told,)))


def _refuse_levels(picture: Image.Image, name: str) -> None:
    """Black, white and full colours survive the loss of the lower bits, ids do not."""
    values = set(np.unique(np.asarray(picture)).tolist())
    if not values <= {0, 255} or 255 not in values:
        raise InputError(f'{name} holds colours of 16 bits, other than 0 and 65535; {_REMEDY}')


def _plane(picture: Image.Image, name: str) -> tuple[np.ndarray, str]:
    mode = picture.mode
    if mode == 'P':
        return _from_palette(picture, name)
    if mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa'):
        return _from_alpha(np.asarray(picture.convert('RGBA')), name)
    if mode == '1':
        return np.array(picture.convert('L')), ''
    if mode == 'L':
        return np.array(picture), ''
    if mode.startswith('I') or mode == 'F':
        return _from_numbers(np.asarray(picture), name), ''
    return _from_colours(np.asarray(picture.convert('RGB')), name)


def _from_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Integers of 16 or 32 bits as uint16; floats in [0, 1] as uint8."""
    low, high = values.min(), values.max()
    if values.dtype.kind == 'f':
        if not (low >= 0 and high <= 1):
            raise InputError(f'{name} holds floats from {low} to {high}; a mask of floats lies in '
                             f'[0, 1]; {_REMEDY}')
        return np.rint(values * 255).astype(np.uint8)
    if low < 0 or high > 65535:
        raise InputError(f'{name} holds values from {low} to {high}; target ids are 1..254')
    return values.astype(np.uint16)


def _from_palette(picture: Image.Image, name: str) -> tuple[np.ndarray, str]:
    """Follow the palette's colours, unless they say nothing and black is index 0."""
    indices = np.array(picture)
    stored = np.array(picture.getpalette('RGB') or [], np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 3), np.uint8)
    palette[:len(stored)] = stored[:256]
    used = np.unique(indices)
    if used[-1] >= len(stored):
        raise InputError(f'{name} holds the index {used[-1]}, and its palette has {len(stored)} '
                         f'colours, so it is damaged; {_REMEDY}')
    colours = palette[used]
    if (colours == PALETTE[used]).all():
        return indices, 'DAVIS palette'
    if 'transparency' in picture.info:
        return _from_alpha(np.asarray(picture.convert('RGBA')), name)
    if (colours == colours[:, :1]).all():
        return palette[indices][..., 0], 'palette'
    try:
        return _from_colours(palette[indices], name)
    except InputError as error:
        if palette[0].any() or not colours[used > 0].any(axis=1).all():
            raise InputError(
                f'{error}. Its palette makes index 0 {tuple(palette[0].tolist())}, so its indices '
                'are no ids either: 0 would have to be black, and nothing else') from error
    return indices, 'palette indices'


def _from_colours(colours: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Grey levels, ids in DAVIS colours, or one colour on black."""
    if (colours == colours[..., :1]).all():
        values = colours[..., 0]
        levels = set(np.unique(values).tolist()) - {0, 255}
        if levels and levels <= set(_GREY_IDS):
            level = min(levels)
            raise InputError(
                f'{name} is stored in colour and holds grey {level}: that may be id {level}, or '
                f'id {_GREY_IDS[level]} in its DAVIS colour. Save it as a grey or palette PNG')
        return np.array(values), ''
    packed = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, places = np.unique(packed, return_inverse=True)
    tuples = [(int(each) >> 16, int(each) >> 8 & 255, int(each) & 255) for each in found]
    if all(each in _ID_OF_COLOUR for each in tuples):
        ids = np.array([_ID_OF_COLOUR[each] for each in tuples], np.uint8)
        return ids[places].reshape(packed.shape), 'DAVIS colours'
    if len(tuples) == 2 and tuples[0] == (0, 0, 0):
        return np.where(packed > 0, 255, 0).astype(np.uint8), f'colour {tuples[1]} on black'
    foreign = [each for each in tuples if each not in _ID_OF_COLOUR]
    raise InputError(f'{name} holds {len(tuples)} colours, such as {foreign[0]}, that name no ids; '
                     f'{_REMEDY}')


def _from_alpha(rgba: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """The colours where they say more than alpha does, else alpha."""
    alpha, colours = rgba[..., 3], rgba[..., :3]
    low, high = int(alpha.min()), int(alpha.max())
    if high == 0:
        raise InputError(f'{name} is transparent throughout: its alpha is 0 everywhere')
    if low == high:
        return _from_colours(colours, name)
    opaque = alpha > high // 2
    levels = np.unique(alpha)
    by_alpha = np.where(opaque, 255, 0).astype(np.uint8) if len(levels) == 2 else np.array(alpha)
    shown = colours[opaque]
    if (shown == shown[0]).all() and (shown[0] == shown[0, 0]).all():
        return by_alpha, 'alpha'
    try:
        values, source = _from_colours(np.where(opaque[..., None], colours, 0), name)
    except InputError:
        return by_alpha, 'alpha'
    if kind_of(values) not in (Kind.BINARY, Kind.IDS):
        return by_alpha, 'alpha'
    if ((values > 0) == opaque).all():
        return values, source
    raise InputError(f'{name} is two masks: its alpha shows {int(opaque.sum())} pixels, its '
                     f'colours {int((values > 0).sum())}. Save it without alpha, or as a '
                     'cut-out whose colours are those of the photograph')
