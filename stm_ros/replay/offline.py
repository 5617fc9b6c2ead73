# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Track through a recording without a graph: every frame, in order, as fast as it goes."""
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from stm_ros.replay.bag_options import BagOptions
from stm_ros.replay.frames import Frame
from stm_ros.replay.frames import FrameSource
from stm_ros.replay.writers import ResultFolder
from stm_ros.report.tracking import TrackReport
from stm_ros.tracking import Result
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking.stream import LateFrameError
from stm_ros.vision.errors import InputError

STREAM = 'camera'
REPORT = 'report.html'


@dataclass(frozen=True)
class ReplaySummary:
    """How a replay went: frames answered, and per target id its mean confidence and lost frames."""

    frames: int
    mean_confidence: dict[int, float]
    frames_lost: dict[int, int]


def replay(source: FrameSource, tracker: Tracker, folder: str | Path,
           show_reference: Callable[[Frame], None], *,
           bag_storage: str | BagOptions | None = 'mcap',
           limit: int | None = None, inputs: Iterable[str | Path] = (),
           on_frame: Callable[[int], None] = lambda index: None,
           watch: Callable[[np.ndarray, Result], bool] = lambda picture, result: True
           ) -> ReplaySummary:
    """
    Track through `source` and write everything into `folder` (see ResultFolder).

    Nothing written depends on the clock, so the same input gives the same bytes again; only
    report.html also tells the time that frames took.

    :param show_reference: given the first frame before it is tracked; adds the references.
    :param bag_storage: 'mcap', 'sqlite3', BagOptions, or None for no result bag.
    :param limit: the most frames to track.
    :param inputs: files and folders that are read, which must stay as they are.
    :param on_frame: told the index of each frame answered.
    :param watch: given each annotated picture (H×W×3 uint8 RGB) and its result; False ends the run.
    :raises InputError: where the source yields no frame, or something in it cannot be used.
    """
    frames, first = _with_first(source)
    show_reference(first)
    about = {'tool': 'stm', 'source': source.name, 'network': tracker.network.name,
             'stream': STREAM, 'targets': {str(key): name for key, name in tracker.targets.items()}}
    confidences: dict[int, list[float]] = {target_id: [0.0, 0.0] for target_id in tracker.targets}
    count = 0
    report = TrackReport(f'Tracking in {Path(source.name).name}', {
        'source': source.name, 'network': tracker.network.name})
    results = ResultFolder(folder, source.rate, about, bag_storage, inputs=inputs, more=(REPORT,))
    with results, report.written_to(results, REPORT):
        count = 0
        for frame in islice(frames, limit):
            started = perf_counter()
            result = step_unless_late(tracker, frame, STREAM)
            seconds = perf_counter() - started
            if result is None:
                continue
            count += 1
            attention = {str(target_id): np.round(mass, 6).astype(float).tolist()
                         for target_id, mass in result.memory.attention.items()}
            picture = results.write(frame, result.label_map, result.targets, result,
                                    attention=attention)
            report.add(picture, result, seconds)
            for target in result.targets:
                confidences[target.id][0] += target.confidence
                confidences[target.id][1] += target.state == TargetState.LOST
            on_frame(count - 1)
            if not watch(picture, result):
                break
        if late := tracker.late_frames:
            source.notes.append(f'{late} images are older than what came before, and were left out')
        summary = ReplaySummary(
            count, {key: total / max(1, count) for key, (total, _) in confidences.items()},
            {key: int(lost) for key, (_, lost) in confidences.items()})
        results.summary = {
            'frame_count': count,
            'mean_confidence': {str(key): round(value, 6)
                                for key, value in summary.mean_confidence.items()},
            'frames_lost': {str(key): value for key, value in summary.frames_lost.items()},
            **({'notes': source.notes} if source.notes else {})}
    return summary


def step_unless_late(tracker: Tracker, frame: Frame, stream: str) -> Result | None:
    """The answer to a frame; None where it is older than the last, which the node drops, too."""
    try:
        return tracker.step(frame.image, stream=stream, stamp_ns=frame.stamp_ns)
    except LateFrameError:
        return None


def _with_first(source: FrameSource) -> tuple[Iterator[Frame], Frame]:
    """Return all frames, and the first one to look at beforehand."""
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise InputError(f'{source.name} holds no image')

    def everything() -> Iterator[Frame]:
        yield first
        yield from frames
    return everything(), first
