# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The report that `stm track` and `stm replay` end with."""
from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
from stm_ros.report.page import Page
from stm_ros.report.page import bar
from stm_ros.report.page import element
from stm_ros.report.page import gallery
from stm_ros.report.page import jpeg
from stm_ros.report.page import picture
from stm_ros.report.page import table
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


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


@dataclass(frozen=True)
class Still:
    """A frame kept as a picture (JPEG), with the seconds since the first frame."""

    seconds: float
    content: bytes


class TrackReport:
    """
    Watches a run frame by frame and writes one HTML page about it.

    It keeps pictures of at most 24 frames to choose 12 from, 6 of the least sure and 6 of the
    slowest, and for at most 16 targets 600 spans of their values: a run may be as long as it likes.
    """

    def __init__(self, title: str, about: Mapping[str, str]) -> None:
        """Start with what is followed where; `about` stands among the figures at the top."""
        self._title = title
        self._about = dict(about)
        self._sheet: EvenSample[Still] = EvenSample(SHEET_FRAMES)
        self._least_sure: Extremes[Still] = Extremes(NOTABLE_FRAMES, APART)
        self._slowest: Extremes[Still] = Extremes(NOTABLE_FRAMES, APART)
        self._durations = Durations()
        self._targets: dict[int, _Target] = {}
        self._left_out: set[int] = set()
        self._first_ns: int | None = None
        self._seconds = 0.0
        self._count = 0

    def add(self, picture_: np.ndarray, result: Result, seconds: float) -> None:
        """
        Take in one frame, before the tracker's next step.

        :param picture_: the frame as it shall be seen, H×W×3 uint8 RGB.
        :param seconds: what the tracker took for it.
        """
        first = result.stamp_ns if self._first_ns is None else self._first_ns
        self._first_ns = first
        self._seconds = (result.stamp_ns - first) / 1e9
        step, self._count = self._count, self._count + 1

        def still() -> Still:
            return Still(self._seconds, jpeg(picture_, PICTURE_WIDTH))

        self._durations.add(seconds)
        self._sheet.offer(still)
        self._slowest.offer(step, seconds, still)
        doubts = [doubt for target in result.targets
                  if (doubt := self._take(step, target, result)) is not None]
        if doubts:
            self._least_sure.offer(step, max(doubts), still)

    def _take(self, step: int, target: TargetResult, result: Result) -> float | None:
        """Take in a target; return how unsure it is, None where it was lost before."""
        if target.id not in self._targets:
            if len(self._targets) == MOST_TARGETS:
                self._left_out.add(target.id)
                return None
            self._targets[target.id] = _Target(target.label, step)
        return self._targets[target.id].take(target, result)

    def write(self, path: str | Path) -> None:
        """Write the page; nothing that is kept is lost, so it may be written again later."""
        page = Page(self._title, self._sentence())
        page.facts(self._facts())
        page.section('The run at a glance', self._stills(self._sheet.chosen()),
                     note='Frames spread over the run. Masks are tinted, boxes carry id, name, '
                     'confidence and state.')
        for target_id, target in self._targets.items():
            page.section(f'{target.label or "target"} (id {target_id})', *target.charts(),
                         note=target.sentence())
            if target.film:
                page.section(f'What memory holds of {target.label or "target"}',
                             self._film(target),
                             note='The memory frames that the last answer in view rests on, '
                             'oldest first; the bar is the share of attention on each.')
        if self._left_out:
            page.section('More targets', table(
                ['left out'], [[str(target)] for target in sorted(self._left_out)],
                f'A report shows {MOST_TARGETS} targets.'))
        self._notable(page)
        page.write(path)

    @contextmanager
    def written_to(self, folder: _Folder, name: str) -> Iterator[None]:
        """
        Write the page at the end of a `with` block, also where the run broke off.

        :param folder: its `path` at that time is where the page goes, under `name`.
        """
        try:
            yield
        finally:
            if self._count:
                self.write(folder.path / name)

    def _sentence(self) -> str:
        if not self._count:
            return 'No frame was answered.'
        lost = sum(target.lost for target in self._targets.values())
        seen = sum(target.history.count for target in self._targets.values())
        names = ', '.join(target.label or f'target {key}'
                          for key, target in self._targets.items()) or 'no target'
        share = f'{100 * (1 - lost / seen):.0f} % of frames' if seen else 'no frame'
        return f'{self._count} frames, following {names}: in view in {share}.'

    def _facts(self) -> dict[str, str]:
        facts = {**self._about, 'frames': str(self._count), 'length': f'{self._seconds:.1f} s'}
        if self._count:
            facts['rate'] = f'{self._count / max(self._durations.total, 1e-9):.1f} frames a second'
            facts['time a frame'] = (f'{1000 * self._durations.percentile(0.5):.0f} ms, '
                                     f'p99 {1000 * self._durations.percentile(0.99):.0f} ms')
        return facts

    def _notable(self, page: Page) -> None:
        unsure = [(step, kept) for _, step, kept in self._least_sure.chosen()]
        if unsure:
            page.section('Least sure', self._stills(unsure),
                         note='The frames of lowest confidence, and those in which a target '
                         f'becomes LOST, at least {APART} frames apart.')
        if not self._count:
            return
        slow = [(step, kept, f'{1000 * seconds:.0f} ms')
                for seconds, step, kept in self._slowest.chosen()]
        edges, counts = self._durations.bins()
        page.section('Time a frame', histogram(
            'frames by the time they took, in ms', 1000 * edges, counts, x_label='ms',
            marks={'p50': 1000 * self._durations.percentile(0.5),
                   'p99': 1000 * self._durations.percentile(0.99)}),
            element('h3', 'Slowest'), gallery(
                self._still(step, kept, more) for step, kept, more in slow),
            note='The tracker alone, from image to label map, with what the frame before left to '
            'be written to memory. Reading and writing files is left out.')

    def _stills(self, chosen: list[tuple[int, Still]]) -> Html:
        return gallery(self._still(step, kept) for step, kept in chosen)

    def _still(self, step: int, still: Still, more: str = '') -> Html:
        caption = f'frame {step}, {still.seconds:.2f} s' + (f', {more}' if more else '')
        return picture(still.content, f'annotated frame {step}', caption)

    def _film(self, target: _Target) -> Html:
        first = self._first_ns or 0
        return gallery((picture(
            item.jpeg, f'memory frame, {item.kind}',
            f'{item.kind}, {_age(item.stamp_ns, first)}, {100 * item.weight:.0f} %',
            bar(item.weight)) for item in sorted(target.film, key=lambda item: (
                item.kind != 'reference', item.stamp_ns))), 'film')


class _Target:
    """What is kept of one target."""

    def __init__(self, label: str, first_step: int) -> None:
        self.label = label
        self.history = History(7)
        self.attention = History(len(_KINDS))
        self.film: tuple[Evidence, ...] = ()
        self.lost = 0
        self._first_step = first_step
        self._losses = 0
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
        self._losses += is_lost and not was_lost
        if not is_lost:
            self.film = result.evidence(target.id, FILM_FRAMES)
        return None if is_lost and was_lost else 1 - target.confidence

    def sentence(self) -> str:
        times = {0: 'never', 1: 'once', 2: 'twice'}.get(self._losses, f'{self._losses} times')
        mean = np.nanmean(self.history.means()[:, _CONFIDENCE])
        return (f'Mean confidence {mean:.2f}; lost {times}, in {self.lost} of '
                f'{self.history.count} frames. Lines are means, bands reach from the lowest to '
                'the highest value of the frames that share a point.')

    def charts(self) -> list[Html]:
        starts = self.history.starts() + self._first_step
        end = self._first_step + self.history.count
        low, mean, high = self.history.lows(), self.history.means(), self.history.highs()
        worst = [_STATES[int(state)] for state in high[:, _STATE]]

        def band(column: int) -> Line:
            return Line(starts, mean[:, column], low[:, column], high[:, column])

        return [
            state_strip(starts, worst, end, 'state (the worst of the frames that share a point)'),
            line_chart('confidence (expected IoU)', [band(_CONFIDENCE)], y_range=(0, 1),
                       x_range=(0, end)),
            line_chart('area, % of the image', [band(_AREA)], x_range=(0, end), height=110,
                       y_range=(0, max(1e-3, np.nanmax(high[:, _AREA])))),
            line_chart('box: columns from left to right edge, pixels',
                       [_extent_band(starts, mean, _LEFT, _RIGHT)], x_range=(0, end), height=120),
            line_chart('box: rows from upper to lower edge, pixels',
                       [_extent_band(starts, mean, _TOP, _BOTTOM)], x_range=(0, end), height=120),
            self._attention_chart(starts, end)]

    def _attention_chart(self, starts: np.ndarray, end: int) -> Html:
        mean = self.attention.means()
        colours = ('var(--blue)', 'var(--good)', 'var(--warn)')
        names = ('references', 'earlier frames', 'newest frame')
        return line_chart('share of attention', [
            Line(starts, mean[:, place], name=name, colour=colour)
            for place, (name, colour) in enumerate(zip(names, colours, strict=True))],
            y_range=(0, 1), x_range=(0, end), height=120)


def _extent_band(starts: np.ndarray, mean: np.ndarray, low: int, high: int) -> Line:
    middle = (mean[:, low] + mean[:, high]) / 2
    return Line(starts, middle, mean[:, low], mean[:, high])


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
