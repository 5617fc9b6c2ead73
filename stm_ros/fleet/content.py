# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a recording and its references hold, as digests; and remote ones brought here."""
import hashlib
import json
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stm_ros.fleet.library import Recording
from stm_ros.vision.errors import InputError

_CHUNK = 1 << 20
#: what tells versions of a remote file apart, as the file systems of fsspec name it
_MARKS = ('ETag', 'etag', 'md5Hash', 'content_md5', 'mtime', 'LastModified', 'last_modified',
          'created', 'size')


def digest_of_files(paths: Iterable[Path], root: Path | None = None) -> str:
    """A digest of names and contents.

    :param root: names are taken relative to it, or are the last part only.
    :raises InputError: naming the first file that cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        name = path.name if root is None else path.relative_to(root).as_posix()
        total.update(f'{len(name)}:{name}'.encode())
        try:
            with path.open('rb') as file:
                while chunk := file.read(_CHUNK):
                    total.update(chunk)
        except OSError as error:
            raise InputError(f'{path} cannot be read: {error.strerror or error}') from error
    return total.hexdigest()


def digest_of_text(*parts: Any) -> str:
    """A digest of what JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def content_digest(recording: Recording) -> str:
    """A digest of a recording: of what it holds, or for remote ones of what their host says of it.

    :raises InputError: where it is not there.
    """
    if not recording.is_remote:
        path = Path(recording.source)
        if path.is_dir():
            return digest_of_files(sorted(each for each in path.rglob('*') if each.is_file()), path)
        return digest_of_files([path])
    try:
        system, place = _remote(recording.source)
        found = system.find(place, detail=True)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f'{recording.source} cannot be reached: {error!r}') from error
    if not found:
        raise InputError(f'{recording.source} is not there')
    marks = {name: {mark: info[mark] for mark in _MARKS if info.get(mark) is not None}
             for name, info in found.items()}
    return digest_of_text(marks)


@contextmanager
def brought_here(recording: Recording) -> Iterator[Path]:
    """The recording as a local path; what was brought for it is removed in the end.

    :raises InputError: where it cannot be had.
    """
    if not recording.is_remote:
        yield Path(recording.source)
        return
    with TemporaryDirectory(prefix='stm_fleet_') as folder:
        try:
            system, place = _remote(recording.source)
            target = Path(folder) / Path(place.rstrip('/')).name
            system.get(place, str(target), recursive=not system.isfile(place))
        except InputError:
            raise
        # each file system has its own errors
        except Exception as error:
            raise InputError(f'{recording.source} cannot be had: {error!r}') from error
        yield target


def _remote(source: str) -> tuple[Any, str]:
    if find_spec('fsspec') is None:
        raise InputError(f'{source} is remote: pip install "stm_ros[fleet]" for fsspec')
    import fsspec
    try:
        return fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise InputError(f'{source}: {error}') from error
