# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Timelines of confidence and state, bounded in number and length."""
from collections import deque
from collections.abc import Iterable
from types import MappingProxyType

from stm_ros.console.snapshots import Sample
from stm_ros.console.snapshots import TargetView

MAX_SAMPLES = 600
_LEAST_SECONDS = 0.2
_FORGET_SECONDS = 10.0


class Timelines:
    """For each target its last MAX_SAMPLES samples, at most five a second unless states change."""

    def __init__(self) -> None:
        """Start without targets."""
        self._samples: dict[int, deque[Sample]] = {}

    def add(self, now: float, targets: Iterable[TargetView]) -> None:
        """Add the targets of a frame; those that have been absent for a while are forgotten."""
        for target in targets:
            line = self._samples.setdefault(target.id, deque(maxlen=MAX_SAMPLES))
            is_due = not line or now - line[-1].time >= _LEAST_SECONDS
            if is_due or line[-1].state != target.state:
                line.append(Sample(now, target.confidence, target.state))
        for target_id in [key for key, line in self._samples.items()
                          if now - line[-1].time > _FORGET_SECONDS]:
            del self._samples[target_id]

    def snapshot(self) -> MappingProxyType[int, tuple[Sample, ...]]:
        """An immutable copy."""
        return MappingProxyType({key: tuple(line) for key, line in self._samples.items()})
