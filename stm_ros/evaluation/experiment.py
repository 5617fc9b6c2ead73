# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One evaluation from end to end: track or read label maps, score, spoil, calibrate."""
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stm_ros.evaluation.calibration import Calibration
from stm_ros.evaluation.calibration import assess_calibration
from stm_ros.evaluation.datasets import Benchmark
from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.report import Evaluation
from stm_ros.evaluation.robustness import compare_memories
from stm_ros.evaluation.robustness import compare_perturbations
from stm_ros.evaluation.runner import MakeTracker
from stm_ros.evaluation.runner import Observation
from stm_ros.evaluation.runner import RunAll
from stm_ros.evaluation.runner import all_observations
from stm_ros.evaluation.runner import all_scores
from stm_ros.evaluation.runner import run_benchmark
from stm_ros.evaluation.runner import seconds_per_frame
from stm_ros.evaluation.scoring import score_folder
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.watching import Watches
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_folders import files_in


@dataclass(frozen=True)
class Subject:
    """What is measured: a network, how it remembers, and where it runs."""

    network: SpaceTimeNetwork
    config: TrackerConfig
    device: str = 'cpu'

    def make_tracker(self, sequence: Sequence) -> Tracker:
        """A tracker without any memory, with room for the sequence's objects."""
        targets = max(self.config.max_targets, len(sequence.object_ids))
        return Tracker(self.network, replace(self.config, max_targets=targets), self.device)

    def with_policy(self, policy: str) -> MakeTracker:
        """The same, but with another memory policy."""
        return Subject(
            self.network, replace(self.config, policy=policy), self.device
        ).make_tracker


def evaluate_tracker(
    benchmark: Benchmark,
    subject: Subject,
    predictions: Path,
    perturbations: list[Perturbation],
    ablate_memory: bool = False,
    quiet: bool = False,
    run_all: RunAll | None = None,
) -> Evaluation:
    """Track the benchmark, write label maps to `predictions`, score them, and what is asked for.

    Perturbations and smaller memories run on the sequences that could be scored. `run_all` runs
    sequences elsewhere.
    """
    watches = Watches()
    runs = run_benchmark(benchmark.sequences, subject.make_tracker, predictions, quiet=quiet,
                         run_all=run_all, watches=watches)
    clean = [run for run in runs if run.scores]
    sequences = [run.sequence for run in clean]
    observations = all_observations(runs)
    memories = []
    if ablate_memory and clean:
        memories = compare_memories(sequences, subject.with_policy, clean, quiet, run_all)
    spoiled = []
    if clean:
        spoiled = compare_perturbations(
            sequences, subject.make_tracker, clean, perturbations, quiet, run_all
        )
    return Evaluation(
        settings={
            **_benchmark_settings(benchmark),
            'model': subject.network.name,
            'licence': getattr(subject.network, 'metadata', {}).get('licence'),
            'device': subject.device,
            'tracker': asdict(subject.config),
        },
        scores=all_scores(runs),
        frame_names=_frame_names(benchmark),
        observations=observations,
        seconds_per_frame=seconds_per_frame(runs),
        calibration=_calibration(observations),
        perturbations=spoiled,
        memories=memories,
        left_out=[item for run in runs for item in run.left_out],
        watches=watches,
    )


def evaluate_predictions(benchmark: Benchmark, folder: Path) -> Evaluation:
    """Score the label maps `folder/<sequence>/<frame>.png`; those that are missing as empty.

    :raises InputError: where there is none at all, so that a slip is not taken for a score of 0.
    """
    outcomes = [score_folder(sequence, folder) for sequence in benchmark.sequences]
    if any(outcome.missing for outcome in outcomes) and not any(
            _has_predictions(sequence, folder) for sequence in benchmark.sequences):
        first = benchmark.sequences[0]
        raise InputError(f'{folder} holds no prediction; looked for are label maps such as '
                         f'{folder / first.name / first.frames[-1].name}.png')
    return Evaluation(
        settings=_benchmark_settings(benchmark),
        scores=[score for outcome in outcomes for score in outcome.scores],
        frame_names=_frame_names(benchmark),
        missing_predictions=sum(len(outcome.missing) for outcome in outcomes),
        left_out=[item for outcome in outcomes for item in outcome.left_out],
    )


def _has_predictions(sequence: Sequence, folder: Path) -> bool:
    place = folder / sequence.name
    names = {frame.name for frame in sequence.frames}
    return place.is_dir() and any(path.stem in names for path in files_in(place, ('.png',)))


def _calibration(observations: list[Observation]) -> Calibration | None:
    confidences, ious = _claims(observations)
    return assess_calibration(confidences, ious) if confidences.size else None


def _claims(observations: list[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and IoUs where there is a mask, or should be one."""
    visible = [item for item in observations if item.visible]
    return (
        np.array([item.confidence for item in visible]),
        np.array([item.region for item in visible]),
    )


def _benchmark_settings(benchmark: Benchmark) -> dict[str, Any]:
    return {
        'dataset': benchmark.protocol.value,
        'split': benchmark.split,
        'sequences': len(benchmark.sequences),
        'frames': sum(len(sequence.frames) for sequence in benchmark.sequences),
    }


def _frame_names(benchmark: Benchmark) -> dict[str, list[str]]:
    return {
        sequence.name: [frame.name for frame in sequence.frames]
        for sequence in benchmark.sequences
    }
