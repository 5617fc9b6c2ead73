# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the report of an evaluation shows of the runs, however many sequences there are."""
from __future__ import annotations

import heapq
from dataclasses import dataclass

from stm_ros.report.history import Durations
from stm_ros.report.history import EvenSample
from stm_ros.report.watching import Still
from stm_ros.report.watching import Watch

SHEET_SEQUENCES = 12
NOTABLE_FRAMES = 6
#: of each sequence, on its way from the worker
SHEET_FRAMES, NOTABLE_OF_EACH = 3, 2
WATCHES_KEPT = 12


@dataclass(frozen=True)
class Notable:
    """A frame worth looking at: how unsure it was (0 to 1), or the seconds it took."""

    value: float
    sequence: str
    index: int
    still: Still


class Watches:
    """
    Takes in the watch of each sequence and keeps what the page shows.

    That is at most 24 pictures for the contact sheet, 6 of the least sure frames and of the
    slowest, and the whole watch of the 12 sequences with the lowest score.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.durations = Durations()
        self._sheet: EvenSample[tuple[str, int, Still]] = EvenSample(SHEET_SEQUENCES)
        self._least_sure: list[Notable] = []
        self._slowest: list[Notable] = []
        self._lowest: dict[str, tuple[float, Watch]] = {}

    def take(self, sequence: str, score: float, watch: Watch) -> None:
        """Take in one sequence; `score` is its J&F."""
        self.durations.join(watch.durations)
        if sheet := watch.sheet():
            self._sheet.offer(lambda: (sequence, *sheet[len(sheet) // 2]))
        self._least_sure = _highest(self._least_sure, sequence, watch.least_sure())
        self._slowest = _highest(self._slowest, sequence, watch.slowest())
        self._lowest[sequence] = (score, watch)
        if len(self._lowest) > WATCHES_KEPT:
            del self._lowest[max(self._lowest, key=lambda name: self._lowest[name][0])]

    def sheet(self) -> list[tuple[str, int, Still]]:
        """Sequence, index and picture of a frame of sequences spread over all."""
        return [kept for _, kept in self._sheet.chosen()]

    def least_sure(self) -> list[Notable]:
        """The most doubtful first."""
        return self._least_sure

    def slowest(self) -> list[Notable]:
        """The slowest first."""
        return self._slowest

    def of(self, sequence: str) -> Watch | None:
        """The watch of a sequence, where its score is among the lowest."""
        return self._lowest[sequence][1] if sequence in self._lowest else None


def _highest(held: list[Notable], sequence: str, found: list[tuple[float, int, Still]]
             ) -> list[Notable]:
    more = [Notable(value, sequence, index, still) for value, index, still in found]
    return heapq.nlargest(NOTABLE_FRAMES, [*held, *more], key=lambda item: item.value)
