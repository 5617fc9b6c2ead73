# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Download one file: what broke off goes on where it stopped, and nothing half stands at the end.

What has come lies in `<file>.part`, and the server's mark of that version of the file in
`<file>.part.mark`: another version is never glued to it.
"""
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

#: a file larger than this is refused
MOST_BYTES = 4_000_000_000
#: times in a row that a connection may end without a single byte
MOST_FAILURES = 5
_TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 1.0
_CHUNK = 1 << 18
_PARTIAL = 206
_NOT_SATISFIABLE = 416

Progress = Callable[[int, int | None], None]


class DownloadError(OSError):
    """A download did not come to an end; the message says why, and what is kept."""


def download(url: str, target: Path, sha256: str | None = None,
             on_progress: Progress = lambda received, total: None,
             pause: float = _PAUSE_SECONDS) -> str:
    """Download `url` to `target`, which appears when all of it is there and right.

    :param sha256: what the file must have, in hexadecimal; None where nobody states it.
    :param on_progress: told the bytes that are there, and how many there will be, if known.
    :param pause: seconds before another try.
    :return: the SHA-256 of what came.
    :raises DownloadError: where it cannot be had, is too large or has another checksum; what is
        whole and wrong is removed, what is partial stays and the next call goes on with it.
    """
    if not url.startswith(('https://', 'http://')):
        raise DownloadError(f'{url} is no address of the web; https:// and http:// are accepted')
    if target.exists():
        raise DownloadError(f'{target} is there already and is not overwritten')
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + '.part')
    failures = 0
    while True:
        before = _size(part)
        try:
            _receive(url, part, on_progress)
            break
        except urllib.error.HTTPError as error:
            raise DownloadError(f'{url} answers {error.code} {error.reason}{_kept(part)}'
                                ) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, DownloadError):
                raise
            failures = 0 if _size(part) > before else failures + 1
            if failures >= MOST_FAILURES:
                raise DownloadError(f'{url} cannot be downloaded: {error}{_kept(part)}') from error
            time.sleep(pause)
    found = sha256_of(part)
    if sha256 is not None and found != sha256.lower():
        _forget(part)
        raise DownloadError(f'{url} has the SHA-256 {found}, not {sha256.lower()}: it is another '
                            'file or was damaged on the way, and was removed')
    os.replace(part, target)
    _mark_of(part).unlink(missing_ok=True)
    return found


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _receive(url: str, part: Path, on_progress: Progress) -> None:
    """Append to `part` until all is there.

    :raises OSError: or http.client.HTTPException where the connection ends before.
    """
    held, mark = _size(part), _read_mark(part)
    headers = {'User-Agent': 'stm_ros', 'Accept-Encoding': 'identity'}
    if held and mark:
        headers.update({'Range': f'bytes={held}-', 'If-Range': mark})
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == _NOT_SATISFIABLE and held:
            # what is there is not the beginning of what the server has now
            _forget(part)
            return _receive(url, part, on_progress)
        raise
    with response:
        goes_on = response.status == _PARTIAL and _starts_at(response) == held
        start = held if goes_on else 0
        length = response.headers.get('Content-Length')
        total = start + int(length) if length is not None else None
        if total is not None and total > MOST_BYTES:
            raise DownloadError(f'{url} has {total} bytes; up to {MOST_BYTES} are accepted')
        if not goes_on:
            _write_mark(part, response)
        with part.open('ab' if goes_on else 'wb') as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                if file.tell() > MOST_BYTES:
                    raise DownloadError(f'{url} has more than {MOST_BYTES} bytes')
                on_progress(file.tell(), total)
    if total is not None and _size(part) < total:
        raise ConnectionError(f'the connection ended after {_size(part)} of {total} bytes')


def _starts_at(response: http.client.HTTPResponse) -> int | None:
    """The first byte of a partial answer."""
    unit, _, span = response.headers.get('Content-Range', '').partition(' ')
    first = span.partition('-')[0]
    return int(first) if unit == 'bytes' and first.isdecimal() else None


def _mark_of(part: Path) -> Path:
    return part.with_name(part.name + '.mark')


def _read_mark(part: Path) -> str | None:
    mark = _mark_of(part)
    return mark.read_text() if mark.is_file() else None


def _write_mark(part: Path, response: http.client.HTTPResponse) -> None:
    """Keep what tells this version of the file from others; without it, nothing can go on."""
    mark = response.headers.get('ETag') or response.headers.get('Last-Modified')
    if mark and not mark.startswith('W/'):
        _mark_of(part).write_text(mark)
    else:
        _mark_of(part).unlink(missing_ok=True)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _mark_of(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _kept(part: Path) -> str:
    size = _size(part)
    return f'; {size} bytes are kept in {part}, the next try goes on from there' if size else ''
