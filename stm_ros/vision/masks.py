# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Label maps: what a user's mask means, and checks that say what is wrong with it."""
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np

from stm_ros.vision.errors import InputError

MAX_TARGET_ID = 254
IGNORED_LABEL = 255
MAX_SHOWN_IDS = 64
"""A mask of more ids is taken for a picture of something else."""

MIN_ID_PIXELS = 16
"""An id of fewer pixels is taken for a speck."""

_HALF = 128
_WHITE_FROM = 224
_BLACK_TO = 32
# of grey pixels, those with neighbours alike: 0.98 and more in label maps, up to 0.15 in soft edges
_FLAT_SHARE = 0.3
# pixels of soft edges, as a multiple of those inside and of those outside; photographs have more
_MOST_EDGE = 2
# borders around objects that nobody is to judge are drawn this wide at most, in pixels
_VOID_REACH = 10


class Kind(Enum):
    """What a mask's values are; the value is the word for people."""

    EMPTY = 'empty'
    BINARY = 'binary'
    SOFT = 'soft, thresholded at 128'
    GREY = 'grey levels'
    IDS = 'ids'


@dataclass(frozen=True)
class ShownTargets:
    """
    What a mask shows: label map H×W uint8 (0 background, 1..254 target id), and how it was read.

    meaning: for people, such as 'binary, alpha', 'ids 1, 5, 200' or 'soft, thresholded at 128'.
    """

    label_map: np.ndarray
    meaning: str

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the targets, rising."""
        return tuple(int(each) for each in np.unique(self.label_map) if each)


def check_target_id(target_id: int) -> int:
    """Return `target_id` when it lies in 1..254.

    :raises InputError: otherwise.
    """
    if not 1 <= int(target_id) <= MAX_TARGET_ID:
        raise InputError(f'target id {target_id} is outside 1..{MAX_TARGET_ID}')
    return int(target_id)


def check_label(label: Any) -> str:
    """Return a target's name when messages and files can carry it; numbers are names, too.

    :raises InputError: otherwise, as for what the terminal could not decode.
    """
    if not isinstance(label, str | int | float) or '\0' in str(label):
        raise InputError(f'{label!r} is no name')
    try:
        str(label).encode()
    except UnicodeEncodeError as error:
        raise InputError(f'{label!r} is no name in Unicode') from error
    return str(label)


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


def show_targets(values: np.ndarray, target_id: int | None = None, *, free_id: int = 1,
                 name: str = 'the mask', source: str = '', is_lossy: bool = False,
                 choose: bool = False) -> ShownTargets:
    """
    Read a user's mask as targets to be shown to the tracker.

    Values within {0, 255} (or {0, 65535}) are a binary mask; one whose edges are soft is cut at
    128; other values are target ids, and 255 around them belongs to nobody.

    :param values: H×W uint8 or uint16.
    :param target_id: the id that the user gives the one target of the mask, None for none.
    :param free_id: the id of a binary mask where the user gives none.
    :param name: of the mask, for messages. source: where its values were found, likewise.
    :param is_lossy: whether its format changes values, so that they cannot be ids.
    :param choose: whether `target_id` may be one of several ids in the mask, which are all kept.
    :raises InputError: for an empty or whole-image mask, grey levels that are no ids, more than
        MAX_SHOWN_IDS ids, an id of fewer than MIN_ID_PIXELS pixels or outside 1..254, a 255 that
        may be the target or void, and a `target_id` that the mask contradicts.
    """
    if target_id is not None:
        check_target_id(target_id)
    values = _checked(values, name)
    kind = kind_of(values)
    if kind is Kind.IDS and is_lossy:
        if not _is_black_and_white(values):
            raise InputError(
                f'{name} holds the values {_some(values)} in a format that changes values (JPEG, '
                'lossy WebP), so they are no ids; save it as PNG')
        kind = Kind.SOFT
    if kind is Kind.EMPTY:
        raise InputError(f'{name} is empty: no pixel belongs to a target')
    if kind is Kind.GREY:
        raise InputError(
            f'{name} holds grey levels ({_some(values)}) that are neither ids nor the soft edges '
            'of a mask of 0 and 255; save it with 0 for background and 255 for the target')
    ids_shown = kind is Kind.IDS
    label_map = _ids(values, target_id, name, choose) if ids_shown else np.where(
        _is_bright(values), free_id if target_id is None else target_id, 0).astype(np.uint8)
    if not label_map.any():
        raise InputError(f'{name} is empty: no pixel belongs to a target')
    _refuse_whole(values, label_map, name)
    refuse_specks(label_map, name)
    shown = ShownTargets(label_map, '')
    meaning = f'ids {", ".join(map(str, shown.ids))}' if ids_shown else kind.value
    return ShownTargets(label_map, f'{meaning}, {source}' if source else meaning)


def one_label(label: str | None, shown: ShownTargets) -> dict[int, str]:
    """The names by id, where `label` names the one target of a mask.

    :raises InputError: where there are several.
    """
    if not label:
        return {}
    if len(shown.ids) != 1:
        raise InputError(f'one label, {label!r}, and the mask shows targets '
                         f'{", ".join(map(str, shown.ids))}: name them one by one, or show one')
    return {shown.ids[0]: label}


def kind_of(values: np.ndarray) -> Kind:
    """What the values of a mask (H×W uint8 or uint16) are."""
    if values.dtype == np.uint16:
        if values.max() <= IGNORED_LABEL:
            return kind_of(values.astype(np.uint8))
        # ids end at 254, so these are levels of 16 bits, or nothing that is known
        kind = kind_of((values // 257).astype(np.uint8))
        return kind if kind in (Kind.BINARY, Kind.SOFT) else Kind.GREY
    counts = np.bincount(values.reshape(-1), minlength=256)
    if counts[0] == values.size:
        return Kind.EMPTY
    levels = np.flatnonzero(counts[1:255]) + 1
    if not levels.size:
        return Kind.BINARY
    if counts[255] and levels.max() >= 250 and not counts[6:250].any():
        return Kind.SOFT
    is_grey = (values > 0) & (values < 255)
    if (_flat(values) & is_grey).sum() >= _FLAT_SHARE * is_grey.sum():
        return Kind.IDS
    return _kind_of_levels(counts, levels)


def _kind_of_levels(counts: np.ndarray, levels: np.ndarray) -> Kind:
    """Of greys that change from pixel to pixel: soft edges, thin objects, or a picture."""
    white = int(counts[_WHITE_FROM:].sum())
    between = int(counts[_BLACK_TO:_WHITE_FROM].sum())
    if white and (between or levels.max() >= _WHITE_FROM and levels.size >= 3):
        ends = min(white, int(counts[:_BLACK_TO].sum()))
        return Kind.SOFT if between <= _MOST_EDGE * ends else Kind.GREY
    return Kind.GREY if levels.size > MAX_SHOWN_IDS else Kind.IDS


def binary_of(values: np.ndarray) -> np.ndarray:
    """The pixels (H×W bool) of the one object of a binary or soft mask, or of all ids' objects."""
    return values > 0 if kind_of(values) is Kind.IDS else _is_bright(values)


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.size == 0 or (
            values.dtype not in (np.uint8, np.uint16)):
        raise InputError(
            f'{name} has shape {np.shape(values)} and dtype {getattr(values, "dtype", "none")}; '
            'an H×W array of uint8 or uint16 is accepted')
    return values


def _is_bright(values: np.ndarray) -> np.ndarray:
    is_wide = values.dtype == np.uint16 and values.max() > IGNORED_LABEL
    return values >= (_HALF * 257 if is_wide else _HALF)


def _is_black_and_white(values: np.ndarray) -> bool:
    """Whether there is white, and nothing between it and black."""
    between = (values >= _BLACK_TO) & (values < _WHITE_FROM)
    return bool((values >= _WHITE_FROM).any()) and not between.any()


def _flat(values: np.ndarray) -> np.ndarray:
    """The pixels (H×W bool) that belong to a block of 2×2 equal ones."""
    corner = values[:-1, :-1]
    equal = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
    flat = np.zeros(values.shape, bool)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            flat[rows, columns] |= equal
    return flat


def _ids(values: np.ndarray, target_id: int | None, name: str, choose: bool) -> np.ndarray:
    """The label map of a mask of ids, 255 left out."""
    label_map = np.where(values == IGNORED_LABEL, 0, values).astype(np.uint8)
    ids = [int(each) for each in np.unique(label_map) if each]
    if len(ids) > MAX_SHOWN_IDS:
        raise InputError(f'{name} holds {len(ids)} ids ({_some(values)}); up to {MAX_SHOWN_IDS} '
                         'are accepted: is it a picture of something else?')
    _refuse_unclear_void(values, label_map, ids, name)
    if target_id is None or (choose and target_id in ids) or ids == [target_id]:
        return label_map
    if ids == [1]:
        return label_map * np.uint8(target_id)
    raise InputError(
        f'target id {target_id} is not what {name} shows: it names its targets itself, '
        f'ids {ids}. Leave the id out, or write the target as 255 (or 1) and all else as 0')


def _refuse_unclear_void(values: np.ndarray, label_map: np.ndarray, ids: list[int],
                         name: str) -> None:
    """255 beside ids is void where it surrounds them; else it may be the target, and they specks.
    """
    void = values == IGNORED_LABEL
    count, shown = int(void.sum()), int((label_map > 0).sum())
    if count <= shown:
        return
    size = 2 * _VOID_REACH + 1
    near = cv2.dilate((label_map > 0).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    reached = cv2.dilate((values == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    # void lies between ids and background; what ids enclose may be what they are the border of
    if 2 * int((void & near).sum()) < count or not (void & reached).any():
        raise InputError(
            f'{name} holds 255 in {count} pixels and ids {ids} in {shown}: 255 may be the target '
            'and the ids specks or its border, or 255 may be void. Clear the ids to 0, or write '
            '255 as 0')


def _refuse_whole(values: np.ndarray, label_map: np.ndarray, name: str) -> None:
    if (values > 0).all():
        raise InputError(
            f'{name} covers the whole image of {values.shape[1]}×{values.shape[0]} pixels '
            f'({int((label_map > 0).sum())} of targets): no pixel is 0, so no background is left '
            'to tell them from')


def refuse_specks(label_map: np.ndarray, name: str) -> None:
    """Make sure that every target of a label map (H×W uint8) has MIN_ID_PIXELS pixels.

    :raises InputError: naming those that have fewer.
    """
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    specks = [f'{each} ({counts[each]})' for each in range(1, 255)
              if 0 < counts[each] < MIN_ID_PIXELS]
    if specks:
        few = ', '.join(specks[:5]) + (f' and {len(specks) - 5} more' if len(specks) > 5 else '')
        raise InputError(
            f'{name} shows targets of fewer than {MIN_ID_PIXELS} pixels, id (pixels): {few}. '
            'Clear specks to 0; a mask with soft edges needs 0 and 255 inside')


def _some(values: np.ndarray, most: int = 8) -> str:
    found = np.unique(values)
    text = ', '.join(map(str, found[:most]))
    return f'{text} ... {found[-1]}: {len(found)} values' if len(found) > most else text
