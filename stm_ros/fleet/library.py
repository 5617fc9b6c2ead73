# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which recordings there are: a manifest, or a folder of bags and videos."""
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.parse import urlsplit

import yaml

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
    address of a file or bag folder as fsspec takes it, such as s3://bucket/bag.mcap. references: a
    folder of known objects, as `stm memory export` writes it.
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
        return '://' in self.source


_FIELDS = {field.name for field in fields(Recording)}


def local_path(address: str) -> Path:
    """The path of a manifest or folder, which may be given as file://...

    :raises InputError: for an address elsewhere; a manifest's recordings may be there.
    """
    if address.startswith('file://'):
        return Path(unquote(urlsplit(address).path))
    if '://' in address:
        raise InputError(f'{address}: a manifest or folder of this machine is needed; its '
                         'recordings may be at such addresses, one "source" each')
    return Path(address)


def read_library(path: Path, defaults: dict[str, Any]) -> list[Recording]:
    """The recordings of a manifest or of a folder, in order of name.

    :param defaults: values of Recording for what the manifest does not say.
    :raises InputError: naming the file and entry that cannot be used.
    """
    if path.is_dir():
        recordings = [Recording(name, str(source), **_shown_beside(source, defaults))
                      for name, source in _found_in(path)]
        if not recordings:
            raise InputError(f'{path} holds no bag (a folder with metadata.yaml, '
                             f'{", ".join(STORAGE_SUFFIXES)}) and no video '
                             f'({", ".join(VIDEO_SUFFIXES)})')
    else:
        recordings = _of_manifest(path, defaults)
    if len(recordings) > MOST_RECORDINGS:
        raise InputError(f'{path} has {len(recordings)} recordings; up to {MOST_RECORDINGS} are '
                         'accepted')
    names = [recording.name for recording in recordings]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f'{path} has several recordings named {", ".join(twice[:5])}')
    return sorted(recordings, key=lambda recording: recording.name)


def _found_in(folder: Path) -> list[tuple[str, Path]]:
    """Bags and videos below a folder, with a name made of their place in it."""
    bags = {path.parent for path in folder.rglob(METADATA)}
    files = [path for path in folder.rglob('*') if path.parent not in bags
             and (storage_suffix(path) is not None or path.suffix.lower() in VIDEO_SUFFIXES)]
    found = []
    for path in sorted([*bags, *files]):
        place = path.relative_to(folder)
        words = [*place.parts[:-1], place.name if path in bags else place.stem]
        found.append((re.sub(r'[^\w.@+-]', '_', '-'.join(words)).lstrip('.') or 'bag', path))
    return found


def _shown_beside(source: Path, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults, or the mask that lies beside a recording and counts more."""
    mask = source.with_name((source.name if source.is_dir() else source.stem) + _MASK_SUFFIX)
    if not mask.is_file():
        return defaults
    kept = {name: value for name, value in defaults.items()
            if name not in ('box', 'references', 'reference_image')}
    return {**kept, 'reference_mask': str(mask)}


def _of_manifest(path: Path, defaults: dict[str, Any]) -> list[Recording]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
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
        values.setdefault('name', Path(entry['source'].rstrip('/')).stem)
        try:
            made.append(_beside(Recording(**values), path.parent))
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


def _beside(recording: Recording, folder: Path) -> Recording:
    """With relative paths taken from where the manifest lies."""
    def placed(value: str | None) -> str | None:
        return value if value is None or '://' in value else str(folder / value)
    source = placed(recording.source)
    assert source is not None
    return replace(recording, source=source, reference_image=placed(recording.reference_image),
                   reference_mask=placed(recording.reference_mask),
                   references=placed(recording.references))


def files_of(recording: Recording) -> Iterable[Path]:
    """The local files that show the recording's targets."""
    for name in (recording.reference_image, recording.reference_mask, recording.references):
        if name is not None:
            path = Path(name)
            inside = path.rglob('*') if path.is_dir() else [path]
            yield from sorted(each for each in inside if not each.is_dir())
