# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Sequences of a benchmark: frames, objects, and what is scored.

A sequence is a list of frames, each an image file and, where it is annotated, a label map; the
protocol says how an annotation is to be understood.
"""
from collections.abc import Sequence as Items
from dataclasses import dataclass
from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from stm_ros.evaluation.label_files import read_image
from stm_ros.evaluation.label_files import read_label_file
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import IGNORED_LABEL

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png'})


class Protocol(Enum):
    """How annotations are understood and scored; the value is the command line's name."""

    DAVIS_2016 = 'davis2016'
    DAVIS_2017 = 'davis2017'
    YOUTUBE_VOS = 'youtube-vos'


@dataclass(frozen=True)
class Frame:
    """An image file and, where there is one, its annotation."""

    name: str
    image_path: Path
    annotation_path: Path | None = None

    def read_image(self) -> np.ndarray:
        """The image, H×W×3 uint8 RGB."""
        return read_image(self.image_path)


@dataclass(frozen=True)
class Sequence:
    """A video: its frames in order, and when each of its objects is shown to the tracker.

    `entries` maps a frame's index to the ids first annotated there. Of YouTube-VOS only: `listed`
    maps an id to the names of the frames that count for it, and `unseen` holds the ids whose
    category the training set lacks (None where nobody says).
    """

    name: str
    protocol: Protocol
    frames: tuple[Frame, ...]
    entries: dict[int, tuple[int, ...]]
    listed: dict[int, frozenset[str]] | None = None
    unseen: frozenset[int] | None = None
    attributes: tuple[str, ...] = ()

    @property
    def merges_objects(self) -> bool:
        """Whether everything that is not background counts as one object."""
        return self.protocol is Protocol.DAVIS_2016

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of all objects, ascending."""
        return tuple(sorted(ident for entering in self.entries.values() for ident in entering))

    def read_annotation(self, index: int) -> np.ndarray:
        """The annotation of frame `index` as H×W uint8 ids.

        DAVIS-2016 merges all objects into id 1, 255 included; elsewhere 255 is void and reads
        as 0. Raises InputError where the frame has none.
        """
        path = self.frames[index].annotation_path
        if path is None:
            raise InputError(f'{self.frames[index].image_path} has no annotation')
        values = read_label_file(path)
        if self.merges_objects:
            return (values > 0).astype(np.uint8)
        return np.where(values == IGNORED_LABEL, 0, values).astype(np.uint8)

    def read_reference(self, index: int) -> np.ndarray:
        """The annotation of frame `index`, H×W uint8, with only the objects that enter there."""
        annotation = self.read_annotation(index)
        entering = np.isin(annotation, self.entries.get(index, ()))
        return np.where(entering, annotation, 0).astype(np.uint8)

    def scored_frames(self, ident: int) -> list[int]:
        """The indices of the frames on which object `ident` is scored.

        DAVIS leaves out the first frame and the last one. YouTube-VOS scores the annotated
        frames after the one in which the object was given. A sequence that is not annotated
        throughout is not scored: the list is empty.
        """
        if self.protocol is not Protocol.YOUTUBE_VOS:
            inner = range(1, len(self.frames) - 1)
            annotated = all(self.frames[index].annotation_path for index in inner)
            return list(inner) if annotated else []
        entry = next(index for index, ids in self.entries.items() if ident in ids)
        wanted = (self.listed or {}).get(ident)
        return [
            index
            for index in range(entry + 1, len(self.frames))
            if self.frames[index].annotation_path
            and (wanted is None or self.frames[index].name in wanted)
        ]

    def thinned(self, step: int) -> 'Sequence':
        """The sequence with every `step`-th frame from the first one, as a video of its own.

        The frames on which an object enters are kept as well, so that every object is shown.
        """
        kept = sorted({*range(0, len(self.frames), step), *self.entries})
        return replace(
            self,
            frames=tuple(self.frames[index] for index in kept),
            entries={kept.index(index): ids for index, ids in self.entries.items()},
        )


def choose(names: Items[str], wanted: Items[str], where: Path) -> list[str]:
    """`wanted` if given, else `names`; raises InputError for one that `names` lacks."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f'no sequence {", ".join(missing)} in {where}: there are {", ".join(sorted(names))}'
        )
    return list(wanted) or list(names)


def read_frames(images: Path, annotations: Path) -> tuple[Frame, ...]:
    """The frames of one sequence's folders, in the order of their names.

    Raises InputError where there is no image.
    """
    if not images.is_dir():
        raise InputError(f'{images} is not a folder: the sequence has no images')
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f'{images} holds no image ({", ".join(sorted(IMAGE_SUFFIXES))})')
    annotated = {path.stem: path for path in annotations.glob('*.png')}
    return tuple(Frame(path.stem, path, annotated.get(path.stem)) for path in paths)
