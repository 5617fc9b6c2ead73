# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""DAVIS-2016, DAVIS-2017, and any folder laid out like them.

Layout: `JPEGImages/<resolution>/<sequence>/<frame>.jpg`, the same under `Annotations` with .png,
and `ImageSets/<year or resolution>/<split>.txt`. The resolution's folder and the ImageSets may be
left out.
"""
from collections.abc import Sequence as Items
from pathlib import Path

from stm_ros.evaluation.annotations import ONLY_ID
from stm_ros.evaluation.annotations import style_of
from stm_ros.evaluation.sequences import IMAGE_SUFFIXES
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.sequences import choose
from stm_ros.evaluation.sequences import read_frames
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_folders import files_in
from stm_ros.vision.image_folders import folders_in


def load_sequences(
    protocol: Protocol, root: Path, split: str | None, wanted: Items[str], resolution: str
) -> tuple[str, list[Sequence]]:
    """The split's name and its sequences; those in `wanted` need not be in the split.

    Raises InputError where `root` is not laid out so.
    """
    images = _resolution_folder(root / 'JPEGImages', resolution)
    annotations = _resolution_folder(root / 'Annotations', resolution)
    split, names = _davis_split(protocol, root, split, images)
    if not names:
        raise InputError(f'split {split} of {root} lists no sequence')
    available = [path.name for path in folders_in(images)]
    chosen = choose(available, wanted, images) if wanted else names
    return split, [
        _davis_sequence(protocol, name, images / name, annotations / name) for name in chosen
    ]


def _davis_sequence(
    protocol: Protocol, name: str, images: Path, annotations: Path
) -> Sequence:
    frames, orphans = read_frames(images, annotations)
    first = frames[0].annotation_path
    if first is None:
        told = f'; it holds {orphans[0].names[0]}.png, and masks belong to images by name' if (
            orphans) else ''
        raise InputError(
            f'{annotations} has no {frames[0].name}.png: the first mask is needed{told}')
    style, ids = style_of(first)
    if not ids:
        raise InputError(f'{first} holds no object')
    if protocol is Protocol.DAVIS_2016:
        ids = (ONLY_ID,)
    return Sequence(name, protocol, frames, {0: ids}, style, tuple(orphans))


def _resolution_folder(folder: Path, resolution: str) -> Path:
    """The folder whose subfolders are sequences: `folder/<resolution>` or `folder` itself."""
    if not folder.is_dir():
        raise InputError(
            f'{folder} is missing: a DAVIS folder has JPEGImages/<resolution>/<sequence> and '
            'Annotations/<resolution>/<sequence>'
        )
    if (folder / resolution).is_dir():
        return folder / resolution
    nested = [path for path in folders_in(folder) if folders_in(path)]
    if not nested:
        return folder
    if len(nested) == 1:
        return nested[0]
    raise InputError(
        f'{folder} has no {resolution}: choose --resolution from '
        f'{", ".join(path.name for path in nested)}'
    )


def _davis_split(
    protocol: Protocol, root: Path, split: str | None, images: Path
) -> tuple[str, list[str]]:
    """The split's name and its sequences; all there are where the folder has no ImageSets."""
    year = protocol.value.removeprefix('davis')
    folders = [root / 'ImageSets' / year, root / 'ImageSets' / '480p', root / 'ImageSets']
    lists = {path.stem: path for folder in reversed(folders) if folder.is_dir()
             for path in files_in(folder, ('.txt',))}
    if not lists and split is None:
        return 'all', [path.name for path in folders_in(images)]
    if split is None:
        split = 'val' if 'val' in lists else next(iter(lists)) if len(lists) == 1 else ''
    if split not in lists:
        raise InputError(
            f'{root / "ImageSets"} has no split {split or "val"}: '
            f'there are {", ".join(sorted(lists)) or "none"}'
        )
    try:
        lines = lists[split].read_text(encoding='utf-8-sig').splitlines()
    except UnicodeError as error:
        raise InputError(f'{lists[split]} is no list in UTF-8: {error}') from error
    return split, list(dict.fromkeys(_sequence_of(line) for line in lines if line.strip()))


def _sequence_of(line: str) -> str:
    """The sequence that a split's line names.

    DAVIS-2016 lists `/JPEGImages/480p/NAME/00000.jpg /Annotations/...`, DAVIS-2017 `NAME`.
    """
    word = Path(line.split()[0])
    return word.parent.name if word.suffix.lower() in IMAGE_SUFFIXES else word.name
