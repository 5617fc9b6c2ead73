# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of numbered pictures: what belongs to them, and in which order."""
import re
from pathlib import Path

_NUMBER = re.compile(r'(\d+)')


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key by which `frame_2` comes before `frame_10`."""
    return [(0, int(part), '') if part.isdecimal() else (1, 0, part)
            for part in _NUMBER.split(name) if part]


def visible_in(folder: Path) -> list[Path]:
    """What is in a folder in natural order, without what systems and editors hide there.

    Names that begin with a dot are `._*` of macOS, `.ipynb_checkpoints`, and the like.
    """
    return sorted((path for path in folder.iterdir() if not path.name.startswith('.')),
                  key=lambda path: natural_key(path.name))


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files with one of `suffixes` (lower case, with the dot), in natural order."""
    return [path for path in visible_in(folder)
            if path.suffix.lower() in suffixes and path.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, in natural order."""
    return [path for path in visible_in(folder) if path.is_dir()]
