# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a report remembers of a tracker's answers, frame by frame, and how it draws it."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stm_ros.report.charts import Line
from stm_ros.report.charts import histogram
from stm_ros.report.charts import line_chart
from stm_ros.report.charts import state_strip
from stm_ros.report.history import Durations
from stm_ros.report.history import EvenSample
from stm_ros.report.history import Extremes
from stm_ros.report.history import History
from stm_ros.report.page import Html
from stm_ros.report.page import bar
from stm_ros.report.page import gallery
from stm_ros.report.page import jpeg
from stm_ros.report.page import picture
from stm_ros.tracking import Evidence
from stm_ros.tracking import Result
from stm_ros.tracking import TargetResult
from stm_ros.tracking import TargetState

SHEET_FRAMES = 12
NOTABLE_FRAMES = 6
APART = 10
FILM_FRAMES = 16
MOST_TARGETS = 16
PICTURE_WIDTH = 400
_KINDS = ('reference', 'memory', 'recent')
# what History keeps of a target; NaN where there is no box
_CONFIDENCE, _STATE, _AREA, _LEFT, _RIGHT, _TOP, _BOTTOM = range(7)
_STATES = tuple(state.name for state in sorted(TargetState, key=lambda state: state.value))


@dataclass(frozen=True)
class Still:
    """A frame kept as a picture (JPEG), with the seconds since the first frame."""

    seconds: float
    content: bytes


class Watch:
    """
    Watches a run frame by frame.

    It keeps pictures of at most 24 frames to choose 12 from, 6 of the least sure and 6 of the
    slowest, and for at most 16 targets 600 spans of their values: a run may be as long as it likes.
    """

    def __init__(self, sheet_frames: int = SHEET_FRAMES, notable_frames: int = NOTABLE_FRAMES
                 ) -> None:
        """Start with nothing seen."""
        self.targets: dict[int, TargetHistory] = {}
        self.left_out: set[int] = set()
        self.durations = Durations()
        self.first_ns: int | None = None
        self.seconds = 0.0
        self._sheet: EvenSample[tuple[int, Still]] = EvenSample(sheet_frames)
        self._least_sure: Extremes[Still] = Extremes(notable_frames, APART)
        self._slowest: Extremes[Still] = Extremes(notable_frames, APART)
        self._next = 0

    @property
    def count(self) -> int:
        """The frames seen."""
        return self.durations.count

    def add(self, draw: Callable[[], np.ndarray], result: Result, seconds: float,
            step: int | None = None) -> None:
        """
        Take in one frame, before the tracker's next step.

        :param draw: gives the frame as it shall be seen, H×W×3 uint8 RGB; called if it is kept.
        :param seconds: what the tracker took for it.
        :param step: its number, one more than the last one's where it is left out.
        """
        self.first_ns = result.stamp_ns if self.first_ns is None else self.first_ns
        self.seconds = (result.stamp_ns - self.first_ns) / 1e9
        step = self._next if step is None else step
        self._next = step + 1

        def still() -> Still:
            return Still(self.seconds, jpeg(draw(), PICTURE_WIDTH))

        self.durations.add(seconds)
        self._sheet.offer(lambda: (step, still()))
        self._slowest.offer(step, seconds, still)
        doubts = [doubt for target in result.targets
                  if (doubt := self._take(step, target, result)) is not None]
        if doubts:
            self._least_sure.offer(step, max(doubts), still)

    def sheet(self) -> list[tuple[int, Still]]:
        """Step and picture of frames spread over the run."""
        return [kept for _, kept in self._sheet.chosen()]

    def least_sure(self) -> list[tuple[float, int, Still]]:
        """Doubt (0 to 1), step and picture, the most doubtful first."""
        return self._least_sure.chosen()

    def slowest(self) -> list[tuple[float, int, Still]]:
        """Seconds, step and picture, the slowest first."""
        return self._slowest.chosen()

    def _take(self, step: int, target: TargetResult, result: Result) -> float | None:
        """Take in a target; return how unsure it is, None where it was lost before."""
        if target.id not in self.targets:
            if len(self.targets) == MOST_TARGETS:
                self.left_out.add(target.id)
                return None
            self.targets[target.id] = TargetHistory(target.label, step)
        return self.targets[target.id].take(target, result)


class TargetHistory:
    """What is kept of one target."""

    def __init__(self, label: str, first_step: int) -> None:
        self.label = label
        self.history = History(7)
        self.attention = History(len(_KINDS))
        self.film: tuple[Evidence, ...] = ()
        self.lost = 0
        self._first_step = first_step
        self.losses = 0
        self._was_lost = False

    def take(self, target: TargetResult, result: Result) -> float | None:
        """Take in a frame; return how unsure it is, None where it was lost before."""
        box = target.box
        edges = ([np.nan] * 4 if box is None else
                 [box.x_min, box.x_min + box.width, box.y_min, box.y_min + box.height])
        share = 100 * target.area / result.label_map.size
        self.history.add(np.array([target.confidence, target.state.value, share, *edges]))
        self.attention.add(_mass_by_kind(result, target.id))
        is_lost = target.state == TargetState.LOST
        was_lost, self._was_lost = self._was_lost, is_lost
        self.lost += is_lost
        self.losses += is_lost and not was_lost
        if not is_lost:
            self.film = result.evidence(target.id, FILM_FRAMES)
        return None if is_lost and was_lost else 1 - target.confidence

    def mean_confidence(self) -> float:
        """The mean over all frames; NaN before the first."""
        values = self.history.means()[:, _CONFIDENCE]
        return float(np.nanmean(values)) if values.size else float('nan')

    def state_chart(self) -> Html:
        """The state over time."""
        worst = [_STATES[int(state)] for state in self.history.highs()[:, _STATE]]
        return state_strip(self._starts(), worst, self._end(),
                           'state (the worst of the frames that share a point)')

    def confidence_chart(self) -> Html:
        """Confidence over time."""
        return line_chart('confidence (expected IoU)', [self._band(_CONFIDENCE)], y_range=(0, 1),
                          x_range=(0, self._end()))

    def shape_charts(self) -> list[Html]:
        """Area and box over time."""
        most = self.history.highs()[:, _AREA]
        extent = (0, self._end())
        return [
            line_chart('area, % of the image', [self._band(_AREA)], x_range=extent, height=110,
                       y_range=(0, max(1e-3, np.nanmax(most)))),
            line_chart('box: columns from left to right edge, pixels',
                       [self._edges(_LEFT, _RIGHT)], x_range=extent, height=120),
            line_chart('box: rows from upper to lower edge, pixels',
                       [self._edges(_TOP, _BOTTOM)], x_range=extent, height=120)]

    def attention_chart(self) -> Html:
        """Shares of attention on each kind of memory frame over time."""
        mean = self.attention.means()
        colours = ('var(--blue)', 'var(--good)', 'var(--warn)')
        names = ('references', 'earlier frames', 'newest frame')
        return line_chart('share of attention', [
            Line(self._starts(), mean[:, place], name=name, colour=colour)
            for place, (name, colour) in enumerate(zip(names, colours, strict=True))],
            y_range=(0, 1), x_range=(0, self._end()), height=120)

    def filmstrip(self, first_ns: int) -> Html:
        """The memory frames that the last answer in view rests on, oldest first.

        :param first_ns: the stamp from which their ages count.
        """
        return gallery((picture(
            item.jpeg, f'memory frame, {item.kind}',
            f'{item.kind}, {_age(item.stamp_ns, first_ns)}, {100 * item.weight:.0f} %',
            bar(item.weight)) for item in sorted(self.film, key=lambda item: (
                item.kind != 'reference', item.stamp_ns))), 'film')

    def _starts(self) -> np.ndarray:
        return self.history.starts() + self._first_step

    def _end(self) -> int:
        return self._first_step + self.history.count

    def _band(self, column: int) -> Line:
        return Line(self._starts(), self.history.means()[:, column],
                    self.history.lows()[:, column], self.history.highs()[:, column])

    def _edges(self, low: int, high: int) -> Line:
        mean = self.history.means()
        return Line(self._starts(), (mean[:, low] + mean[:, high]) / 2, mean[:, low],
                    mean[:, high])


def _mass_by_kind(result: Result, target_id: int) -> np.ndarray:
    """Attention mass on the slots of each of _KINDS, NaN where the target reads nothing."""
    mass = result.memory.attention.get(target_id)
    if mass is None or not len(mass):
        return np.full(len(_KINDS), np.nan)
    kinds = [slot.kind for slot in result.memory.slots]
    return np.array([sum(share for share, kind in zip(mass, kinds, strict=True) if kind == wanted)
                     for wanted in _KINDS], float)


def _age(stamp_ns: int, first_ns: int) -> str:
    seconds = (stamp_ns - first_ns) / 1e9
    return f'{seconds:.2f} s' if seconds >= 0 else 'given'


def still_picture(still: Still, name: str, more: str = '') -> Html:
    """A kept frame in a gallery; `name` says which, `more` what is worth saying of it."""
    return picture(still.content, f'annotated {name}',
                   f'{name}, {still.seconds:.2f} s' + (f', {more}' if more else ''))


def time_chart(durations: Durations) -> Html:
    """The histogram of the time of a frame, with its median and 99th percentile."""
    edges, counts = durations.bins()
    return histogram('frames by the time they took, in ms', 1000 * edges, counts, x_label='ms',
                     marks={'p50': 1000 * durations.percentile(0.5),
                            'p99': 1000 * durations.percentile(0.99)})
