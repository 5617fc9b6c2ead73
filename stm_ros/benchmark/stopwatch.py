# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Time by stage, taken from outside: the tracker knows nothing of being measured."""
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

#: The way of a frame, see docs/performance.md for what belongs to which.
STAGES = ('convert', 'prepare', 'encode', 'read', 'decode', 'aggregate', 'assess', 'write')


class Stopwatch:
    """Charges every moment to the innermost stage that runs; what calls cost inside is not theirs.

    For example the time of predict() less that of read() and decode(), which it calls.
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

    def watch(self, owner: Any, method: str, stage: str) -> None:
        """Replace a method of one object by the same, timed as `stage`."""
        inner = getattr(owner, method)

        @wraps(inner)
        def timed(*arguments: Any, **options: Any) -> Any:
            self._charge()
            self._running.append(stage)
            try:
                return inner(*arguments, **options)
            finally:
                self._charge()
                self._running.pop()

        setattr(owner, method, timed)

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
