# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG; colours come from the page's style, so that dark and print work."""
from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from math import floor
from math import log10

import numpy as np

from stm_ros.report.page import Html
from stm_ros.report.page import element

WIDTH = 900
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 22, 26
_TICKS = 5
STATE_COLOURS = {'TRACKING': 'var(--good)', 'UNCERTAIN': 'var(--warn)', 'LOST': 'var(--bad)'}
# states differ in height as well as in colour
_STATE_HEIGHTS = {'TRACKING': 0.35, 'UNCERTAIN': 0.65, 'LOST': 1.0}
SERIES_COLOURS = ('var(--blue)', 'var(--warn)', 'var(--good)', 'var(--bad)', 'var(--dim)')


@dataclass(frozen=True)
class Line:
    """One line of a chart: x and y, N floats (NaN breaks it), and a band from low to high."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    name: str = ''
    colour: str = 'var(--blue)'
    dashed: bool = False


@dataclass(frozen=True)
class Shade:
    """A part of the x axis in another colour, and in words why."""

    first: float
    last: float
    colour: str
    name: str


@dataclass(frozen=True)
class Scale:
    """Where the values of an axis lie in the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The position of a value, in units of the picture."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round values."""
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        raw = span / _TICKS
        size = 10.0 ** floor(log10(raw))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
        return [number * step for number in range(ceil(self.low / step - 1e-9),
                                                  floor(self.high / step + 1e-9) + 1)]


def line_chart(title: str, lines: Sequence[Line], *, x_label: str = 'frame',
               y_range: tuple[float, float] | None = None,
               x_range: tuple[float, float] | None = None, height: int = 150,
               shades: Sequence[Shade] = ()) -> Html:
    """Lines over a common axis; `title` names what is drawn, and its unit."""
    x_scale = Scale(*(x_range or _extent([line.x for line in lines])), _LEFT, WIDTH - _RIGHT)
    shown = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    y_scale = Scale(*(y_range or _extent(shown)), height - _BOTTOM, _TOP)
    parts = [_shaded(shade, x_scale, height) for shade in shades]
    parts += _frame(title, height, x_label, x_scale, y_scale)
    for line in lines:
        if line.low is not None and line.high is not None:
            parts += [_area(run, line, x_scale, y_scale) for run in _runs(line.low, line.high)]
        for run in _runs(line.y):
            points = ' '.join(f'{x_scale.at(line.x[i]):.1f},{y_scale.at(line.y[i]):.1f}'
                              for i in run)
            # a value that stands alone is a dot: a line needs two
            if len(run) == 1:
                x, y = points.split(',')
                parts.append(element('circle', cx=x, cy=y, r='1.6', fill=line.colour))
            else:
                parts.append(element('polyline', points=points, fill='none', stroke=line.colour,
                                     stroke_width='1.5',
                                     stroke_dasharray='4 3' if line.dashed else None))
    parts += _legend([*dict.fromkeys((shade.name, shade.colour) for shade in shades),
                      *((line.name, line.colour) for line in lines if line.name)])
    return _svg(title, height, parts)


def state_strip(starts: np.ndarray, states: Sequence[str], end: int, title: str) -> Html:
    """A strip whose colour and height show the state of each span from `starts` (S) to `end`."""
    height = 58
    scale = Scale(0, max(end, 1), _LEFT, WIDTH - _RIGHT)
    edges = [*starts.tolist(), end]
    room = 16
    parts = [element('text', title, x=str(_LEFT), y='12', class_='title')]
    for first, last, state in _joined_states(edges, states):
        tall = room * _STATE_HEIGHTS[state]
        parts.append(element(
            'rect', element('title', f'frames {first} to {last - 1}: {state}'),
            x=f'{scale.at(first):.1f}', y=f'{_TOP + room - tall:.1f}',
            width=f'{max(scale.at(last) - scale.at(first), 0.5):.1f}', height=f'{tall:.1f}',
            fill=STATE_COLOURS[state]))
    parts += _x_ticks(scale, height)
    parts += _legend([(state, STATE_COLOURS[state]) for state in STATE_COLOURS if state in states])
    return _svg(title, height, parts)


def histogram(title: str, edges: np.ndarray, counts: np.ndarray, *, x_label: str,
              marks: Mapping[str, float] | None = None, height: int = 170) -> Html:
    """Counts (B) between `edges` (B+1, positive) on a logarithmic axis, with named marks on it."""
    x_scale = Scale(log10(edges[0]), log10(edges[-1]), _LEFT, WIDTH - _RIGHT)
    y_scale = Scale(0, float(max(counts.max(), 1)), height - _BOTTOM, _TOP)
    parts = [element('text', title, x=str(_LEFT), y='12', class_='title')]
    parts += _y_ticks(y_scale)
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        left, right = x_scale.at(log10(low)), x_scale.at(log10(high))
        top = y_scale.at(count)
        parts.append(element('rect', element('title', f'{low:.3g} to {high:.3g}: {count}'),
                             x=f'{left:.1f}', width=f'{max(right - left - 1, 0.5):.1f}',
                             y=f'{top:.1f}', height=f'{height - _BOTTOM - top:.1f}',
                             fill='var(--blue)'))
    for value in _log_ticks(edges[0], edges[-1]):
        parts.append(element('text', f'{value:g}', x=f'{x_scale.at(log10(value)):.1f}',
                             y=str(height - 10), text_anchor='middle'))
    parts.append(element('text', x_label, x=str(WIDTH - _RIGHT), y='12', text_anchor='end'))
    for number, (name, value) in enumerate((marks or {}).items()):
        x = f'{x_scale.at(log10(value)):.1f}'
        parts.append(element('line', x1=x, x2=x, y1=str(_TOP), y2=str(height - _BOTTOM),
                             stroke='var(--bad)', stroke_dasharray='3 3'))
        parts.append(element('text', f'{name} {value:.3g}', x=x, y=str(_TOP + 12 + 13 * number),
                             dx='4', class_='title'))
    return _svg(title, height, parts)


def bars(title: str, groups: Mapping[str, Mapping[str, float]], *, digits: int = 1,
         most: float | None = None) -> Html:
    """Horizontal bars: a group for each name, in it a bar for each series."""
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    row, label = 13, 170
    height = _TOP + sum(row * len(group) + 7 for group in groups.values()) + 8
    values = [value for group in groups.values() for value in group.values()]
    scale = Scale(min(0.0, *values), most if most is not None else max(0.0, *values) or 1.0,
                  label, WIDTH - 60)
    parts = [element('text', title, x='4', y='12', class_='title')]
    y = float(_TOP)
    for name, group in groups.items():
        middle = y + row * len(group) / 2 + 4
        parts.append(element('text', name, x=str(label - 8), y=f'{middle:.1f}', text_anchor='end',
                             class_='title'))
        for key, value in group.items():
            left, right = sorted((scale.at(0), scale.at(value)))
            colour = SERIES_COLOURS[series.index(key) % len(SERIES_COLOURS)]
            parts.append(element('rect', x=f'{left:.1f}', y=f'{y:.1f}', height=str(row - 2),
                                 width=f'{max(right - left, 0.5):.1f}', fill=colour))
            parts.append(element('text', f'{value:.{digits}f}', x=f'{right + 4:.1f}',
                                 y=f'{y + 9:.1f}'))
            y += row
        y += 7
    if len(series) > 1:
        parts += _legend([(name, SERIES_COLOURS[place % len(SERIES_COLOURS)])
                          for place, name in enumerate(series)])
    return _svg(title, ceil(height), parts)


def _svg(title: str, height: int, parts: Sequence[Html]) -> Html:
    return element('svg', element('title', title), *parts, viewBox=f'0 0 {WIDTH} {height}',
                   role='img', aria_label=title, xmlns='http://www.w3.org/2000/svg')


def _frame(title: str, height: int, x_label: str, x_scale: Scale, y_scale: Scale) -> list[Html]:
    return [element('text', title, x=str(_LEFT), y='12', class_='title'),
            *_y_ticks(y_scale), *_x_ticks(x_scale, height),
            element('text', x_label, x='4', y=str(height - 10))]


def _y_ticks(scale: Scale) -> list[Html]:
    parts = []
    for value in scale.ticks():
        y = f'{scale.at(value):.1f}'
        parts.append(element('line', x1=str(_LEFT), x2=str(WIDTH - _RIGHT), y1=y, y2=y,
                             stroke='var(--line)'))
        parts.append(element('text', _number(value), x=str(_LEFT - 6), y=y, dy='4',
                             text_anchor='end'))
    return parts


def _x_ticks(scale: Scale, height: int) -> list[Html]:
    return [element('text', _number(value), x=f'{scale.at(value):.1f}', y=str(height - 10),
                    text_anchor='middle') for value in scale.ticks()]


def _legend(entries: Sequence[tuple[str, str]]) -> list[Html]:
    parts = []
    x = WIDTH - _RIGHT - sum(20 + 7 * len(name) for name, _ in entries)
    for name, colour in entries:
        parts.append(element('rect', x=str(x), y='4', width='10', height='8', fill=colour))
        parts.append(element('text', name, x=str(x + 14), y='12'))
        x += 20 + 7 * len(name)
    return parts


def _shaded(shade: Shade, x_scale: Scale, height: int) -> Html:
    left, right = x_scale.at(shade.first), x_scale.at(shade.last)
    return element('rect', element('title', shade.name), x=f'{left:.1f}', y=str(_TOP),
                   width=f'{max(right - left, 0.5):.1f}', height=str(height - _BOTTOM - _TOP),
                   fill=shade.colour)


def _area(run: list[int], line: Line, x_scale: Scale, y_scale: Scale) -> Html:
    assert line.low is not None and line.high is not None
    there = [f'{x_scale.at(line.x[i]):.1f},{y_scale.at(line.high[i]):.1f}' for i in run]
    back = [f'{x_scale.at(line.x[i]):.1f},{y_scale.at(line.low[i]):.1f}' for i in reversed(run)]
    return element('polygon', points=' '.join(there + back), fill=line.colour,
                   fill_opacity='0.2', stroke=line.colour, stroke_width='0.5')


def _runs(*arrays: np.ndarray) -> list[list[int]]:
    """The indices between which nothing is NaN, run by run."""
    runs: list[list[int]] = []
    known = np.all([np.isfinite(array) for array in arrays], axis=0)
    for index in np.flatnonzero(known).tolist():
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _joined_states(edges: list[int], states: Sequence[str]) -> list[tuple[int, int, str]]:
    """Neighbouring spans of one state as one: first frame, frame after the last, state."""
    found: list[tuple[int, int, str]] = []
    for first, last, state in zip(edges[:-1], edges[1:], states, strict=True):
        if found and found[-1][2] == state:
            found[-1] = (found[-1][0], last, state)
        else:
            found.append((first, last, state))
    return found


def _extent(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([np.asarray(array, float).ravel() for array in arrays])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _log_ticks(low: float, high: float) -> list[float]:
    return [factor * 10.0 ** power for power in range(floor(log10(low)), ceil(log10(high)) + 1)
            for factor in (1, 2, 5) if low <= factor * 10.0 ** power <= high]


def _number(value: float) -> str:
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
