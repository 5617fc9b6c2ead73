# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Sequences of a benchmark: frames, objects, and what is scored.

A sequence is a list of frames, each an image file and, where it is annotated, a label map; the
protocol says how an annotation is to be understood.
"""
from collections.abc import Sequence as Items
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from stm_ros.evaluation.annotations import Style
from stm_ros.evaluation.annotations import read_annotation
from stm_ros.evaluation.annotations import read_prediction
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_folders import files_in

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


class Protocol(Enum):
    """How annotations are understood and scored; the value is the command line's name."""

    DAVIS_2016 = 'davis2016'
    DAVIS_2017 = 'davis2017'
    YOUTUBE_VOS = 'youtube-vos'


@dataclass(frozen=True)
class LeftOut:
    """What does not count in the figures of a sequence: frames or objects by name, and why."""

    sequence: str
    reason: str
    names: tuple[str, ...]


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

    `entries` maps a frame's index to the ids first annotated there; `style` says how annotations
    name objects; `left_out` is what was left out when the sequence was found. Of YouTube-VOS only:
    `shown` maps the index of a frame on which objects enter to all ids annotated there, `listed` an
    id to the names of the frames that count for it, and `unseen` holds the ids whose category the
    training set lacks (None where nobody says).
    """

    name: str
    protocol: Protocol
    frames: tuple[Frame, ...]
    entries: dict[int, tuple[int, ...]]
    style: Style = Style.IDS
    left_out: tuple[LeftOut, ...] = ()
    shown: dict[int, frozenset[int]] = field(default_factory=dict)
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

        DAVIS-2016 merges all objects into id 1, 255 included; elsewhere 255 beside ids is void and
        reads as 0. Raises InputError where the frame has none, or it cannot be read.
        """
        path = self.frames[index].annotation_path
        if path is None:
            raise InputError(f'{self.frames[index].image_path} has no annotation')
        return read_annotation(path, self._style, frozenset(self.object_ids))

    def read_prediction(self, path: Path) -> np.ndarray:
        """A tracker's label map for a frame of this sequence as H×W uint8 ids.

        Raises InputError where it cannot be read.
        """
        return read_prediction(path, self._style, frozenset(self.object_ids))

    @property
    def _style(self) -> Style:
        return Style.BINARY if self.merges_objects else self.style

    def read_reference(self, index: int) -> np.ndarray:
        """The annotation of frame `index`, H×W uint8, with only the objects that enter there."""
        annotation = self.read_annotation(index)
        entering = np.isin(annotation, self.entries.get(index, ()))
        return np.where(entering, annotation, 0).astype(np.uint8)

    def scored_frames(self, ident: int) -> list[int]:
        """The indices of the frames on which object `ident` is scored.

        DAVIS leaves out the first frame and the last one. YouTube-VOS scores the annotated frames
        after the one in which the object was given; a frame on which others enter counts only where
        it shows this object too, and where all annotations are such frames they are no truth.
        """
        annotated = [index for index, frame in enumerate(self.frames) if frame.annotation_path]
        if self.protocol is not Protocol.YOUTUBE_VOS:
            return [index for index in annotated if 0 < index < len(self.frames) - 1]
        if set(annotated) <= set(self.entries):
            return []
        return [index for index in self._listed_frames(ident)
                if index not in self.entries or ident in self.shown.get(index, {ident})]

    def _listed_frames(self, ident: int) -> list[int]:
        """The annotated frames after the entry of `ident` that count for it in YouTube-VOS."""
        entry = next(index for index, ids in self.entries.items() if ident in ids)
        wanted = (self.listed or {}).get(ident)
        return [index for index in range(entry + 1, len(self.frames))
                if self.frames[index].annotation_path
                and (wanted is None or self.frames[index].name in wanted)]

    def unscored(self) -> list[LeftOut]:
        """What is left out of the figures: frames without annotation, or without full truth."""
        told = list(self.left_out)
        if not any(self.scored_frames(ident) for ident in self.object_ids):
            return [*told, LeftOut(self.name, 'nothing is scored: no annotation beyond those that '
                                   'show the objects', (self.name,))]
        if self.protocol is not Protocol.YOUTUBE_VOS:
            missing = [frame.name for frame in self.frames[1:-1] if frame.annotation_path is None]
            return told + _unless_empty(self.name, 'frames without annotation', missing)
        for ident in self.object_ids:
            missing = [self.frames[index].name for index in self._listed_frames(ident)
                       if index not in self.scored_frames(ident)]
            told += _unless_empty(self.name, f'frames that show others and not object {ident}',
                                  missing)
        return told

    def thinned(self, step: int) -> 'Sequence':
        """The sequence with every `step`-th frame from the first one, as a video of its own.

        The frames on which an object enters are kept as well, so that every object is shown.
        """
        kept = sorted({*range(0, len(self.frames), step), *self.entries})
        return replace(
            self,
            frames=tuple(self.frames[index] for index in kept),
            entries={kept.index(index): ids for index, ids in self.entries.items()},
            shown={kept.index(index): ids for index, ids in self.shown.items()},
        )


def choose(names: Items[str], wanted: Items[str], where: Path) -> list[str]:
    """`wanted` if given, else `names`; raises InputError for one that `names` lacks."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f'no sequence {", ".join(missing)} in {where}: there are {", ".join(sorted(names))}'
        )
    return list(wanted) or list(names)


def read_frames(images: Path, annotations: Path) -> tuple[tuple[Frame, ...], list[LeftOut]]:
    """The frames of one sequence's folders in natural order, and annotations that no image has.

    Image and annotation belong together by name. Raises InputError where there is no image, or two
    have the same name.
    """
    if not images.is_dir():
        raise InputError(f'{images} is not a folder: the sequence has no images')
    paths = files_in(images, IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f'{images} holds no image ({", ".join(sorted(IMAGE_SUFFIXES))})')
    annotated = {}
    if annotations.is_dir():
        annotated = {path.stem: path for path in files_in(annotations, ('.png',))}
    frames = tuple(Frame(path.stem, path, annotated.pop(path.stem, None)) for path in paths)
    twice = sorted({one.name for one, other in zip(frames, frames[1:], strict=False)
                    if one.name == other.name})
    if twice:
        raise InputError(f'{images} holds two images named {twice[0]}: are masks among them?')
    return frames, _unless_empty(images.name, 'annotations without an image of their name',
                                 list(annotated))


def _unless_empty(sequence: str, reason: str, names: list[str]) -> list[LeftOut]:
    return [LeftOut(sequence, reason, tuple(names))] if names else []
