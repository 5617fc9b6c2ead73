# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a recording and its references hold, as digests."""
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stm_ros.vision.errors import InputError

_CHUNK = 1 << 20


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


def content_digest(path: Path) -> str:
    """A digest of a file, or of a folder's files and their places in it.

    :raises InputError: where it cannot be read.
    """
    if path.is_dir():
        return digest_of_files(sorted(each for each in path.rglob('*') if each.is_file()), path)
    return digest_of_files([path])
