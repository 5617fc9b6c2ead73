# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""J and F of whole sequences and benchmarks, as each protocol defines them."""
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_ros.evaluation.measures import Statistics
from stm_ros.evaluation.measures import contour_accuracy
from stm_ros.evaluation.measures import region_similarity
from stm_ros.evaluation.measures import statistics
from stm_ros.evaluation.sequences import LeftOut
from stm_ros.evaluation.sequences import Sequence
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_folders import files_in


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object: T floats each, NaN where the frame is not scored."""

    sequence: str
    ident: int
    region: np.ndarray
    contour: np.ndarray
    unseen: bool | None = None
    attributes: tuple[str, ...] = ()

    @property
    def region_statistics(self) -> Statistics:
        """Mean, recall and decay of J."""
        return statistics(self.region)

    @property
    def contour_statistics(self) -> Statistics:
        """Mean, recall and decay of F."""
        return statistics(self.contour)


@dataclass(frozen=True)
class Summary:
    """J and F over several objects: the mean of the objects' statistics."""

    region: Statistics
    contour: Statistics
    objects: int

    @property
    def combined(self) -> float:
        """J&F: the mean of mean J and mean F."""
        return (self.region.mean + self.contour.mean) / 2


class SequenceScorer:
    """Scores a sequence frame by frame, so that no label map has to be kept."""

    def __init__(self, sequence: Sequence) -> None:
        """Prepare to score `sequence`; nothing is read yet."""
        self._sequence = sequence
        self._scored = {
            ident: frozenset(sequence.scored_frames(ident)) for ident in sequence.object_ids
        }
        length = len(sequence.frames)
        self._region = {ident: np.full(length, np.nan) for ident in sequence.object_ids}
        self._contour = {ident: np.full(length, np.nan) for ident in sequence.object_ids}
        self._ghosts: set[int] = set()
        self._unshown: set[int] = set()

    def left_out(self) -> list[LeftOut]:
        """What does not count, as far as it was seen."""
        ghosts = (('predicted ids that no object has', self._ghosts),
                  ('annotated objects that were not shown to the tracker', self._unshown))
        return [*self._sequence.unscored(), *(
            LeftOut(self._sequence.name, reason, tuple(map(str, sorted(ids))))
            for reason, ids in ghosts if ids)]

    def scores_at(self, index: int) -> list[int]:
        """The ids that are scored on frame `index`."""
        return [ident for ident, frames in self._scored.items() if index in frames]

    def add(self, index: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Score frame `index`: two H×W uint8 label maps.

        An object that the prediction lacks counts as an empty mask; an id that no object of the
        sequence has counts as background, and is told by `left_out`. Raises InputError where the
        sizes differ.
        """
        place = f'{self._sequence.name}, frame {self._sequence.frames[index].name}'
        if prediction.shape != truth.shape:
            raise InputError(
                f'{place}: the prediction has shape {prediction.shape}, the annotation '
                f'{truth.shape}; they must have the same size'
            )
        for found, where in ((prediction, self._ghosts), (truth, self._unshown)):
            for ident in set(np.unique(found).tolist()) - {0, *self._sequence.object_ids}:
                where.add(ident)
        for ident in self.scores_at(index):
            predicted = prediction == ident
            true = truth == ident
            self._region[ident][index] = region_similarity(predicted, true)
            self._contour[ident][index] = contour_accuracy(predicted, true)

    def scores(self) -> list[ObjectScore]:
        """One score per object; none for an object without a scored frame."""
        unseen = self._sequence.unseen
        return [
            ObjectScore(
                self._sequence.name,
                ident,
                self._region[ident],
                self._contour[ident],
                None if unseen is None else ident in unseen,
                self._sequence.attributes,
            )
            for ident in self._sequence.object_ids
            if not np.isnan(self._region[ident]).all()
        ]


@dataclass(frozen=True)
class FolderScore:
    """The objects' scores of a folder of label maps, the frames without a file (which count as
    empty), and what does not count.
    """

    scores: list[ObjectScore]
    missing: tuple[str, ...]
    left_out: list[LeftOut]


def score_folder(sequence: Sequence, folder: Path) -> FolderScore:
    """Score the label maps `folder/<sequence>/<frame>.png` of an earlier run."""
    scorer = SequenceScorer(sequence)
    files = {}
    if (folder / sequence.name).is_dir():
        files = {path.stem: path for path in files_in(folder / sequence.name, ('.png',))}
    missing = []
    for index, frame in enumerate(sequence.frames):
        if not scorer.scores_at(index):
            continue
        truth = sequence.read_annotation(index)
        if frame.name in files:
            prediction = sequence.read_prediction(files[frame.name])
        else:
            prediction = np.zeros_like(truth)
            missing.append(frame.name)
        scorer.add(index, prediction, truth)
    return FolderScore(scorer.scores(), tuple(missing), scorer.left_out())


def summarise(scores: Iterable[ObjectScore]) -> Summary:
    """Mean over objects of each statistic (DAVIS-2016: an object is a sequence).

    Raises InputError where there is no object.
    """
    scores = list(scores)
    if not scores:
        raise InputError('nothing to summarise: no object was scored')
    return Summary(
        Statistics(*np.mean([score.region_statistics for score in scores], axis=0).tolist()),
        Statistics(*np.mean([score.contour_statistics for score in scores], axis=0).tolist()),
        len(scores),
    )


def summarise_groups(scores: Iterable[ObjectScore]) -> dict[str, Summary]:
    """The summaries a benchmark asks for: 'all', and where known 'seen' and 'unseen'."""
    scores = list(scores)
    groups = {'all': summarise(scores)}
    for name, value in (('seen', False), ('unseen', True)):
        members = [score for score in scores if score.unseen is value]
        if members:
            groups[name] = summarise(members)
    return groups


def youtube_vos_mean(groups: dict[str, Summary]) -> float | None:
    """The benchmark's G: mean of J and F over seen and unseen; None where one is missing."""
    if 'seen' not in groups or 'unseen' not in groups:
        return None
    return (groups['seen'].combined + groups['unseen'].combined) / 2


def summarise_attributes(scores: Iterable[ObjectScore]) -> dict[str, Summary]:
    """One summary per attribute, over the sequences that have it."""
    scores = list(scores)
    names = sorted({name for score in scores for name in score.attributes})
    return {
        name: summarise(score for score in scores if name in score.attributes) for name in names
    }
