# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a report remembers of a run of any length: each of these has a fixed size."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic
from typing import TypeVar

import numpy as np

KeptT = TypeVar('KeptT')

LEAST_SECONDS, MOST_SECONDS = 1e-4, 1e3
BINS_PER_DECADE = 100


class History:
    """
    Values of every step, with NaN where there is none, as at most `2 * limit` spans of steps.

    Once full, neighbouring spans become one: a span knows the lowest, mean and highest of each
    value, so a short dip stays visible however long the run is.
    """

    def __init__(self, width: int, limit: int = 300) -> None:
        """Start empty, for rows of `width` values."""
        self._limit = limit
        self._width = width
        self._steps = 1
        self._spans: list[_Span] = []
        self._count = 0

    def add(self, row: np.ndarray) -> None:
        """Append the values of one step: `width` floats."""
        values = np.asarray(row, float)
        if values.shape != (self._width,):
            raise ValueError(f'a row has {self._width} values; got shape {values.shape}')
        span = _Span.of(self._count, values)
        if self._spans and self._spans[-1].steps < self._steps:
            self._spans[-1] = self._spans[-1].joined(span)
        else:
            self._spans.append(span)
        self._count += 1
        if len(self._spans) > 2 * self._limit:
            self._halve()

    def _halve(self) -> None:
        spans = self._spans
        self._spans = [spans[place].joined(spans[place + 1])
                       for place in range(0, len(spans) - 1, 2)] + spans[len(spans) // 2 * 2:]
        self._steps *= 2

    @property
    def count(self) -> int:
        """The steps added."""
        return self._count

    def starts(self) -> np.ndarray:
        """The first step of each span, S int."""
        return np.array([span.first for span in self._spans], int)

    def lows(self) -> np.ndarray:
        """The lowest of each span, S×width; NaN where no step had a value."""
        return self._stacked([span.low for span in self._spans])

    def means(self) -> np.ndarray:
        """The mean of each span over the steps that had a value, S×width."""
        return self._stacked([span.mean() for span in self._spans])

    def highs(self) -> np.ndarray:
        """The highest of each span, S×width."""
        return self._stacked([span.high for span in self._spans])

    def _stacked(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.array(rows).reshape(-1, self._width)


@dataclass(frozen=True)
class _Span:
    first: int
    steps: int
    total: np.ndarray
    known: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(first: int, values: np.ndarray) -> _Span:
        known = ~np.isnan(values)
        return _Span(first, 1, np.where(known, values, 0.0), known.astype(int), values, values)

    def joined(self, other: _Span) -> _Span:
        return _Span(self.first, self.steps + other.steps, self.total + other.total,
                     self.known + other.known, np.fmin(self.low, other.low),
                     np.fmax(self.high, other.high))

    def mean(self) -> np.ndarray:
        return np.where(self.known > 0, self.total / np.maximum(self.known, 1), np.nan)


class EvenSample(Generic[KeptT]):
    """At most twice `limit` things out of a stream of unknown length, evenly spread."""

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self._limit = limit
        self._stride = 1
        self._seen = 0
        self._kept: list[tuple[int, KeptT]] = []

    def offer(self, make: Callable[[], KeptT]) -> None:
        """Count one more thing, which is made only if it is kept."""
        if self._seen % self._stride == 0:
            self._kept.append((self._seen, make()))
            if len(self._kept) > 2 * self._limit:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def chosen(self) -> list[tuple[int, KeptT]]:
        """Return at most `limit` of them with their numbers, first and last kept included."""
        count = min(self._limit, len(self._kept))
        places = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        return [self._kept[place] for place in places]


class Extremes(Generic[KeptT]):
    """The `limit` steps of the highest score that lie at least `apart` steps from one another."""

    def __init__(self, limit: int, apart: int) -> None:
        """Start empty."""
        self._limit = limit
        self._apart = apart
        self._kept: list[tuple[float, int, KeptT]] = []

    def offer(self, step: int, score: float, make: Callable[[], KeptT]) -> None:
        """Consider one step; what is to be kept of it is made only if it is kept."""
        near = [entry for entry in self._kept if abs(entry[1] - step) < self._apart]
        if any(entry[0] >= score for entry in near):
            return
        others = [entry for entry in self._kept if entry not in near]
        if len(others) == self._limit:
            lowest = min(others, key=lambda entry: entry[0])
            if lowest[0] >= score:
                return
            others.remove(lowest)
        self._kept = [*others, (score, step, make())]

    def chosen(self) -> list[tuple[float, int, KeptT]]:
        """Return score, step and what was kept of each, the highest score first."""
        return sorted(self._kept, key=lambda entry: (-entry[0], entry[1]))


class Durations:
    """Counts of durations in bins of 2.3 %, from 0.1 ms to 1000 s; what lies outside is clipped."""

    def __init__(self) -> None:
        """Start empty."""
        decades = np.log10(MOST_SECONDS / LEAST_SECONDS)
        self._counts = np.zeros(round(decades * BINS_PER_DECADE), int)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        place = int(np.log10(max(seconds, LEAST_SECONDS) / LEAST_SECONDS) * BINS_PER_DECADE)
        self._counts[min(place, len(self._counts) - 1)] += 1
        self.total += seconds

    def join(self, other: Durations) -> None:
        """Count those of `other` as well."""
        self._counts += other._counts
        self.total += other.total

    @property
    def count(self) -> int:
        """How many were counted."""
        return int(self._counts.sum())

    def percentile(self, share: float) -> float:
        """The duration in seconds that `share` (0 to 1) of them do not exceed, to 2.3 %."""
        if not self.count:
            raise ValueError('nothing was counted')
        place = int(np.searchsorted(np.cumsum(self._counts), max(1, share * self.count)))
        return LEAST_SECONDS * 10 ** ((place + 0.5) / BINS_PER_DECADE)

    def bins(self, merge: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """Edges in seconds (B+1) and counts (B) of `merge` bins together, empty ends left out."""
        counts = self._counts.reshape(-1, merge).sum(axis=1)
        filled = np.flatnonzero(counts)
        first, last = (filled[0], filled[-1] + 1) if filled.size else (0, 1)
        edges = LEAST_SECONDS * 10 ** (np.arange(first, last + 1) * merge / BINS_PER_DECADE)
        return edges, counts[first:last]
