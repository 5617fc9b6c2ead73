# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a snapshot folder holds, by name."""
import json
from dataclasses import dataclass
from pathlib import Path

from stm_ros.tracking.reference_folder import TABLE
from stm_ros.vision.errors import InputError

MAX_NAMES = 500
_MAX_REFERENCES = 64
_MAX_TABLE_BYTES = 100_000


@dataclass(frozen=True)
class StoredMemories:
    """Names as the load service takes them; `objects`: for each library, what its targets are."""

    snapshots: tuple[str, ...]
    libraries: tuple[str, ...]
    objects: tuple[str, ...]


def stored_memories(folder: Path, suffix: str) -> StoredMemories:
    """Name the snapshots (files ending in `suffix`) and reference libraries in `folder`.

    At most MAX_NAMES of each are named, in order of name. A folder that is not there holds nothing.

    :raises InputError: where it cannot be read.
    """
    try:
        entries = sorted(folder.iterdir()) if folder.exists() else []
        visible = [entry for entry in entries if not entry.name.startswith('.')]
        snapshots = [entry.name.removesuffix(suffix) for entry in visible
                     if entry.name.endswith(suffix) and entry.is_file()][:MAX_NAMES]
        libraries = [entry for entry in visible
                     if entry.is_dir() and next(entry.glob(f'*/{TABLE}'), None)][:MAX_NAMES]
        objects = tuple(', '.join(_labels(library)) for library in libraries)
    except OSError as error:
        raise InputError(f'cannot read the folder {folder}: {error.strerror}') from error
    return StoredMemories(tuple(snapshots), tuple(entry.name for entry in libraries), objects)


def _labels(library: Path) -> list[str]:
    """The names of a library's targets, by id; what cannot be read has none."""
    labels: dict[int, str] = {}
    for table in sorted(library.glob(f'*/{TABLE}'))[:_MAX_REFERENCES]:
        try:
            if table.stat().st_size <= _MAX_TABLE_BYTES:
                read = json.loads(table.read_text())['labels']
                labels |= {int(target): str(label) for target, label in read.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return [labels[target] or f'target {target}' for target in sorted(labels)]
