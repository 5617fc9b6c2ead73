# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on disk: DAVIS-2016, DAVIS-2017, YouTube-VOS, and folders laid out like DAVIS."""
from collections.abc import Sequence as Items
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import yaml

from stm_ros.evaluation import davis
from stm_ros.evaluation import youtube_vos
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.sequences import Sequence
from stm_ros.vision.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """The sequences of one split, and the protocol they are scored by."""

    protocol: Protocol
    root: Path
    split: str
    sequences: tuple[Sequence, ...]


def load_benchmark(
    protocol: Protocol,
    root: Path,
    split: str | None = None,
    sequences: Items[str] = (),
    resolution: str = '480p',
    attributes: Path | None = None,
) -> Benchmark:
    """Find the sequences of a benchmark under `root`.

    `split` names a file of `ImageSets` (DAVIS) or a folder (YouTube-VOS); without one it is
    `val` or `valid`, or the only one there is. `sequences` chooses some by name. `resolution`
    is the folder under `JPEGImages` and `Annotations`, where there are several. `attributes` is
    a YAML file in the form of DAVIS-2016's db_info.yml or a mapping of sequence to list; without
    it `db_info.yml` under `root` is used where it exists.
    Raises InputError where the folder is not laid out so, or a sequence is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f'{root} is not a folder')
    if protocol is Protocol.YOUTUBE_VOS:
        split, found = youtube_vos.load_sequences(root, split, sequences)
    else:
        split, found = davis.load_sequences(
            protocol, root, split, sequences, resolution
        )
    tags = read_attributes(root, attributes)
    found = [replace(item, attributes=tags.get(item.name, ())) for item in found]
    return Benchmark(protocol, root, split, tuple(found))


def read_attributes(root: Path, path: Path | None) -> dict[str, tuple[str, ...]]:
    """The attributes (occlusion, fast motion, ...) of each sequence, by its name.

    Raises InputError where the file has another form.
    """
    if path is None:
        path = root / 'db_info.yml'
        if not path.is_file():
            return {}
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
        if 'sequences' in content:
            pairs = [(item['name'], item['attributes']) for item in content['sequences']]
        else:
            pairs = list(content.items())
        if strings := [tags for _, tags in pairs if isinstance(tags, str)]:
            raise TypeError(f'{strings[0]!r} is no list')
        return {str(name): tuple(map(str, tags or ())) for name, tags in pairs}
    except (TypeError, KeyError, AttributeError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(
            f'{path} is not a list of attributes: accepted are the form of db_info.yml '
            '(sequences: [{name, attributes}]) and {sequence: [attributes]}'
        ) from error
