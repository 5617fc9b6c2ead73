# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Measuring: stages of one setting, sweeps over settings, two settings in turn."""
import gc
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from stm_ros.benchmark.machine import device_peak_bytes
from stm_ros.benchmark.machine import forget_peak
from stm_ros.benchmark.machine import peak_bytes
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.settings import parse_size
from stm_ros.benchmark.stopwatch import STAGES
from stm_ros.benchmark.stopwatch import Stopwatch
from stm_ros.benchmark.subjects import Subject
from stm_ros.benchmark.subjects import TrackerSubject
from stm_ros.benchmark.subjects import make_subject
from stm_ros.evaluation.measures import region_similarity

FRAME = 'frame'
SWEEPS: dict[str, tuple[int | str, ...]] = {
    'memory': (1, 2, 4, 8, 16, 32, 64), 'targets': (1, 2, 4, 8, 16),
    'size': ('320x240', '480x360', '640x480', '854x480', '1280x720')}
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Measurement:
    """What one setting took.

    seconds: for each stage, and for 'frame' which is their sum, one value a frame; only 'frame'
    for the plain baseline. peak: of the process's resident memory, in bytes; device_peak: of the
    CUDA device's, None without one. bank: what the memory's tensors take, in bytes.
    """

    settings: Settings
    dtype: str
    weights: str
    seconds: dict[str, np.ndarray]
    peak: int
    device_peak: int | None = None
    bank: int | None = None

    def percentiles(self, stage: str) -> tuple[float, ...]:
        """PERCENTILES of a stage, in milliseconds."""
        return tuple(float(1000 * value)
                     for value in np.percentile(self.seconds[stage], PERCENTILES))

    def share(self, stage: str) -> float:
        """The share of a frame that a stage takes: the median over frames."""
        return float(np.median(self.seconds[stage] / self.seconds[FRAME]))


@dataclass(frozen=True)
class Comparison:
    """Two settings that stepped in turn: seconds of whole frames, pair by pair.

    agreement: for each pair the mean IoU of both one's masks, over the targets that either sees;
    empty where they did not see the same frames.
    """

    first: Settings
    second: Settings
    dtypes: tuple[str, str]
    weights: tuple[str, str]
    seconds: np.ndarray
    agreement: np.ndarray

    @property
    def ratio_of_medians(self) -> float:
        """How many times as long the second takes."""
        medians = np.median(self.seconds, axis=0)
        return float(medians[1] / medians[0])

    @property
    def rates(self) -> tuple[float, float]:
        """Frames a second of each, at the median."""
        first, second = 1 / np.median(self.seconds, axis=0)
        return float(first), float(second)

    def ratio_percentiles(self) -> tuple[float, float, float]:
        """The 10th, 50th and 90th percentile of second over first, pair by pair."""
        low, middle, high = np.percentile(self.seconds[:, 1] / self.seconds[:, 0], (10, 50, 90))
        return float(low), float(middle), float(high)


def measure(settings: Settings, frames: int, warm_up: int) -> Measurement:
    """Time `frames` frames after `warm_up` ones, the memory full in all of them."""
    gc.collect()
    forget_peak(settings.device)
    subject = make_subject(settings)
    for _ in range(warm_up):
        subject.step()
    if isinstance(subject, TrackerSubject):
        seconds, bank = _stage_times(subject, frames), subject.tracker.bank.layout.bytes
    else:
        seconds, bank = {FRAME: np.array([_timed(subject) for _ in range(frames)])}, None
    return Measurement(settings, subject.dtype, subject.weights, seconds, peak_bytes(),
                       device_peak_bytes(settings.device), bank)


def sweep(settings: Settings, name: str, frames: int, warm_up: int,
          points: tuple[int | str, ...] = (), on_point: Callable[[str], None] = lambda text: None
          ) -> Iterator[Measurement]:
    """Measure with one setting changed, point by point.

    :param name: one of SWEEPS. :param points: its values; those of SWEEPS if left out.
    """
    for point in points or SWEEPS[name]:
        value = parse_size(str(point)) if name == 'size' else point
        on_point(f'{name} {point}')
        yield measure(replace(settings, **{name: value}), frames, warm_up)  # type: ignore[arg-type]


def compare(first: Settings, second: Settings, frames: int, warm_up: int) -> Comparison:
    """Let two settings step in turn, frame by frame; who goes first alternates as well."""
    subjects = (make_subject(first), make_subject(second))
    for _ in range(warm_up):
        for subject in subjects:
            subject.step()
    comparable = (subjects[0].frames_seen == subjects[1].frames_seen
                  and first.size == second.size and first.targets == second.targets)
    seconds, agreement = np.empty((frames, 2)), []
    for index in range(frames):
        for which in ((0, 1) if index % 2 == 0 else (1, 0)):
            seconds[index, which] = _timed(subjects[which])
        if comparable:
            agreement.append(mean_overlap(subjects[0].label_map, subjects[1].label_map))
    return Comparison(first, second, (subjects[0].dtype, subjects[1].dtype),
                      (subjects[0].weights, subjects[1].weights), seconds, np.array(agreement))


def mean_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Mean IoU of two label maps H×W over the targets that either shows; 1 where none is."""
    ids = np.union1d(np.unique(one), np.unique(other))
    overlaps = [region_similarity(one == i, other == i) for i in ids if i]
    return float(np.mean(overlaps)) if overlaps else 1.0


def _timed(subject: Subject) -> float:
    started = time.perf_counter()
    subject.step()
    return time.perf_counter() - started


def _stage_times(subject: TrackerSubject, frames: int) -> dict[str, np.ndarray]:
    on_gpu = subject.tracker.device.type == 'cuda'
    stopwatch = Stopwatch(subject.synchronize if on_gpu else None)
    subject.attach(stopwatch)
    rows = []
    for _ in range(frames):
        subject.step()
        rows.append(stopwatch.take())
    seconds = {stage: np.array([row.get(stage, 0.0) for row in rows]) for stage in STAGES}
    return {**seconds, FRAME: np.sum(list(seconds.values()), axis=0)}
