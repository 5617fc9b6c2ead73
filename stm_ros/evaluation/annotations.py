# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Annotations and predictions on disk, read by the one reader of masks, as label maps.

What the first annotation of a sequence is (ids, or one object in 0 and 255), all of it is: a frame
in which only void is left does not turn void into an object.
"""
from enum import Enum
from pathlib import Path

import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_stored_mask
from stm_ros.vision.masks import IGNORED_LABEL
from stm_ros.vision.masks import Kind
from stm_ros.vision.masks import binary_of
from stm_ros.vision.masks import kind_of

ONLY_ID = 1
"""The id of the object of a sequence whose masks are binary."""


class Style(Enum):
    """How the annotations of a sequence name objects."""

    IDS = 'ids, 255 is void'
    BINARY = 'one object'


def style_of(path: Path) -> tuple[Style, tuple[int, ...]]:
    """How an annotation names its objects, and which ids it shows (none where it is empty).

    :raises InputError: where it cannot be read, or its values are neither.
    """
    values = _values(path)
    kind = kind_of(values)
    if kind in (Kind.BINARY, Kind.SOFT):
        return Style.BINARY, (ONLY_ID,)
    _refuse_grey(path, kind)
    return Style.IDS, tuple(int(i) for i in np.unique(values) if i not in (0, IGNORED_LABEL))


def read_annotation(path: Path, style: Style, ids: frozenset[int]) -> np.ndarray:
    """An annotation as H×W uint8 ids; void reads as 0.

    :param ids: those of the sequence; values among them are taken as they are.
    :raises InputError: where it cannot be read, or its values are no ids.
    """
    values = _values(path)
    if style is Style.BINARY:
        _refuse_grey(path, kind_of(values))
        return binary_of(values).astype(np.uint8) * np.uint8(ONLY_ID)
    found = {int(i) for i in np.unique(values)}
    if not found <= {0, IGNORED_LABEL, *ids}:
        _refuse_grey(path, kind_of(values))
        if max(found) > IGNORED_LABEL:
            raise InputError(f'{path} holds the value {max(found)}; ids are 1..254')
    return np.where(values == IGNORED_LABEL, 0, values).astype(np.uint8)


def read_prediction(path: Path, style: Style, ids: frozenset[int]) -> np.ndarray:
    """A tracker's label map as H×W uint8 ids; 0 and 255 are the object of a sequence of one.

    :raises InputError: where it cannot be read, or its values are no ids.
    """
    values = _values(path)
    if style is Style.BINARY or len(ids) == 1 and kind_of(values) in (Kind.BINARY, Kind.SOFT):
        _refuse_grey(path, kind_of(values))
        return binary_of(values).astype(np.uint8) * np.uint8(min(ids))
    return read_annotation(path, style, ids)


def _values(path: Path) -> np.ndarray:
    stored = read_stored_mask(path)
    if stored.is_lossy and kind_of(stored.values) is Kind.IDS:
        raise InputError(f'{path} holds ids in a format that changes values (JPEG); a PNG is '
                         'needed')
    return stored.values


def _refuse_grey(path: Path, kind: Kind) -> None:
    if kind is Kind.GREY:
        raise InputError(f'{path} holds grey levels that are neither ids nor the soft edges of a '
                         'mask of 0 and 255')
