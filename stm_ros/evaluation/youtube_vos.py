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

from stm_ros.evaluation.annotations import Style
from stm_ros.evaluation.annotations import read_annotation
from stm_ros.evaluation.sequences import Frame
from stm_ros.evaluation.sequences import LeftOut
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.sequences import choose
from stm_ros.evaluation.sequences import read_frames
from stm_ros.vision.errors import InputError

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
    found = [
        _load_sequence(name, videos[name], images / name, folder / 'Annotations' / name, seen)
        for name in choose(sorted(videos), wanted, folder)
    ]
    if not any(sequence.entries for sequence in found):
        told = next((item for sequence in found for item in sequence.left_out), None)
        raise InputError(f'{folder} shows no object to track' + (
            f': sequence {told.sequence}: {told.reason} {", ".join(told.names)}' if told else ''))
    return split, found


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
        videos = json.loads(path.read_text(encoding='utf-8-sig'))['videos']
        for video in videos.values():
            objects = video['objects']
            if len({int(ident) for ident in objects}) < len(objects):
                raise ValueError(f'an id is there twice among {", ".join(objects)}')
            for ident, target in objects.items():
                listed = target['frames']
                if not isinstance(listed, list) or not all(
                        isinstance(name, str) for name in listed):
                    raise ValueError(f'frames of object {ident} are {str(listed)[:60]}')
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path} is not a meta.json of YouTube-VOS ({{"videos": {{NAME: {{"objects": '
            f'{{ID: {{"frames": [NAME, ...]}}}}}}}}}}): {error or type(error).__name__}'
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
    frames, left_out = read_frames(images, annotations)
    objects = {int(ident): target for ident, target in video['objects'].items()}
    unseen = None
    if seen is not None and all('category' in target for target in objects.values()):
        unseen = frozenset(i for i, target in objects.items() if target['category'] not in seen)
    entries, shown = _find_entries(frames, frozenset(objects))
    entered = {ident for ids in entries.values() for ident in ids}
    ghosts = {ident for ids in shown.values() for ident in ids} - set(objects)
    names = {frame.name for frame in frames}
    absent = {name for target in objects.values() for name in target['frames']} - names
    if absent:
        left_out.append(LeftOut(name, 'meta.json lists frames that have no image',
                                tuple(sorted(absent))))
    for reason, ids in (('no annotation shows object', set(objects) - entered),
                        ('meta.json does not list object', ghosts)):
        if ids:
            left_out.append(LeftOut(name, reason, tuple(map(str, sorted(ids)))))
    return Sequence(
        name,
        Protocol.YOUTUBE_VOS,
        frames,
        entries=entries,
        left_out=tuple(left_out),
        shown=shown,
        listed={ident: frozenset(target['frames']) for ident, target in objects.items()},
        unseen=unseen,
    )


def _find_entries(
    frames: tuple[Frame, ...], ids: frozenset[int]
) -> tuple[dict[int, tuple[int, ...]], dict[int, frozenset[int]]]:
    """The frames on which objects are first annotated: those objects, and all that are there."""
    entries: dict[int, tuple[int, ...]] = {}
    shown: dict[int, frozenset[int]] = {}
    waiting = set(ids)
    for index, frame in enumerate(frames):
        if frame.annotation_path is None or not waiting:
            continue
        annotation = read_annotation(frame.annotation_path, Style.IDS, ids)
        present = {int(value) for value in np.unique(annotation)} - {0}
        entering = waiting & present
        if entering:
            entries[index] = tuple(sorted(entering))
            shown[index] = frozenset(present)
            waiting -= entering
    return entries, shown
