# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of numbered pictures: what belongs to them, and in which order."""
import re
from pathlib import Path

_NUMBER = re.compile(r'(\d+)')
# seconds since 1970 and their fraction, whose zeros at the end are left out by some that write it
_STAMP = re.compile(r'(?<!\d)(\d{9,10}\.)(\d{1,18})(?!\d)')
_DIGITS = 18


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key by which `frame_2` comes before `frame_10`, and `1700000000.15` before `1700000000.2`.
    """
    name = _STAMP.sub(lambda found: found[1] + found[2].ljust(_DIGITS, '0'), name)
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
