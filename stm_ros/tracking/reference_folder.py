# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""References as a folder that a person can read and edit: a library of known objects.

One folder a reference: `image.png`, `mask.png` (ids in a palette) and `reference.json` with the
stream, the stamp and the labels by id.
"""
from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
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
from stm_ros.vision.masks import check_label
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
    scratch = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SnapshotError(f'{folder} is not empty, or no folder; name a new folder')
        parent = folder.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        # one of a new name, which is nobody else's
        scratch = Path(mkdtemp(prefix='.stm_partial_', dir=parent))
        partial = scratch / 'references'
        for number, slot in enumerate(references):
            _write_reference(partial / f'reference_{number:03d}', slot, tracker.labels)
        partial.replace(folder)
    except OSError as error:
        raise SnapshotError(f'cannot write references to {folder}: {error.strerror}') from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
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
    labels, stream, stamp = _read_table(place / TABLE)
    try:
        label_map = check_label_map(shown.label_map, image.shape)
    except InputError as error:
        raise InputError(f'{place} cannot be used: {error}') from error
    absent = sorted(set(labels) - set(shown.ids))
    if absent:
        raise InputError(f'{place / TABLE} names targets {absent}, and the mask shows '
                         f'{list(shown.ids)} ({shown.meaning})')
    return KnownReference(image, label_map, labels, stream, stamp)


def _read_table(path: Path) -> tuple[dict[int, str], str, int]:
    """Names by id, stream and stamp in nanoseconds."""
    try:
        # editors of some systems begin a file with a mark of its byte order
        table: Any = json.loads(path.read_text(encoding='utf-8-sig'))
        labels, stream, stamp = (table.get(name, default) for name, default in (
            ('labels', {}), ('stream', 'camera'), ('stamp_ns', 0)))
        named = {check_target_id(int(target)): check_label(label)
                 for target, label in labels.items()}
        if type(stamp) is not int or not -2**63 <= stamp < 2**63:
            raise InputError(f'stamp_ns is {stamp}; nanoseconds of 64 bits are accepted')
        return named, check_label(stream), stamp
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(f'{path} cannot be used: {error}; accepted is {{"labels": {{ID: NAME}}, '
                         '"stream": NAME, "stamp_ns": NUMBER}, all of them optional') from error
