# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Time by stage: a tracker tells it which one runs."""
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

#: The way of a frame, see docs/performance.md for what belongs to which.
STAGES = ('convert', 'prepare', 'encode', 'read', 'match', 'decode', 'aggregate', 'decide',
          'plan', 'write')


class Stopwatch:
    """Charges every moment to the innermost stage that runs; what calls cost inside is not theirs.

    For example the time of a step less that of reading and decoding, which it does.
    """

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        """Start with nothing.

        :param synchronize: waits for the device, at the borders of stages; None where work is
            done when a call returns.
        """
        self._synchronize = synchronize
        self._running: list[str] = []
        self._since = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge what happens meanwhile to a stage."""
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call."""
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds

    def _charge(self) -> None:
        if self._synchronize is not None:
            self._synchronize()
        now = time.perf_counter()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now
