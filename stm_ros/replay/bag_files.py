# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which storage files make a recording, and how each of them is opened without being changed."""
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import yaml

from stm_ros.replay.bag_names import COMPRESSED_SUFFIXES
from stm_ros.replay.bag_names import METADATA
from stm_ros.replay.bag_names import ROS1_SUFFIXES
from stm_ros.replay.bag_names import STORAGE_SUFFIXES
from stm_ros.replay.bag_names import storage_files
from stm_ros.replay.bag_names import storage_suffix
from stm_ros.replay.storage import SQLITE_ERRORS
from stm_ros.replay.storage import McapStorage
from stm_ros.replay.storage import SqliteStorage
from stm_ros.replay.storage import Storage
from stm_ros.vision.errors import InputError

# the one that rosbags itself uses
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ROS1_MAGIC = b'#ROSBAG'
# what sqlite keeps beside a file whose writer was killed
_JOURNALS = ('-wal', '-journal')


@dataclass(frozen=True)
class BagFiles:
    """The storage files of a recording in their order, and what a person should know of them."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def find_files(path: Path) -> BagFiles:
    """The storage files of a recording.

    :raises InputError: where there are none, or it is a recording of ROS 1.
    """
    if not path.exists():
        raise InputError(f'{path} does not exist; a rosbag2 folder or file is needed')
    if path.is_file():
        _refuse_ros1(path)
        return BagFiles((path,), ())
    there = storage_files(path)
    if not there:
        raise InputError(f'{path} cannot be read as a bag: it holds no storage files '
                         f'({", ".join(STORAGE_SUFFIXES)})')
    if not (path / METADATA).is_file():
        return BagFiles(tuple(there), (
            f'{path} has no {METADATA}; its {len(there)} storage files are read in the order of '
            'their names (`ros2 bag reindex` writes one)',))
    return _listed_files(path, there)


def _listed_files(folder: Path, there: list[Path]) -> BagFiles:
    """The files that the metadata lists, then those that it does not know."""
    try:
        text = (folder / METADATA).read_text(encoding='utf-8-sig')
        listed = yaml.safe_load(text)['rosbag2_bagfile_information']['relative_file_paths']
        names = [Path(str(name)).name for name in listed]
    except (yaml.YAMLError, UnicodeError, KeyError, TypeError) as error:
        return BagFiles(tuple(there), (
            f'{folder / METADATA} is damaged ({str(error).splitlines()[0]}); {len(there)} storage '
            'files are read in the order of their names (`ros2 bag reindex` writes it anew)',))
    by_name = {path.name: path for path in there}
    found = [by_name.pop(name) for name in names if name in by_name]
    absent = [name for name in names if not (folder / name).exists()]
    notes = []
    if absent:
        notes.append(f'{folder}: {len(absent)} of {len(names)} storage files are missing, the '
                     f'first is {absent[0]}')
    if by_name:
        notes.append(f'{folder}: {len(by_name)} storage files are not in {METADATA} and are read '
                     f'last, the first is {next(iter(by_name))} (`ros2 bag reindex` lists them)')
    return BagFiles((*found, *by_name.values()), tuple(notes))


def _refuse_ros1(path: Path) -> None:
    with path.open('rb') as file:
        magic = file.read(len(_ROS1_MAGIC))
    if magic == _ROS1_MAGIC or path.suffix.lower() in ROS1_SUFFIXES:
        raise InputError(f'{path} is a recording of ROS 1; convert it to ROS 2 first: '
                         f'`rosbags-convert --src {path.name} --dst {path.stem}`')


@dataclass(frozen=True)
class ReadyFile:
    """A storage file as it can be read: itself, or an unpacked or mended copy of it."""

    original: Path
    place: Path
    notes: tuple[str, ...]

    @contextmanager
    def opened(self) -> Iterator[Storage]:
        """Open it; InputError where it is damaged from the start."""
        kind = McapStorage if self.place.suffix.lower() == '.mcap' else SqliteStorage
        storage = kind(self.place, str(self.original))
        try:
            yield storage
        finally:
            storage.close()


def make_ready(path: Path, scratch: Path) -> ReadyFile:
    """Unpack or mend a storage file into the folder `scratch`, where it needs that.

    :raises InputError: where it is empty or damaged, or there is no room for a copy.
    """
    if path.stat().st_size == 0:
        raise InputError(f'{path} is empty (0 bytes)')
    suffix = storage_suffix(path)
    if path.suffix.lower() in COMPRESSED_SUFFIXES:
        place = scratch / f'{path.name}{suffix}'
        return ReadyFile(path, place, tuple(_unpack(path, place)))
    if suffix == '.db3' and _journals(path):
        place = scratch / path.name
        return ReadyFile(path, place, tuple(_copy_with_journals(path, place)))
    return ReadyFile(path, path, ())


def _unpack(path: Path, target: Path) -> list[str]:
    # sizes are not known before; a recording of raw images shrinks to a half or a third
    _check_room(path, 4 * path.stat().st_size)
    with path.open('rb') as packed, target.open('wb') as plain:
        try:
            with zstd.open(packed, 'rb') as content:
                shutil.copyfileobj(content, plain)
        except (EOFError, zstd.ZstdError) as error:
            if not plain.tell():
                raise InputError(f'{path} cannot be unpacked: {error}') from error
            return [f'{path} is cut short or damaged ({error}): {plain.tell()} bytes were unpacked']
    return []


def _journals(path: Path) -> list[Path]:
    beside = [path.with_name(path.name + end) for end in _JOURNALS]
    return [each for each in beside if each.is_file() and each.stat().st_size]


def _copy_with_journals(path: Path, target: Path) -> list[str]:
    """Let sqlite mend a copy, so that the messages in its log are not lost, nor the file changed.
    """
    journals = _journals(path)
    _check_room(path, sum(each.stat().st_size for each in (path, *journals)))
    shutil.copyfile(path, target)
    for each in journals:
        shutil.copyfile(each, target.with_name(target.name + each.name.removeprefix(path.name)))
    try:
        database = sqlite3.connect(target)
        try:
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
            database.execute('PRAGMA journal_mode=DELETE').fetchall()
        finally:
            database.close()
    except SQLITE_ERRORS as error:
        raise InputError(
            f'{path} was not closed by its recorder, and its log cannot be read: {error}; '
            f'`sqlite3 {path.name} .recover | sqlite3 MENDED.db3` may mend it') from error
    return [f'{path} was not closed by its recorder; the messages in '
            f'{", ".join(each.name for each in journals)} are read too']


def _check_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(gettempdir()).free
    if needed > free:
        raise InputError(
            f'{path} must be unpacked into a copy of about {needed / 1e6:.0f} MB, and '
            f'{gettempdir()} has {free / 1e6:.0f} MB; TMPDIR names another folder')
