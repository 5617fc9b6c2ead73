# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""By which names recordings are known."""
from pathlib import Path

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_folders import folders_in
from stm_ros.vision.image_folders import visible_in

STORAGE_SUFFIXES = ('.mcap', '.db3')
COMPRESSED_SUFFIXES = ('.zstd', '.zst')
ROS1_SUFFIXES = ('.bag', '.active')
METADATA = 'metadata.yaml'


def is_recording(path: Path) -> bool:
    """Whether a path names a recording of ROS: a folder of storage files, or one of them."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(storage_files(path))
    return storage_suffix(path) is not None or path.suffix.lower() in ROS1_SUFFIXES


def refuse_recordings_in(folder: Path) -> None:
    """Say of a folder without images that it holds recordings, where it does.

    :raises InputError: naming one of them, which has to be named instead.
    """
    if not folder.is_dir():
        return
    found = [path for path in folders_in(folder) if is_recording(path)]
    found += [path for path in visible_in(folder) if path.suffix.lower() in ROS1_SUFFIXES]
    if found:
        raise InputError(f'{folder} is no recording, and holds {len(found)}: name one of them, '
                         f'such as {found[0]}')


def storage_suffix(path: Path) -> str | None:
    """`.mcap` or `.db3`, also under `.zstd` and in capitals; None for other names."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in STORAGE_SUFFIXES else None


def storage_files(folder: Path) -> list[Path]:
    """The storage files in a folder, in natural order."""
    return [path for path in visible_in(folder) if path.is_file() and storage_suffix(path)]
