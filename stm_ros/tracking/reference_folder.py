# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""References as a folder that a person can read and edit: a library of known objects.

One folder a reference: `image.png`, `mask.png` (ids in a palette) and `reference.json` with the
stream, the stamp and the labels by id.
"""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from stm_ros.memory.slots import Slot
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import decode_png
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_stored_mask
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.masks import check_label_map
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.masks import show_targets

if TYPE_CHECKING:
    from stm_ros.tracking.tracker import Tracker

IMAGE, MASK, TABLE = 'image.png', 'mask.png', 'reference.json'


@dataclass(frozen=True)
class KnownReference:
    """A reference as read from a folder: image H×W×3 uint8 RGB, label map H×W uint8."""

    image: np.ndarray
    label_map: np.ndarray
    labels: dict[int, str]
    stream: str
    stamp_ns: int


def export_references(tracker: Tracker, folder: Path) -> int:
    """Write every reference of `tracker` into `folder`, which must not exist or be empty; how many.

    :raises SnapshotError: where it is not, cannot be written, or there are none. Half a library is
        never left.
    """
    references = tracker.bank.references()
    if not references:
        raise SnapshotError('there are no references to write')
    partial = folder.with_name(f'.{os.getpid()}.partial')
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SnapshotError(f'{folder} is not empty; name a new folder')
        for number, slot in enumerate(references):
            _write_reference(partial / f'reference_{number:03d}', slot, tracker.labels)
        partial.replace(folder)
    except OSError as error:
        raise SnapshotError(f'cannot write references to {folder}: {error.strerror}') from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(references)


def _write_reference(place: Path, slot: Slot, labels: dict[int, str]) -> None:
    assert slot.source is not None
    place.mkdir(parents=True)
    (place / IMAGE).write_bytes(slot.source.image_png)
    mask = decode_png(slot.source.mask_png)
    # what has been removed since is not in the library either
    write_label_map(place / MASK, np.where(np.isin(mask, sorted(slot.targets)), mask, 0))
    table = {'stream': slot.stream, 'stamp_ns': slot.stamp_ns,
             'labels': {str(target): labels[target] for target in sorted(slot.targets)}}
    (place / TABLE).write_text(json.dumps(table, indent=2, ensure_ascii=False) + '\n',
                               encoding='utf-8')


def read_references(folder: Path) -> list[KnownReference]:
    """Read every reference below `folder`, in order of name.

    :raises InputError: naming the file, where one is missing or cannot be used.
    """
    places = sorted(path.parent for path in folder.glob(f'*/{TABLE}'))
    if not places:
        raise InputError(f'{folder} holds no folders with {IMAGE}, {MASK} and {TABLE}')
    return [_read_reference(place) for place in places]


def import_references(tracker: Tracker, folder: Path, streams: Sequence[str] = ()
                      ) -> tuple[int, ...]:
    """Add every reference of `folder` to `tracker`, which may hold others; the ids it shows.

    All or nothing: files are read before anything is changed.

    :param streams: those that there are; a reference of another one counts for the first.
    :raises InputError: where a file cannot be used, or memory has no room for all of them.
    """
    known = read_references(folder)
    ids = {int(target) for reference in known for target in np.unique(reference.label_map)} - {0}
    taken = sorted(ids & set(tracker.targets))
    if taken:
        raise InputError(f'{folder} shows targets {taken}, which are tracked already: remove them '
                         'first, or give its masks other ids')
    tracker.check_room(len(known), ids)
    try:
        for reference in known:
            stream = reference.stream
            if streams and stream not in streams:
                stream = streams[0]
            tracker.add_reference(reference.image, reference.label_map, reference.labels,
                                  stream, reference.stamp_ns, place_hint=False)
    except Exception:
        for target in ids & set(tracker.targets):
            tracker.remove_target(target)
        raise
    return tuple(sorted(ids))


def _read_reference(place: Path) -> KnownReference:
    image = read_image(place / IMAGE)
    stored = read_stored_mask(place / MASK)
    shown = show_targets(stored.values, name=str(place / MASK), source=stored.source,
                         is_lossy=stored.is_lossy)
    try:
        # editors of some systems begin a file with a mark of its byte order
        table: dict[str, Any] = json.loads((place / TABLE).read_text(encoding='utf-8-sig'))
        labels = {check_target_id(int(target)): str(label)
                  for target, label in table.get('labels', {}).items()}
        stream, stamp = str(table.get('stream', 'camera')), int(table.get('stamp_ns', 0))
        label_map = check_label_map(shown.label_map, image.shape)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(f'{place} cannot be used: {error}') from error
    absent = sorted(set(labels) - set(shown.ids))
    if absent:
        raise InputError(f'{place / TABLE} names targets {absent}, and the mask shows '
                         f'{list(shown.ids)} ({shown.meaning})')
    return KnownReference(image, label_map, labels, stream, stamp)
