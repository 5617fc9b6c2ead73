# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The reliability benchmark's outcome as text, JSON, CSV and pictures."""
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from stm_ros.evaluation.drawing import draw_frame
from stm_ros.evaluation.reliability import ClipOutcome
from stm_ros.evaluation.reliability_summary import TURNING_CASE
from stm_ros.evaluation.reliability_summary import CaseSummary
from stm_ros.evaluation.reliability_summary import Goal
from stm_ros.evaluation.reliability_summary import judge_goals
from stm_ros.evaluation.reliability_summary import summarise_case
from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.reliability_clips import ClipFrame
from stm_ros.synthetic.reliability_clips import View
from stm_ros.tracking import Result
from stm_ros.tracking import TargetState

_STATE_COLOURS = {TargetState.TRACKING: 'tab:green', TargetState.UNCERTAIN: 'tab:orange',
                  TargetState.LOST: 'tab:red'}
_VIEW_COLOURS = {View.ABSENT: '0.8', View.DARK: '0.5', View.PARTIAL: '0.92'}
_SHEET_COLUMNS = 8
_SHEET_ROWS = 4
_THUMBNAIL_HEIGHT = 150
_SHEET_QUALITY = 85
_COLUMNS = ('case', 'clips', 'lost after', 'lost in 5', 'false', 'all false', 'found after',
            'found', 'no switch', 'doubled', 'IoU', 'missed', 'kept', 'wrong')
#: the columns of a timeline's picture; further clips of a case are not drawn
_MOST_DRAWN = 6


def summaries_of(outcomes: Sequence[ClipOutcome]) -> list[CaseSummary]:
    """One summary of each case, in the order of `outcomes`."""
    cases = dict.fromkeys(outcome.clip.case for outcome in outcomes)
    return [summarise_case(case, [outcome.score for outcome in outcomes
                                  if outcome.clip.case == case]) for case in cases]


def as_text(outcomes: Sequence[ClipOutcome]) -> str:
    """
    The table and the goals as a person reads them; frames as they are, shares in per cent.

    Behind a share stand the ends of its 95 % interval, where there are at least two clips.
    """
    rows = [_COLUMNS] + [_cells(summary) for summary in summaries_of(outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ['  '.join([row[0].ljust(widths[0]), *(
        cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows]
    return '\n'.join([*lines, '', *map(_goal_line, goals_of(outcomes))])


def goals_of(outcomes: Sequence[ClipOutcome]) -> list[Goal]:
    """The goals over all clips."""
    return judge_goals([outcome.score for outcome in outcomes],
                       [outcome.score for outcome in outcomes
                        if outcome.clip.case == TURNING_CASE])


def _cells(summary: CaseSummary) -> tuple[str, ...]:
    def share(name: str) -> str:
        value = getattr(summary, name)
        interval = summary.intervals.get(name) if summary.clips > 1 else None
        return _share(value) if interval is None else f'{_share(value)} {_between(interval)}'

    return (summary.case, str(summary.clips), _count(summary.lost_after), share('lost_share'),
            share('false_share'), share('all_false_share'), _count(summary.found_after),
            share('found_share'), share('kept_share'), share('doubled_share'),
            _share(summary.mean_iou), share('missed'), share('followed_share'), share('wrong'))


def _goal_line(goal: Goal) -> str:
    if goal.measured is None:
        return f'goal not measured: {goal.name} {goal.wanted}'
    figure = f'{100 * goal.measured:.1f} %' if '%' in goal.wanted else f'{goal.measured:.0f}'
    sure = '' if goal.interval is None else f' {_between(goal.interval)}'
    return (f'goal {"met" if goal.is_met else "MISSED"}: {goal.name} {goal.wanted}; '
            f'it is {figure}{sure}')


def _count(value: int | None) -> str:
    return '-' if value is None else str(value)


def _share(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'


def _between(interval: tuple[float, float]) -> str:
    return f'({100 * interval[0]:.0f}-{100 * interval[1]:.0f})'


def write_report(folder: Path, outcomes: Sequence[ClipOutcome], settings: dict[str, Any]) -> None:
    """Write reliability.json, clips.csv, frames.csv and timeline.png into `folder`.

    :param settings: JSON-able, says what was measured and how.
    """
    content = {'settings': settings, 'goals': [asdict(goal) for goal in goals_of(outcomes)],
               'cases': [asdict(summary) for summary in summaries_of(outcomes)],
               'clips': _clip_rows(outcomes)}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / 'reliability.json').write_text(text + '\n', encoding='utf-8')
    _write_csv(folder / 'clips.csv', _clip_rows(outcomes))
    _write_csv(folder / 'frames.csv', _frame_rows(outcomes))
    draw_timelines(outcomes).savefig(folder / 'timeline.png', dpi=90)


def _clip_rows(outcomes: Sequence[ClipOutcome]) -> list[dict[str, Any]]:
    return [{'case': outcome.clip.case, 'seed': outcome.clip.seed, 'clip': outcome.clip.number,
             'shows': outcome.clip.description, **asdict(outcome.score)} for outcome in outcomes]


def _frame_rows(outcomes: Sequence[ClipOutcome]) -> list[dict[str, Any]]:
    return [{'case': outcome.clip.case, 'seed': outcome.clip.seed, 'clip': outcome.clip.number,
             'frame': index,
             'view': record.view.value, 'state': record.state.name,
             'confidence': f'{record.confidence:.4f}',
             'IoU': '' if record.iou is None else f'{record.iou:.4f}',
             'apart': int(record.apart), 'on target': record.on_target,
             'on look-alike': record.on_look_alike, 'switched': int(record.is_switched)}
            for outcome in outcomes for index, record in enumerate(outcome.records, start=1)]


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw_timelines(outcomes: Sequence[ClipOutcome]) -> Figure:
    """Confidence, IoU and state over time: a row for each case, with its first six clips."""
    rows = {case: [outcome for outcome in outcomes if outcome.clip.case == case][:_MOST_DRAWN]
            for case in dict.fromkeys(outcome.clip.case for outcome in outcomes)}
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(5 * columns, 2.2 * len(rows)), layout='constrained')
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, drawn in zip(grid, rows.values(), strict=True):
        for axes, outcome in zip(row, drawn, strict=False):
            _draw_clip(axes, outcome)
    figure.suptitle('line: confidence; dots: IoU; below: state (green TRACKING, orange UNCERTAIN, '
                    'red LOST); grey: absent, dark or partly in view; cross: on the look-alike')
    return figure


def _draw_clip(axes: Any, outcome: ClipOutcome) -> None:
    records = outcome.records
    times = np.arange(1, len(records) + 1)
    for view, colour in _VIEW_COLOURS.items():
        seen = [record.view == view for record in records]
        axes.fill_between(times, 0, 1, where=seen, step='mid', color=colour, linewidth=0)
    axes.plot(times, [record.confidence for record in records], linewidth=1)
    axes.plot(times, [np.nan if record.iou is None else record.iou for record in records], '.',
              color='black', markersize=3)
    axes.scatter(times, np.full(len(times), -0.08), s=6, marker='s',
                 c=[_STATE_COLOURS[record.state] for record in records])
    switched = [time for time, record in zip(times, records, strict=True) if record.is_switched]
    axes.plot(switched, [0.05] * len(switched), 'x', color='tab:red')
    axes.set(ylim=(-0.15, 1.05), xlim=(0, len(records) + 1))
    axes.set_title(f'{outcome.clip.case} {outcome.clip.seed}/{outcome.clip.number}: '
                   f'{outcome.clip.description}',
                   fontsize='small')


class ContactSheet:
    """Keeps small pictures of a clip's frames, to look at those where something happens."""

    def __init__(self) -> None:
        """Start empty."""
        self._pictures: list[tuple[int, View, TargetState, np.ndarray]] = []

    def watch(self, index: int, frame: ClipFrame, result: Result) -> None:
        """Draw a frame: mask tinted, truth outlined in white, index, state and confidence."""
        target = next(item for item in result.targets if item.id == TARGET_ID)
        picture = draw_frame(frame.image, result.label_map, frame.truth.astype(np.uint8))
        scale = _THUMBNAIL_HEIGHT / picture.shape[0]
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        words = f'{index} {target.state.name} {target.confidence:.2f}'
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(small, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width)
        self._pictures.append((index, frame.view, target.state, small))

    def write(self, path: Path) -> None:
        """Write the frames at and after each change of view or state, evenly filled up."""
        chosen = self._chosen()
        blank = np.zeros_like(self._pictures[0][3])
        cells = [self._pictures[place][3] for place in chosen]
        cells += [blank] * (-len(cells) % _SHEET_COLUMNS)
        rows = [np.hstack(cells[start:start + _SHEET_COLUMNS])
                for start in range(0, len(cells), _SHEET_COLUMNS)]
        _, code = cv2.imencode('.jpg', np.vstack(rows)[..., ::-1],
                               [cv2.IMWRITE_JPEG_QUALITY, _SHEET_QUALITY])
        path.write_bytes(code.tobytes())

    def _chosen(self) -> list[int]:
        count, most = len(self._pictures), _SHEET_COLUMNS * _SHEET_ROWS
        changes = [place for place in range(1, count)
                   if self._pictures[place][1:3] != self._pictures[place - 1][1:3]]
        chosen = sorted({place + step for place in changes for step in (0, 3)
                         if place + step < count})[:most]
        even = np.linspace(0, count - 1, most).round().astype(int).tolist()
        spare = [place for place in even if place not in chosen]
        free = most - len(chosen)
        picked = spare[::max(1, -(-len(spare) // free))][:free] if free else []
        return sorted({*chosen, *picked})
