# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files at addresses that fsspec knows, such as s3://bucket/bag.mcap: listed, known, brought here.

Addresses are those of a file or of a folder. A folder at http(s):// is the page of links that a
server makes of one, so that it must make one.
"""
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pathlib import PurePosixPath
from tempfile import TemporaryDirectory
from tempfile import gettempdir
from typing import Any
from urllib.parse import quote
from urllib.parse import unquote
from urllib.parse import urlsplit

from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import is_running

#: what tells versions of a file apart, as the file systems of fsspec name it
_MARKS = ('ETag', 'etag', 'md5Hash', 'content_md5', 'Content-MD5', 'Digest', 'mtime',
          'LastModified', 'last_modified', 'Last-Modified', 'created')
#: without a byte, after which a server of http counts as gone; a whole bag may take hours
_SILENCE_SECONDS = 60
_PREFIX = 'stm_fleet_'


@dataclass(frozen=True)
class Found:
    """What lies at an address. files: names within it and places as its file system has them; a
    file is the only one within itself.
    """

    address: str
    system: Any
    is_folder: bool
    files: dict[str, str]

    def address_of(self, name: str) -> str:
        """The address of a file of a folder, or of a folder in it."""
        base = self.address.rstrip('/')
        return f'{base}/{_quoted(self.address, name)}'


def is_address(place: str) -> bool:
    """Whether a text is an address rather than a path."""
    return '://' in place


def name_at(address: str) -> str:
    """The last part of an address: the name of its file or folder."""
    return unquote(PurePosixPath(urlsplit(address).path).name) if _is_http(address) \
        else PurePosixPath(address.rstrip('/')).name


def beside(address: str, name: str) -> str:
    """The address of what lies beside an address under a relative name."""
    return f'{address.rpartition("/")[0]}/{_quoted(address, name)}'


def look_at(address: str) -> Found:
    """What lies at an address.

    :raises InputError: naming it, where nothing does or its host cannot be asked.
    """
    with _said_of(address, 'cannot be reached'):
        system, place = _system_of(address)
        info = system.info(place)
        is_page = _is_http(address) and str(info.get('mimetype')).startswith('text/html')
        if info['type'] != 'directory' and not is_page:
            return Found(address, system, False, {name_at(address): place})
        base = place.rstrip('/') + '/'
        # a page's own links, by which it is sorted, are no files
        files = {_plain(address, each.removeprefix(base)): each for each in system.find(place)
                 if each.startswith(base) and not (_is_http(address) and '?' in each)}
        if not files:
            raise InputError(f'{address} is a folder without files, or a page without links to any')
        return Found(address, system, True, dict(sorted(files.items())))


def exists_at(address: str) -> bool:
    """Whether there is a file or folder.

    :raises InputError: where its host cannot be asked.
    """
    with _said_of(address, 'cannot be reached'):
        system, place = _system_of(address)
        return bool(system.exists(place))


def marks_at(address: str) -> dict[str, dict[str, Any]] | None:
    """What its host says that changes with the content, by file; None where that says too little.

    :raises InputError: where nothing is there.
    """
    found = look_at(address)
    marks = {}
    with _said_of(address, 'cannot be reached'):
        for name, place in found.files.items():
            info = found.system.info(place)
            marks[name] = {mark: str(info[mark]) for mark in _MARKS if info.get(mark) is not None}
            if not marks[name]:
                return None
            marks[name]['size'] = info.get('size')
    return marks


def read_text_at(address: str) -> str:
    """A text file in UTF-8.

    :raises InputError: where it cannot be had.
    """
    with _said_of(address, 'cannot be read'):
        system, place = _system_of(address)
        return str(system.cat_file(place).decode('utf-8'))


@contextmanager
def folder_for_copies() -> Iterator[Path]:
    """A folder for what is brought here, removed in the end, as is what killed workers left."""
    ours = f'{_PREFIX}{socket.gethostname()}_'
    for left in Path(gettempdir()).glob(f'{ours}*'):
        owner = re.match(r'\d+', left.name.removeprefix(ours))
        if owner and not is_running(int(owner[0])):
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f'{ours}{os.getpid()}_') as folder:
        yield Path(folder)


def bring(address: str, folder: Path) -> Path:
    """Copy a file or folder from an address into a folder; where it lies there.

    :raises InputError: where it cannot be had, or arrives with another size than its host says.
    """
    found = look_at(address)
    target = folder / name_at(address)
    with _said_of(address, 'cannot be had'):
        for name, place in found.files.items():
            path = target / name if found.is_folder else target
            if target.resolve() not in (path.resolve(), *path.resolve().parents):
                raise InputError(f'{address} lists {name!r}, which lies outside')
            path.parent.mkdir(parents=True, exist_ok=True)
            found.system.get_file(place, str(path))
            size, came = found.system.info(place).get('size'), path.stat().st_size
            if size is not None and came != size:
                raise InputError(f'{address} cannot be had: {came} of {size} bytes of {name} came')
    return target


@contextmanager
def _said_of(address: str, what: str) -> Iterator[None]:
    """Say an error with the address: each file system of fsspec has its own."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        why = error.__cause__
        # so says the file system of http of a host that is not there or refuses, too
        refused = (isinstance(why, OSError) and not isinstance(why, FileNotFoundError)
                   or getattr(why, 'status', 404) != 404)
        raise InputError(f'{address} ' + (f'{what}: {why!r}' if refused else 'is not there')
                         ) from error
    except Exception as error:
        raise InputError(f'{address} {what}: {error!r}') from error


def _system_of(address: str) -> tuple[Any, str]:
    if find_spec('fsspec') is None:
        raise InputError(f'{address} is remote: pip install "stm_ros[fleet]" for fsspec')
    import fsspec
    try:
        return fsspec.core.url_to_fs(address, **_options_for(address))
    except (ImportError, ValueError) as error:
        raise InputError(f'{address}: {error}') from error


def _options_for(address: str) -> dict[str, Any]:
    """Without a limit of five minutes for a whole file, which aiohttp has."""
    if not _is_http(address) or find_spec('aiohttp') is None:
        return {}
    from aiohttp import ClientTimeout
    return {'client_kwargs': {'timeout': ClientTimeout(
        total=None, sock_connect=_SILENCE_SECONDS, sock_read=_SILENCE_SECONDS)}}


def _is_http(address: str) -> bool:
    return address.startswith(('http://', 'https://'))


def _plain(address: str, name: str) -> str:
    return unquote(name) if _is_http(address) else name


def _quoted(address: str, name: str) -> str:
    return quote(name) if _is_http(address) else name
