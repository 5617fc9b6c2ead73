# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Snapshots: tensors and a JSON table in one safetensors file, written whole or not at all."""
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from stm_ros.vision.errors import StmError

FORMAT_VERSION = 6


class SnapshotError(StmError, ValueError):
    """A snapshot cannot be written or used; the message says why."""


def write_snapshot(path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `content` to `path`, atomically.

    A kill at any moment leaves the old file or the new one.

    :raises SnapshotError: where the folder is missing, read-only or full.
    """
    text = json.dumps({'format': FORMAT_VERSION, **content})
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {'content': text, 'checksum': _checksum(plain, text)}
    partial = path.with_name(f'.{os.getpid()}.partial')
    try:
        with partial.open('wb') as file:
            file.write(to_bytes(plain, metadata))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        # on a read-only file system even what is not there cannot be removed
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SnapshotError(f'cannot write the snapshot {path}: {error.strerror}') from error


def read_snapshot(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what write_snapshot wrote.

    :raises SnapshotError: for a missing or damaged file, or another version of the format.
    """
    if not path.is_file():
        raise SnapshotError(f'there is no snapshot {path}')
    try:
        with safe_open(str(path), framework='pt', device='cpu') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise SnapshotError(f'the snapshot {path} is damaged: {error}') from error
    text = metadata.get('content', '')
    if metadata.get('checksum') != _checksum(tensors, text):
        raise SnapshotError(f'the snapshot {path} is damaged: its checksum does not match')
    content = json.loads(text)
    if content.get('format') != FORMAT_VERSION:
        raise SnapshotError(f'the snapshot {path} has format {content.get("format")}; '
                            f'this version reads {FORMAT_VERSION}')
    return tensors, content


def is_snapshot(path: Path) -> bool:
    """Whether a file has the header of a snapshot; its tensors are not read."""
    try:
        with safe_open(str(path), framework='pt') as file:
            return {'content', 'checksum'} <= set(file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(to_bytes({'tensor': tensors[name].contiguous()}))
    return digest.hexdigest()
