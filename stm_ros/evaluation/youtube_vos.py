# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""YouTube-VOS: its folder, and the archive its server takes.

Layout: `ROOT/<split>/{JPEGImages,Annotations}/<sequence>` and `ROOT/<split>/meta.json`, which
lists per object the frames on which it is annotated (or, in splits whose annotations are held
back, to be submitted).
"""
import json
from collections.abc import Iterable
from collections.abc import Sequence as Items
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED
from zipfile import ZipFile
from zipfile import ZipInfo

import numpy as np

from stm_ros.evaluation.label_files import read_label_file
from stm_ros.evaluation.sequences import Frame
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.sequences import choose
from stm_ros.evaluation.sequences import read_frames
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import IGNORED_LABEL

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The archive's time stamp, so that equal results give equal archives."""


def load_sequences(
    root: Path, split: str | None, wanted: Items[str]
) -> tuple[str, list[Sequence]]:
    """The split's name and its sequences.

    Raises InputError where `root` is not laid out like YouTube-VOS.
    """
    split, folder = _split_folder(root, split)
    videos = _read_meta(folder / 'meta.json')
    seen = _training_categories(root)
    images = folder / 'JPEGImages'
    if (folder.parent / f'{folder.name}_all_frames').is_dir():
        images = folder.parent / f'{folder.name}_all_frames' / 'JPEGImages'
    return split, [
        _load_sequence(name, videos[name], images / name, folder / 'Annotations' / name, seen)
        for name in choose(sorted(videos), wanted, folder)
    ]


def write_archive(path: Path, predictions: Path, sequences: Iterable[Sequence]) -> int:
    """Pack the label maps that the server wants as `Annotations/<sequence>/<frame>.png`.

    Returns how many there are. Raises InputError where one is missing.
    """
    count = 0
    with ZipFile(path, 'w', ZIP_STORED) as archive:
        for sequence in sequences:
            wanted = frozenset[str]().union(*(sequence.listed or {}).values())
            for frame in sequence.frames:
                if frame.name not in wanted:
                    continue
                source = predictions / sequence.name / f'{frame.name}.png'
                if not source.is_file():
                    raise InputError(f'{source} is missing: the server wants it')
                inside = f'Annotations/{sequence.name}/{frame.name}.png'
                archive.writestr(ZipInfo(inside, EPOCH), source.read_bytes())
                count += 1
    return count


def _split_folder(root: Path, split: str | None) -> tuple[str, Path]:
    if split is None and (root / 'meta.json').is_file():
        return root.name, root
    split = split or 'valid'
    # DAVIS says val where YouTube-VOS says valid
    for name in (split, 'valid') if split == 'val' else (split,):
        if (root / name / 'meta.json').is_file():
            return name, root / name
    raise InputError(
        f'{root / split / "meta.json"} is missing: YouTube-VOS has '
        '<split>/{JPEGImages,Annotations,meta.json}'
    )


def _read_meta(path: Path) -> dict[str, dict[str, Any]]:
    try:
        videos = json.loads(path.read_text(encoding='utf-8'))['videos']
        for video in videos.values():
            for ident, target in video['objects'].items():
                int(ident), list(target['frames'])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path} is not a meta.json of YouTube-VOS '
            '({"videos": {NAME: {"objects": {ID: {"frames": [...]}}}}})'
        ) from error
    return videos


def _training_categories(root: Path) -> frozenset[str] | None:
    """The categories that the training split holds, or None where it is not there."""
    path = root / 'train' / 'meta.json'
    if not path.is_file():
        return None
    targets = (item for video in _read_meta(path).values() for item in video['objects'].values())
    return frozenset(item['category'] for item in targets if 'category' in item)


def _load_sequence(
    name: str,
    video: dict[str, Any],
    images: Path,
    annotations: Path,
    seen: frozenset[str] | None,
) -> Sequence:
    frames = read_frames(images, annotations)
    objects = {int(ident): target for ident, target in video['objects'].items()}
    unseen = None
    if seen is not None and all('category' in target for target in objects.values()):
        unseen = frozenset(i for i, target in objects.items() if target['category'] not in seen)
    return Sequence(
        name,
        Protocol.YOUTUBE_VOS,
        frames,
        entries=_find_entries(name, frames, frozenset(objects)),
        listed={ident: frozenset(target['frames']) for ident, target in objects.items()},
        unseen=unseen,
    )


def _find_entries(
    name: str, frames: tuple[Frame, ...], ids: frozenset[int]
) -> dict[int, tuple[int, ...]]:
    """The frame on which each object is first annotated."""
    entries: dict[int, tuple[int, ...]] = {}
    waiting = set(ids)
    for index, frame in enumerate(frames):
        if frame.annotation_path is None or not waiting:
            continue
        present = {int(value) for value in np.unique(read_label_file(frame.annotation_path))}
        entering = waiting & present - {0, IGNORED_LABEL}
        if entering:
            entries[index] = tuple(sorted(entering))
            waiting -= entering
    if waiting:
        raise InputError(
            f'sequence {name}: no annotation shows object {", ".join(map(str, sorted(waiting)))}'
        )
    return entries
