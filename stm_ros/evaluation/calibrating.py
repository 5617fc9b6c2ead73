# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fit what confidence means: on annotated video, and on clips in which the target is away."""
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stm_ros.evaluation.datasets import Benchmark
from stm_ros.evaluation.experiment import Subject
from stm_ros.evaluation.reliability import measure_clip
from stm_ros.evaluation.runner import all_observations
from stm_ros.evaluation.runner import run_benchmark
from stm_ros.synthetic.reliability_clips import CASES
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import TrackerConfig

#: cases with frames of absence, long ones left out: a thousand frames alike say no more than ten
ABSENCES = tuple(case for case in CASES
                 if case in ('leave_10', 'full_occlusion', 'scene_cut', 'lights', 'look_alike'))
#: clips of this seed are judged by nobody else
CLIP_SEED = 1000
#: thresholds of raw confidence while it means nothing yet: no mask is withheld
RAW_CONFIG = TrackerConfig(uncertain_below=0.0, lost_below=0.0, hysteresis=0.0,
                           memorize_above=0.12)


def observe_video(benchmark: Benchmark, subject: Subject, quiet: bool = False
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and true IoUs of N masks on a benchmark's scored frames."""
    with TemporaryDirectory() as folder:
        runs = run_benchmark(benchmark.sequences, subject.make_tracker, Path(folder), quiet=quiet)
    seen = [item for item in all_observations(runs) if item.visible]
    return np.array([o.confidence for o in seen]), np.array([o.region for o in seen])


def observe_absences(subject: Subject, clips: int, size: tuple[int, int]
                     ) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and true IoUs of N frames of generated clips; 0 where the target is away."""
    confidences: list[float] = []
    overlaps: list[float] = []
    for clip in _clips(clips, size):
        tracker = subject.bare_tracker()
        for record in measure_clip(tracker, clip).records:
            confidences.append(record.confidence)
            overlaps.append(record.iou or 0.0)
    return np.array(confidences), np.array(overlaps)


def _clips(count: int, size: tuple[int, int]) -> Iterable[ReliabilityClip]:
    return (ReliabilityClip(case, number, size, CLIP_SEED)
            for case in ABSENCES for number in range(count))


def balanced(*observations: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and IoUs of all of `observations`, each repeated to weigh the same."""
    longest = max(len(confidence) for confidence, _ in observations)
    confidence, overlap = (
        np.concatenate([np.resize(part[which], longest) for part in observations])
        for which in (0, 1))
    return confidence, overlap
