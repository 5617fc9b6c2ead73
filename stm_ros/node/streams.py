# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One camera as the node sees it: its newest frames and its figures."""
import threading
import time
from collections import deque
from dataclasses import dataclass
from dataclasses import field

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.node.conversion import nanoseconds
from stm_ros.vision.errors import InputError

#: without an image for this long, a stream is said to have stopped
SILENT_SECONDS = 5.0
_WINDOW = 200


@dataclass(frozen=True)
class ReceivedFrame:
    """An image message and the monotonic time in seconds at which it came."""

    message: Image | CompressedImage
    arrival: float


@dataclass(frozen=True)
class StreamFigures:
    """What a stream did: counts since activation, rate in Hz, latencies in seconds.

    rate: of answers in the last seconds, 0 where it has stopped. silence: seconds since the last
    image. latencies: from the image's stamp to the publishing of its answer. processing: from its
    arrival to there. stepping: of that, what the tracker took.
    """

    received: int
    answered: int
    dropped: int
    failed: int
    rate: float
    silence: float
    latencies: tuple[float, ...]
    processing: tuple[float, ...]
    stepping: tuple[float, ...]


@dataclass
class CameraStream:
    """The newest frames of a stream, by stamp, and its counters. Thread-safe."""

    name: str
    history_frames: int
    last_error: str = ''
    _history: deque = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: dict[str, int] = field(init=False)
    _answers: deque = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def __post_init__(self) -> None:
        """Start empty."""
        self._history = deque(maxlen=self.history_frames)
        self._counts = {'received': 0, 'answered': 0, 'dropped': 0, 'failed': 0}

    def receive(self, frame: ReceivedFrame) -> None:
        """Keep a frame as the newest."""
        with self._lock:
            self._counts['received'] += 1
            self._history.append(frame)

    def count_drop(self) -> None:
        """Count a frame that was replaced before anybody looked at it."""
        with self._lock:
            self._counts['dropped'] += 1

    def count_failure(self, reason: str) -> None:
        """Count a frame that could not be used."""
        with self._lock:
            self._counts['failed'] += 1
            self.last_error = reason

    def count_answer(self, latency: float, processing: float, stepping: float) -> None:
        """Count an answered frame: seconds from its stamp, from its arrival, in the tracker."""
        with self._lock:
            self._counts['answered'] += 1
            self._answers.append((time.monotonic(), latency, processing, stepping))

    def find(self, stamp_ns: int) -> ReceivedFrame:
        """The frame with exactly this stamp; the newest where it is 0.

        :raises InputError: where none has come, or none held has the stamp.
        """
        with self._lock:
            held = list(self._history)
        if not held:
            raise InputError(f'no image has come on stream {self.name!r} yet')
        if stamp_ns == 0:
            return held[-1]
        for frame in reversed(held):
            if nanoseconds(frame.message.header.stamp) == stamp_ns:
                return frame
        stamps = [nanoseconds(frame.message.header.stamp) for frame in held]
        raise InputError(
            f'no frame of stream {self.name!r} has the stamp {stamp_ns / 1e9:.9f}; held are '
            f'{len(held)} from {min(stamps) / 1e9:.9f} to {max(stamps) / 1e9:.9f}')

    def is_newest(self, frame: ReceivedFrame) -> bool:
        """Whether nothing newer than `frame` has come."""
        with self._lock:
            return bool(self._history) and self._history[-1] is frame

    def figures(self) -> StreamFigures:
        """The figures now."""
        now = time.monotonic()
        with self._lock:
            answers = list(self._answers)
            counts = dict(self._counts)
            silence = now - self._history[-1].arrival if self._history else 0.0
        lately = [answer[0] for answer in answers if now - answer[0] < SILENT_SECONDS]
        span = lately[-1] - lately[0] if len(lately) > 1 else 0.0
        rate = (len(lately) - 1) / span if span > 0 else 0.0
        return StreamFigures(rate=rate, silence=silence, latencies=tuple(a[1] for a in answers),
                             processing=tuple(a[2] for a in answers),
                             stepping=tuple(a[3] for a in answers), **counts)
