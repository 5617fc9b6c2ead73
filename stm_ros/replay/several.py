# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Track through several image topics of a recording at once, as a node with several streams."""
import heapq
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stm_ros.replay.bag_options import BagOptions
from stm_ros.replay.offline import ReplaySummary
from stm_ros.replay.offline import step_unless_late
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.writers import ResultFolder
from stm_ros.tracking import Result
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.vision.errors import InputError

MOST_STREAMS = 16


def stream_topics(words: Sequence[str]) -> dict[str, str]:
    """Topics by stream, of words such as `wrist=/wrist/image_raw` or `/wrist/image_raw`.

    Where no name is given, the first part of the topic that tells the topics apart is the name.

    :raises InputError: for two streams of one name, bad names, or too many.
    """
    named: list[tuple[str, str]] = []
    for word in words:
        name, has_name, topic = word.partition('=')
        named.append((name, topic) if has_name else (_own_part(word, words), word))
    names = [name for name, _ in named]
    if len(set(names)) != len(names):
        raise InputError(f'two streams are named {", ".join(names)}; name them, such as '
                         'left=/camera_left/image')
    for name in names:
        if not (name.isidentifier() and name.isascii()):
            raise InputError(f'{name!r} is no name for a stream: letters, digits and underscores '
                             'are accepted, a letter first')
    if len(names) > MOST_STREAMS:
        raise InputError(f'{len(names)} topics; at most {MOST_STREAMS} are accepted')
    return dict(named)


def _own_part(topic: str, words: Sequence[str]) -> str:
    others = [set(word.rpartition('=')[2].split('/')) for word in words if word != topic]
    parts = [part for part in topic.split('/') if part]
    own = [part for part in parts if not any(part in other for other in others)]
    return (own or parts or [topic])[0]


def merged(sources: dict[str, FrameSource]) -> Iterator[tuple[str, Frame]]:
    """The frames of all streams in the order in which they were recorded."""
    def of_stream(name: str, source: FrameSource) -> Iterator[tuple[int, str, Frame]]:
        return ((frame.recorded_ns, name, frame) for frame in source)
    ordered = heapq.merge(*(of_stream(name, source) for name, source in sources.items()),
                          key=lambda item: item[:2])
    return ((name, frame) for _, name, frame in ordered)


def replay_streams(sources: dict[str, FrameSource], tracker: Tracker, folder: str | Path,
                   show_reference: Callable[[Frame], None], *, bag: BagOptions | None = None,
                   limit: int | None = None, inputs: Iterable[str | Path] = (),
                   on_frame: Callable[[int], None] = lambda index: None
                   ) -> dict[str, ReplaySummary]:
    """
    Track through `sources` and write a ResultFolder of each stream into `folder`/<stream>.

    :param tracker: made for as many streams.
    :param show_reference: given the first stream's first frame; adds the references.
    :param limit: the most frames to track, of all streams together.
    :param inputs: files and folders that are read, which must stay as they are.
    :raises InputError: where a source yields no frame, or something in it cannot be used.
    """
    first_name, first_source = next(iter(sources.items()))
    first = next(iter(first_source), None)
    if first is None:
        raise InputError(f'{first_source.name} holds no image')
    show_reference(first)
    tallies = {name: _Tally(tracker) for name in sources}
    with ExitStack() as stack:
        results = {name: stack.enter_context(ResultFolder(
            Path(folder) / name, source.rate, _about(source, name, tracker),
            None if bag is None else replace(bag, node=f'{bag.node}/{name}'), inputs=inputs))
            for name, source in sources.items()}
        for index, (name, frame) in enumerate(islice(merged(sources), limit)):
            result = step_unless_late(tracker, frame, name)
            if result is None:
                continue
            attention = {str(target_id): np.round(mass, 6).astype(float).tolist()
                         for target_id, mass in result.memory.attention.items()}
            results[name].write(frame, result.label_map, result.targets, result,
                                attention=attention)
            tallies[name].add(result)
            on_frame(index)
        for name, tally in tallies.items():
            results[name].summary = tally.as_written()
    return {name: tally.summary() for name, tally in tallies.items()}


def _about(source: FrameSource, stream: str, tracker: Tracker) -> dict[str, Any]:
    return {'tool': 'stm', 'source': source.name, 'network': tracker.network.name,
            'stream': stream,
            'targets': {str(key): name for key, name in tracker.targets.items()}}


class _Tally:
    """Counts of one stream."""

    def __init__(self, tracker: Tracker) -> None:
        self.frames = 0
        self.confidence = dict.fromkeys(tracker.targets, 0.0)
        self.lost = dict.fromkeys(tracker.targets, 0)

    def add(self, result: Result) -> None:
        self.frames += 1
        for target in result.targets:
            self.confidence[target.id] += target.confidence
            self.lost[target.id] += target.state == TargetState.LOST

    def summary(self) -> ReplaySummary:
        frames = max(1, self.frames)
        return ReplaySummary(self.frames, {key: total / frames for key, total
                                           in self.confidence.items()}, dict(self.lost))

    def as_written(self) -> dict[str, Any]:
        said = self.summary()
        return {'frame_count': said.frames,
                'mean_confidence': {str(key): round(value, 6)
                                    for key, value in said.mean_confidence.items()},
                'frames_lost': {str(key): value for key, value in said.frames_lost.items()}}
