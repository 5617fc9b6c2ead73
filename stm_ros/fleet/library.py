# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which recordings there are: a manifest, or a folder of bags and videos, here or elsewhere."""
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote
from urllib.parse import urlsplit

import yaml

from stm_ros.fleet.remote import Found
from stm_ros.fleet.remote import beside
from stm_ros.fleet.remote import exists_at
from stm_ros.fleet.remote import is_address
from stm_ros.fleet.remote import look_at
from stm_ros.fleet.remote import name_at
from stm_ros.fleet.remote import read_text_at
from stm_ros.replay.bag_names import METADATA
from stm_ros.replay.bag_names import STORAGE_SUFFIXES
from stm_ros.replay.bag_names import storage_suffix
from stm_ros.replay.frames import DEFAULT_RATE
from stm_ros.vision.errors import InputError

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm')
#: recordings of one library; more are refused
MOST_RECORDINGS = 100_000
_MASK_SUFFIX = '.mask.png'


@dataclass(frozen=True)
class Recording:
    """One recording and how its targets are shown; the names are those of `stm replay`.

    name: tells it from the others of the library, and names its folder. source: a path, or the
    address of a file or bag folder as fsspec takes it, such as s3://bucket/bag.mcap; so are those
    that show targets. references: a folder of known objects, as `stm memory export` writes it.
    """

    name: str
    source: str
    topic: str | None = None
    reference_image: str | None = None
    reference_mask: str | None = None
    box: str | None = None
    references: str | None = None
    target_id: int = 1
    label: str | None = None
    rate: float = DEFAULT_RATE
    max_frames: int | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without looking at files.

        :raises InputError: for a name that is no file name, or targets shown twice or not at all.
        """
        if not re.fullmatch(r'[\w.@+-]+', self.name) or self.name.startswith('.'):
            raise InputError(f'{self.name!r} is no name for a recording: letters, digits and '
                             '_ . @ + - are accepted')
        shown = [name for name in ('reference_mask', 'box', 'references')
                 if getattr(self, name) is not None]
        if len(shown) != 1:
            raise InputError(
                f'{self.name}: targets are shown by one of reference_mask, box and references; '
                f'given are {", ".join(shown) or "none"}'
                + ('' if shown else f' (a mask may also lie beside it as <name>{_MASK_SUFFIX})'))
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f'{self.name}: max_frames is {self.max_frames}; 1 or more is accepted')

    @property
    def is_remote(self) -> bool:
        """Whether the source is an address rather than a path."""
        return is_address(self.source)

    @property
    def shown_by(self) -> dict[str, str]:
        """The files and folders that show its targets, by field."""
        return {name: value for name in SHOWN_BY if (value := getattr(self, name)) is not None}


_FIELDS = {field.name for field in fields(Recording)}
#: fields of what shows targets, each a path or an address
SHOWN_BY = ('reference_image', 'reference_mask', 'references')


def library_at(place: str) -> Path | str:
    """A path of this machine, which may be given as file://..., or else the address as it is."""
    if place.startswith('file://'):
        return Path(unquote(urlsplit(place).path))
    return place if is_address(place) else Path(place)


def read_library(library: Path | str, defaults: dict[str, Any]) -> list[Recording]:
    """The recordings of a manifest or of a folder, in order of name.

    :param library: as library_at gives it. :param defaults: values of Recording for what the
        manifest does not say.
    :raises InputError: naming the file and entry that cannot be used.
    """
    files = _files_in(library)
    if files is not None:
        recordings = _of_folder(files, defaults)
        if not recordings:
            raise InputError(f'{library} holds no bag (a folder with metadata.yaml, '
                             f'{", ".join(STORAGE_SUFFIXES)}) and no video '
                             f'({", ".join(VIDEO_SUFFIXES)})')
    else:
        recordings = _of_manifest(library, defaults)
    if len(recordings) > MOST_RECORDINGS:
        raise InputError(f'{library} has {len(recordings)} recordings; up to {MOST_RECORDINGS} '
                         'are accepted')
    names = [recording.name for recording in recordings]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f'{library} has several recordings named {", ".join(twice[:5])}')
    return sorted(recordings, key=lambda recording: recording.name)


@dataclass(frozen=True)
class _Files:
    """The files of a library's folder, by their places in it."""

    folder: Path | Found
    names: frozenset[PurePosixPath]

    def at(self, name: PurePosixPath) -> str:
        """The path or address of one of them, or of a folder among them."""
        if isinstance(self.folder, Path):
            return str(self.folder / name)
        return self.folder.address_of(name.as_posix()) if name.name else self.folder.address

    def mask_of(self, place: PurePosixPath) -> str | None:
        """The mask beside a bag or video, if there is one."""
        stem = place.name if place not in self.names else place.stem
        if stem:
            mask = place.with_name(stem + _MASK_SUFFIX)
            return self.at(mask) if mask in self.names else None
        if isinstance(self.folder, Path):
            # the folder is itself a bag
            beside_it = self.folder.resolve().with_name(self.folder.resolve().name + _MASK_SUFFIX)
            return str(beside_it) if beside_it.is_file() else None
        address = self.folder.address.rstrip('/')
        mask_there = beside(address, name_at(address) + _MASK_SUFFIX)
        return mask_there if exists_at(mask_there) else None


def _files_in(library: Path | str) -> _Files | None:
    """The files of a folder here or elsewhere; None for a file, such as a manifest."""
    if isinstance(library, Path):
        if not library.is_dir():
            return None
        return _Files(library, frozenset(
            PurePosixPath(path.relative_to(library)) for path in library.rglob('*')
            if path.is_file()))
    found = look_at(library)
    return _Files(found, frozenset(map(PurePosixPath, found.files))) if found.is_folder else None


def _of_folder(files: _Files, defaults: dict[str, Any]) -> list[Recording]:
    """Bags and videos among files, with a name made of their place."""
    bags = {name.parent for name in files.names if name.name == METADATA}
    single = [name for name in files.names if name.parent not in bags and (
        storage_suffix(Path(name)) is not None or name.suffix.lower() in VIDEO_SUFFIXES)]
    made = []
    for place in sorted([*bags, *single]):
        last = place.name if place in bags else place.stem
        name = re.sub(r'[^\w.@+-]', '_', '-'.join([*place.parts[:-1], last])).lstrip('.') or 'bag'
        mask, shown = files.mask_of(place), defaults
        if mask is not None:
            # what lies beside a recording counts more
            shown = {field: value for field, value in defaults.items()
                     if field not in ('box', 'references', 'reference_image')}
            shown = {**shown, 'reference_mask': mask}
        made.append(Recording(name, files.at(place), **shown))
    return made


def _of_manifest(path: Path | str, defaults: dict[str, Any]) -> list[Recording]:
    try:
        content = yaml.safe_load(read_text_at(path) if isinstance(path, str)
                                 else path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f'{path} is no folder, and cannot be read as a manifest: {error}'
                         ) from error
    if not isinstance(content, dict) or not isinstance(content.get('recordings'), list) \
            or set(content) - {'recordings', 'defaults'}:
        raise InputError(f'{path} is no manifest: a list "recordings", and perhaps "defaults", '
                         'are accepted')
    if not content['recordings']:
        raise InputError(f'{path} lists no recording')
    common = content.get('defaults') or {}
    made = []
    for number, entry in enumerate(content['recordings'], start=1):
        where = f'{path}, recording {number}'
        entry = {'source': entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not isinstance(entry.get('source'), str):
            raise InputError(f'{where} has no source')
        values = _merged(defaults, common, entry)
        unknown = sorted(set(values) - _FIELDS)
        if unknown:
            raise InputError(f'{where}: {", ".join(map(str, unknown))} is not accepted; accepted '
                             f'are {", ".join(sorted(_FIELDS))}')
        values.setdefault('name', Path(name_at(entry['source'])).stem)
        try:
            made.append(_beside(Recording(**values), path))
        except (InputError, TypeError) as error:
            raise InputError(f'{where}: {error}') from error
    return made


def _merged(*levels: dict[str, Any]) -> dict[str, Any]:
    """Values by name, those further on counting more; one way of showing takes away another."""
    ways = {'reference_mask', 'box', 'references'}
    values: dict[str, Any] = {}
    for level in levels:
        if ways & set(level):
            values = {name: value for name, value in values.items() if name not in ways}
        values.update(level)
    return values


def _beside(recording: Recording, manifest: Path | str) -> Recording:
    """With relative paths taken from where the manifest lies."""
    def placed(value: str) -> str:
        if is_address(value):
            return value
        return beside(manifest, value) if isinstance(manifest, str) \
            else str(manifest.parent / value)
    shown: dict[str, Any] = {name: placed(value) for name, value in recording.shown_by.items()}
    return replace(recording, source=placed(recording.source), **shown)


def paths_of(recordings: Iterable[Recording]) -> list[Path]:
    """Everything of this machine that they are read from, each once: files and folders."""
    read = {place for recording in recordings
            for place in (recording.source, *recording.shown_by.values())}
    return [Path(place) for place in sorted(read) if not is_address(place)]
