# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Track through a recording without a graph: every frame, in order, as fast as it goes."""
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from stm_ros.replay.frames import Frame
from stm_ros.replay.frames import FrameSource
from stm_ros.replay.writers import ResultFolder
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.vision.errors import InputError

STREAM = 'camera'


@dataclass(frozen=True)
class ReplaySummary:
    """How a replay went: frames answered, and per target id its mean confidence and lost frames."""

    frames: int
    mean_confidence: dict[int, float]
    frames_lost: dict[int, int]


def replay(source: FrameSource, tracker: Tracker, folder: str | Path,
           show_reference: Callable[[Frame], None], *, bag_storage: str | None = 'mcap',
           limit: int | None = None, inputs: Iterable[str | Path] = (),
           on_frame: Callable[[int], None] = lambda index: None) -> ReplaySummary:
    """
    Track through `source` and write everything into `folder` (see ResultFolder).

    Nothing written depends on the clock, so the same input gives the same bytes again.

    :param show_reference: given the first frame before it is tracked; adds the references.
    :param bag_storage: 'mcap', 'sqlite3', or None for no result bag.
    :param limit: the most frames to track.
    :param inputs: files and folders that are read, which must stay as they are.
    :param on_frame: told the index of each frame answered.
    :raises InputError: where the source yields no frame, or something in it cannot be used.
    """
    frames, first = _with_first(source)
    show_reference(first)
    about = {'tool': 'stm', 'source': source.name, 'network': tracker.network.name,
             'stream': STREAM, 'targets': {str(key): name for key, name in tracker.targets.items()}}
    confidences: dict[int, list[float]] = {target_id: [0.0, 0.0] for target_id in tracker.targets}
    count = 0
    with ResultFolder(folder, source.rate, about, bag_storage, inputs=inputs) as results:
        for count, frame in enumerate(islice(frames, limit), start=1):
            result = tracker.step(frame.image, stream=STREAM, stamp_ns=frame.stamp_ns)
            attention = {str(target_id): np.round(mass, 6).astype(float).tolist()
                         for target_id, mass in result.memory.attention.items()}
            results.write(frame, result.label_map, result.targets, result, attention=attention)
            for target in result.targets:
                confidences[target.id][0] += target.confidence
                confidences[target.id][1] += target.state == TargetState.LOST
            on_frame(count - 1)
        summary = ReplaySummary(
            count, {key: total / count for key, (total, _) in confidences.items()},
            {key: int(lost) for key, (_, lost) in confidences.items()})
        results.summary = {
            'frame_count': count,
            'mean_confidence': {str(key): round(value, 6)
                                for key, value in summary.mean_confidence.items()},
            'frames_lost': {str(key): value for key, value in summary.frames_lost.items()},
            **({'notes': source.notes} if source.notes else {})}
    return summary


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
