# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a path holds, for refusing what is something else by saying what it is."""
from enum import Enum
from pathlib import Path

from safetensors import SafetensorError
from safetensors import safe_open

from stm_ros.memory.snapshot import is_snapshot
from stm_ros.networks.checkpoints import what_else
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES


class FileKind(Enum):
    """The kinds of files and folders that are told apart; the value is the word for people."""

    MISSING = 'not there'
    MEMORY = 'a saved memory'
    WEIGHTS = 'weights'
    REFERENCES = 'a folder of references'
    RECORDING = 'a rosbag2 recording'
    IMAGES = 'a folder of images'
    FOLDER = 'a folder'
    FILE = 'a file of another kind, or cut short'


_FOLDERS = {'metadata.yaml': FileKind.RECORDING, '*.mcap': FileKind.RECORDING,
            '*.db3': FileKind.RECORDING, '*/reference.json': FileKind.REFERENCES,
            **{f'*{suffix}': FileKind.IMAGES for suffix in IMAGE_SUFFIXES}}


def kind_of_file(path: Path) -> FileKind:
    """Look at a path without reading more than a header."""
    if path.is_dir():
        return next((kind for pattern, kind in _FOLDERS.items() if any(path.glob(pattern))),
                    FileKind.FOLDER)
    if not path.is_file():
        return FileKind.MISSING
    if path.suffix.lower() in ('.pth', '.pt'):
        return FileKind.WEIGHTS
    if is_snapshot(path):
        return FileKind.MEMORY
    try:
        with safe_open(str(path), framework='pt'):
            return FileKind.WEIGHTS
    except (SafetensorError, OSError):
        return FileKind.FILE


def expect_kind(path: Path, wanted: FileKind, hint: str) -> None:
    """Make sure that `path` holds what a command needs.

    :param hint: how such a thing is made, or where it is.
    :raises InputError: saying what is there instead.
    """
    found = kind_of_file(path)
    if found is not wanted:
        said = what_else(path) if found is FileKind.FILE else None
        raise InputError(f'{path} is {said or found.value}; {wanted.value} is needed ({hint})')
