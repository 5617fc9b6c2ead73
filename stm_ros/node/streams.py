# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One camera as the node sees it: its newest frames and its figures."""
import threading
import time
from collections import Counter
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.node.conversion import nanoseconds
from stm_ros.node.stamp_gaps import StampGaps
from stm_ros.vision.errors import InputError

#: without an image for this long, a stream is said to have stopped
SILENT_SECONDS = 5.0
#: what diagnostics judge, and percentiles are of
WINDOW_SECONDS = 10.0
# of the window, more than two cameras of 200 Hz make
_MOST_EVENTS = 8192


@dataclass(frozen=True)
class ReceivedFrame:
    """An image message and the monotonic time in seconds at which it came."""

    message: Image | CompressedImage
    arrival: float

    @property
    def stamp_ns(self) -> int:
        """The image's stamp, in nanoseconds."""
        return nanoseconds(self.message.header.stamp)


@dataclass(frozen=True)
class Counts:
    """
    What became of a stream's images.

    lost: on the way to the node, as the middleware tells. dropped: replaced by a newer one before
    anybody looked. failed: refused. spared: not looked at on purpose, for max_rate, a pause or
    on_demand. skipped: missing between the stamps of those that came.
    """

    received: int = 0
    answered: int = 0
    dropped: int = 0
    failed: int = 0
    lost: int = 0
    spared: int = 0
    skipped: int = 0

    @property
    def missing(self) -> int:
        """What did not come: two ways to count the same images, of which both may miss some."""
        return max(self.lost, self.skipped)


@dataclass(frozen=True)
class StreamFigures:
    """What a stream did, in all since configuration and in the last WINDOW_SECONDS.

    rate: of answers in Hz, 0 where it has stopped. silence: seconds since the last image, None
    where none has come. latencies: seconds from the image's stamp to the publishing of its answer.
    processing: from its arrival to there. stepping: of that, what the tracker took. These three
    are of the window. last_error: the newest refusal, however old.
    """

    total: Counts
    recent: Counts
    rate: float
    silence: float | None
    latencies: tuple[float, ...]
    processing: tuple[float, ...]
    stepping: tuple[float, ...]
    last_error: str


@dataclass
class CameraStream:
    """The newest frames of a stream, by stamp, and what became of all. Thread-safe.

    history_seconds: how long frames are held, by their arrival. history_bytes: what they may
    take; the newest is held always. clock: monotonic seconds.
    """

    name: str
    history_seconds: float
    history_bytes: int
    clock: Callable[[], float] = time.monotonic
    _history: deque[ReceivedFrame] = field(default_factory=deque)
    _held_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: Counter[str] = field(default_factory=Counter)
    _events: deque[tuple[float, str, int]] = field(
        default_factory=lambda: deque(maxlen=_MOST_EVENTS))
    _answers: deque[tuple[float, float, float, float]] = field(
        default_factory=lambda: deque(maxlen=_MOST_EVENTS))
    _gaps: StampGaps = field(default_factory=StampGaps)
    _last_arrival: float | None = None
    _last_error: str = ''

    def receive(self, frame: ReceivedFrame) -> None:
        """Keep a frame as the newest."""
        with self._lock:
            self._count('received')
            skipped = self._gaps.add(frame.stamp_ns)
            if skipped:
                self._count('skipped', skipped)
            self._last_arrival = frame.arrival
            self._history.append(frame)
            self._held_bytes += len(frame.message.data)
            while len(self._history) > 1 and (
                    self._held_bytes > self.history_bytes
                    or frame.arrival - self._history[0].arrival > self.history_seconds):
                self._held_bytes -= len(self._history.popleft().message.data)

    def forget_images(self) -> None:
        """Drop the frames held: what comes after a break is no newer than they are by much."""
        with self._lock:
            self._history.clear()
            self._held_bytes = 0
            self._gaps = StampGaps()
            self._last_arrival = None

    def count_drop(self) -> None:
        """Count a frame that was replaced before anybody looked at it."""
        with self._lock:
            self._count('dropped')

    def count_spared(self) -> None:
        """Count a frame that is not looked at on purpose."""
        with self._lock:
            self._count('spared')

    def count_lost(self, number: int) -> None:
        """Count frames that were lost on the way."""
        with self._lock:
            self._count('lost', number)

    def count_failure(self, reason: str) -> None:
        """Count a frame that could not be used."""
        with self._lock:
            self._count('failed')
            self._last_error = reason

    def count_answer(self, latency: float, processing: float, stepping: float) -> None:
        """Count an answered frame: seconds from its stamp, from its arrival, in the tracker."""
        with self._lock:
            self._count('answered')
            self._answers.append((self.clock(), latency, processing, stepping))

    def steps_since(self, moment: float) -> tuple[float, ...]:
        """Seconds that the tracker took for answers after a moment of `clock`, of the window."""
        least = max(moment, self.clock() - WINDOW_SECONDS)
        with self._lock:
            return tuple(stepping for when, _, _, stepping in self._answers if when > least)

    def _count(self, what: str, number: int = 1) -> None:
        self._counts[what] += number
        self._events.append((self.clock(), what, number))

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
            if frame.stamp_ns == stamp_ns:
                return frame
        stamps = [frame.stamp_ns for frame in held]
        raise InputError(
            f'no frame of stream {self.name!r} has the stamp {stamp_ns / 1e9:.9f}; held are '
            f'{len(held)} from {min(stamps) / 1e9:.9f} to {max(stamps) / 1e9:.9f}; '
            f'history_seconds is {self.history_seconds:g}')

    def is_newest(self, frame: ReceivedFrame) -> bool:
        """Whether nothing newer than `frame` has come."""
        with self._lock:
            return bool(self._history) and self._history[-1] is frame

    def figures(self) -> StreamFigures:
        """The figures now."""
        now = self.clock()
        with self._lock:
            while self._events and now - self._events[0][0] > WINDOW_SECONDS:
                self._events.popleft()
            while self._answers and now - self._answers[0][0] > WINDOW_SECONDS:
                self._answers.popleft()
            answers, total = list(self._answers), Counts(**self._counts)
            recent: Counter[str] = Counter()
            for _, what, number in self._events:
                recent[what] += number
            silence = None if self._last_arrival is None else now - self._last_arrival
            last_error = self._last_error
        lately = [answer[0] for answer in answers if now - answer[0] < SILENT_SECONDS]
        span = lately[-1] - lately[0] if len(lately) > 1 else 0.0
        return StreamFigures(
            total, Counts(**recent), (len(lately) - 1) / span if span > 0 else 0.0, silence,
            tuple(a[1] for a in answers), tuple(a[2] for a in answers),
            tuple(a[3] for a in answers), last_error)
