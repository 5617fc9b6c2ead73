# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a tracker over the sequences of a benchmark, as its protocol shows the objects."""
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from typing import Protocol

import numpy as np
from tqdm import tqdm

from stm_ros.evaluation.drawing import draw_frame
from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import SequenceScorer
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.sequences import Frame
from stm_ros.evaluation.sequences import LeftOut
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.watching import NOTABLE_OF_EACH
from stm_ros.evaluation.watching import SHEET_FRAMES
from stm_ros.evaluation.watching import Watches
from stm_ros.report.watching import Watch
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import write_label_map

STREAM = 'benchmark'
FRAME_INTERVAL_NS = 40_000_000


class StreamingTracker(Protocol):
    """What the runner needs of `stm_ros.tracking.Tracker`."""

    def add_reference(
        self, image: np.ndarray, label_map: np.ndarray, *, stream: str, stamp_ns: int
    ) -> Any:
        """Memorise the targets of an image."""

    def step(self, image: np.ndarray, *, stream: str, stamp_ns: int) -> Any:
        """Follow the targets into the next image."""


MakeTracker = Callable[[Sequence], StreamingTracker]
"""Gives a tracker without any memory, with room for the sequence's objects."""


@dataclass(frozen=True)
class Tracked:
    """What the tracker said of one frame.

    `image` is H×W×3 and `label_map` H×W uint8; `confidences` maps the id of every target that the
    tracker already knew to its confidence; `seconds` is what the tracker took, without reading
    files; `result` is its answer, None on the frame on which the first object enters.
    """

    index: int
    image: np.ndarray
    label_map: np.ndarray
    confidences: dict[int, float]
    seconds: float
    truth: np.ndarray | None
    result: Any = None


@dataclass(frozen=True)
class Observation:
    """One target on one scored frame: what the tracker claimed and what was true.

    `region` is the true IoU; `visible` is false where neither prediction nor truth has a pixel.
    """

    sequence: str
    ident: int
    frame: str
    confidence: float
    region: float
    contour: float
    visible: bool


@dataclass(frozen=True)
class SequenceRun:
    """The outcome of one sequence: scores per object, observations, seconds of each step, what
    does not count, and what a report shows of it where it was asked for.
    """

    sequence: Sequence
    scores: list[ObjectScore]
    observations: list[Observation]
    seconds: list[float]
    left_out: list[LeftOut] = field(default_factory=list)
    watch: Watch | None = None


@dataclass(frozen=True)
class SequenceTask:
    """A sequence to be run, with all that it takes; see run_sequence."""

    sequence: Sequence
    make_tracker: MakeTracker
    folder: Path | None = None
    perturbation: Perturbation | None = None
    is_watched: bool = False


RunAll = Callable[[list[SequenceTask]], Iterator[SequenceRun]]
"""Runs sequences in any order, as many at a time as it likes."""


def track(
    sequence: Sequence, tracker: StreamingTracker, perturbation: Perturbation | None = None
) -> Iterator[Tracked]:
    """Show the sequence to a fresh tracker, frame by frame, and yield what it says.

    An object is shown with its annotation on the frame it enters; that frame's own label map is
    the tracker's answer for the objects it knew, overlaid by the annotation. Frames before the
    first object are empty. A perturbation spoils every frame but those on which an object
    enters, and the truth along with it where it moves or hides things; frames that it drops are
    not yielded.
    """
    known = False
    for index, frame in enumerate(sequence.frames):
        entering = sequence.entries.get(index, ())
        if perturbation is not None and not entering and perturbation.drops(sequence.name, index):
            continue
        image = frame.read_image()
        truth = sequence.read_annotation(index) if frame.annotation_path else None
        _check_size(frame, image, truth)
        if perturbation is not None and not entering:
            image, truth = perturbation.apply(image, truth, sequence.name, index)
        label_map = np.zeros(image.shape[:2], dtype=np.uint8)
        confidences: dict[int, float] = {}
        stamp_ns = index * FRAME_INTERVAL_NS
        result = None
        start = perf_counter()
        if known:
            result = tracker.step(image, stream=STREAM, stamp_ns=stamp_ns)
            label_map = result.label_map
            confidences = {target.id: target.confidence for target in result.targets}
        if entering:
            reference = sequence.read_reference(index)
            tracker.add_reference(image, reference, stream=STREAM, stamp_ns=stamp_ns)
            label_map = np.where(reference > 0, reference, label_map)
            known = True
        yield Tracked(index, image, label_map, confidences, perf_counter() - start, truth, result)


def run_sequence(
    sequence: Sequence,
    tracker: StreamingTracker,
    folder: Path | None = None,
    perturbation: Perturbation | None = None,
    watch: Watch | None = None,
) -> SequenceRun:
    """Track a sequence and score it; label maps go to `folder/<sequence>/<frame>.png` if given.

    :param watch: is shown every answer of the tracker.
    """
    scorer = SequenceScorer(sequence)
    claims: list[tuple[int, int, float, bool]] = []
    seconds: list[float] = []
    if folder is not None:
        (folder / sequence.name).mkdir(parents=True, exist_ok=True)
    for tracked in track(sequence, tracker, perturbation):
        if folder is not None:
            name = sequence.frames[tracked.index].name
            write_label_map(folder / sequence.name / f'{name}.png', tracked.label_map)
        if tracked.confidences:
            seconds.append(tracked.seconds)
        if watch is not None and tracked.result is not None:
            watch.add(partial(_picture, tracked), tracked.result, tracked.seconds, tracked.index)
        scored = scorer.scores_at(tracked.index)
        if not scored or tracked.truth is None:
            continue
        scorer.add(tracked.index, tracked.label_map, tracked.truth)
        for ident in scored:
            if ident in tracked.confidences:
                visible = bool((tracked.label_map == ident).any() or (tracked.truth == ident).any())
                claims.append((tracked.index, ident, tracked.confidences[ident], visible))
    scores = scorer.scores()
    return SequenceRun(sequence, scores, _observations(sequence, scores, claims), seconds,
                       scorer.left_out(), watch)


def run_benchmark(
    sequences: Iterable[Sequence],
    make_tracker: MakeTracker,
    folder: Path | None = None,
    perturbation: Perturbation | None = None,
    title: str = 'tracking',
    quiet: bool = False,
    run_all: RunAll | None = None,
    watches: Watches | None = None,
) -> list[SequenceRun]:
    """Run every sequence with a tracker of its own, showing progress on stderr.

    :param run_all: runs them elsewhere; one after another here where it is None.
    :param watches: is shown how each sequence went.
    """
    sequences = list(sequences)
    total = sum(len(sequence.frames) for sequence in sequences)
    runs = []
    with tqdm(total=total, desc=title, unit='frame', disable=quiet) as progress:
        tasks = [SequenceTask(sequence, make_tracker, folder, perturbation, watches is not None)
                 for sequence in sequences]
        for run in map(run_task, tasks) if run_all is None else run_all(tasks):
            if watches is not None and run.watch is not None:
                score = summarise(run.scores).combined if run.scores else float('inf')
                watches.take(run.sequence.name, score, run.watch)
            # pictures of every sequence would be too many
            runs.append(replace(run, watch=None))
            progress.update(len(run.sequence.frames))
            progress.set_postfix_str(_progress_note(runs))
    places = {sequence.name: place for place, sequence in enumerate(sequences)}
    return sorted(runs, key=lambda run: places[run.sequence.name])


def run_task(task: SequenceTask) -> SequenceRun:
    """Run a sequence with a tracker of its own."""
    watch = Watch(SHEET_FRAMES, NOTABLE_OF_EACH) if task.is_watched else None
    return run_sequence(task.sequence, task.make_tracker(task.sequence), task.folder,
                        task.perturbation, watch)


def all_scores(runs: Iterable[SequenceRun]) -> list[ObjectScore]:
    """The scores of all objects of all runs."""
    return [score for run in runs for score in run.scores]


def all_observations(runs: Iterable[SequenceRun]) -> list[Observation]:
    """The observations of all runs."""
    return [observation for run in runs for observation in run.observations]


def seconds_per_frame(runs: Iterable[SequenceRun]) -> float | None:
    """The mean time of a step, in seconds; None where there was none."""
    seconds = [value for run in runs for value in run.seconds]
    return float(np.mean(seconds)) if seconds else None


def _observations(
    sequence: Sequence,
    scores: list[ObjectScore],
    claims: list[tuple[int, int, float, bool]],
) -> list[Observation]:
    by_ident = {score.ident: score for score in scores}
    return [
        Observation(
            sequence.name,
            ident,
            sequence.frames[index].name,
            confidence,
            float(by_ident[ident].region[index]),
            float(by_ident[ident].contour[index]),
            visible,
        )
        for index, ident, confidence, visible in claims
    ]


def _picture(tracked: Tracked) -> np.ndarray:
    truth = np.zeros_like(tracked.label_map) if tracked.truth is None else tracked.truth
    return draw_frame(tracked.image, tracked.label_map, truth)


def _check_size(frame: Frame, image: np.ndarray, truth: np.ndarray | None) -> None:
    if truth is not None and truth.shape != image.shape[:2]:
        raise InputError(
            f'{frame.annotation_path} is {truth.shape[1]}×{truth.shape[0]}, its image '
            f"{image.shape[1]}×{image.shape[0]}: annotations must have the image's size"
        )


def _progress_note(runs: list[SequenceRun]) -> str:
    scores = all_scores(runs)
    if not scores:
        return ''
    return f'J&F {100 * summarise(scores).combined:.1f}'
