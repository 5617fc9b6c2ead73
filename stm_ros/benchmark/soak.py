# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Thousands of frames later: does a frame cost more, has memory grown?"""
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stm_ros.benchmark.machine import resident_bytes
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.subjects import TrackerSubject
from stm_ros.vision.errors import InputError

SNAPSHOT_AT = 100
PAIRS = 200


@dataclass(frozen=True)
class Soak:
    """A tracker after `frames` frames beside one restored from its snapshot of frame `young`.

    seconds: pairs×2, of whole frames that the old and the restored one stepped in turn.
    resident: bytes of the process at frame `young` and at the end, before it was restored.
    """

    settings: Settings
    frames: int
    young: int
    seconds: np.ndarray
    resident: tuple[int, int]

    @property
    def ratio(self) -> float:
        """How many times as long a frame takes the old tracker: medians."""
        old, young = np.median(self.seconds, axis=0)
        return float(old / young)

    @property
    def growth(self) -> float:
        """By which share resident memory has grown."""
        return self.resident[1] / self.resident[0] - 1


def soak(settings: Settings, frames: int, pairs: int = PAIRS, young: int = SNAPSHOT_AT,
         on_frame: Callable[[int], None] = lambda index: None) -> Soak:
    """Step a tracker through `frames` frames, then in turn with what it was at frame `young`.

    :raises InputError: for fewer frames than `young`.
    """
    if frames <= young:
        raise InputError(f'{frames} frames; more than {young} are needed, where the snapshot is '
                         'made')
    subject = TrackerSubject(settings)
    before = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'young.safetensors'
        for index in range(1, frames + 1):
            subject.step()
            on_frame(index)
            if index == young:
                # the first one leaves its buffers with the allocator, which counts for neither
                subject.tracker.save(path)
                before = resident_bytes()
        after = resident_bytes()
        restored = TrackerSubject(settings)
        restored.tracker.load(path)
    restored.follow(subject)
    subjects = (subject, restored)
    seconds = np.empty((pairs, 2))
    for index in range(pairs):
        for which in ((0, 1) if index % 2 == 0 else (1, 0)):
            began = time.perf_counter()
            subjects[which].step()
            seconds[index, which] = time.perf_counter() - began
    return Soak(settings, frames, young, seconds, (before, after))


def soak_text(result: Soak) -> str:
    """The figures, for people."""
    old, young = 1000 * np.median(result.seconds, axis=0)
    before, after = (size / 1e6 for size in result.resident)
    return (f'{result.settings.describe()}\n'
            f'  a frame after {result.frames} frames: {old:.2f} ms, after {result.young}: '
            f'{young:.2f} ms, ratio {result.ratio:.3f} (medians of {len(result.seconds)} in turn)\n'
            f'  resident memory: {before:.1f} MB after {result.young} frames, {after:.1f} MB after '
            f'{result.frames}, {100 * result.growth:+.2f} %')
