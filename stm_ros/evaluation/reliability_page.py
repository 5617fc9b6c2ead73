# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The HTML report that `stm reliability` ends with."""
from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stm_ros.evaluation.reliability import ClipOutcome
from stm_ros.evaluation.reliability_report import goals_of
from stm_ros.evaluation.reliability_report import summaries_of
from stm_ros.evaluation.reliability_summary import Goal
from stm_ros.report.charts import Line
from stm_ros.report.charts import Shade
from stm_ros.report.charts import line_chart
from stm_ros.report.charts import state_strip
from stm_ros.report.page import Html
from stm_ros.report.page import Page
from stm_ros.report.page import element
from stm_ros.report.page import picture
from stm_ros.report.page import table

MOST_CLIPS = 60
#: columns by the fields of CaseSummary, named as in docs/reliability.md
HEADINGS = {
    'case': 'case', 'clips': 'clips', 'lost_after': 'lost after', 'lost_share': 'lost in 5',
    'false_share': 'false', 'all_false_share': 'all false', 'found_after': 'found after',
    'found_share': 'found', 'kept_share': 'no switch', 'doubled_share': 'doubled',
    'mean_iou': 'IoU', 'missed': 'missed', 'followed_share': 'kept', 'wrong': 'wrong'}
#: words and colours of what is in view; a target in full view has none
_SHADES = {'absent': '#8b949e66', 'dark': '#484f5899', 'partial': '#8b949e2e'}


def write_page(path: Path, outcomes: Sequence[ClipOutcome], settings: dict[str, Any]) -> None:
    """
    Write what was found as one self-contained HTML file.

    Pictures `CASE_SEED_NUMBER.jpg` that lie beside it (`--sheets`) are taken in.
    """
    goals = goals_of(outcomes)
    met = sum(bool(goal.is_met) for goal in goals if goal.measured is not None)
    measured = sum(goal.measured is not None for goal in goals)
    page = Page('Reliability', f'{met} of {measured} goals that were measured are met, on '
                f'{len(outcomes)} clips of known truth.')
    page.facts({name: str(settings[name]) for name in ('model', 'weights', 'size', 'seeds')
                if name in settings})
    page.section('Goals', table(['goal', 'wanted', 'measured', ''], map(_goal_row, goals)))
    page.section('Cases', _case_table(outcomes),
                 note='Counts are frames, the slowest clip of each case; shares are in per cent, '
                 'behind them the ends of the 95 % interval.')
    for outcome in outcomes[:MOST_CLIPS]:
        clip = outcome.clip
        page.section(f'{clip.case} {clip.seed} {clip.number}', *_clip(outcome, path.parent),
                     note=clip.description)
    if len(outcomes) > MOST_CLIPS:
        page.section('More clips', element('p', f'{len(outcomes) - MOST_CLIPS} clips are not '
                                           'drawn; frames.csv has every frame.'))
    page.write(path)


def _goal_row(goal: Goal) -> list[str]:
    if goal.measured is None:
        return [goal.name, goal.wanted, '', 'not measured']
    figure = (f'{_figure(goal.measured, goal.interval)} %' if '%' in goal.wanted
              else f'{goal.measured:.0f}')
    return [goal.name, goal.wanted, figure, 'met' if goal.is_met else 'missed']


def _case_table(outcomes: Sequence[ClipOutcome]) -> Html:
    rows = [asdict(summary) for summary in summaries_of(outcomes)]
    return table(HEADINGS.values(),
                 [[_figure(row[name], row['intervals'].get(name)) for name in HEADINGS]
                  for row in rows])


def _figure(value: object, interval: tuple[float, float] | None = None) -> str:
    if not isinstance(value, float):
        return '' if value is None else str(value)
    sure = '' if interval is None else f' ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})'
    return f'{100 * value:.1f}{sure}'


def _clip(outcome: ClipOutcome, folder: Path) -> list[Html]:
    records = outcome.records
    x = np.arange(1, len(records) + 1, dtype=float)
    confidence = np.array([record.confidence for record in records])
    iou = np.array([np.nan if record.iou is None else record.iou for record in records])
    switched = np.array([0.02 if record.is_switched else np.nan for record in records])
    lines = [Line(x, confidence, name='confidence'),
             Line(x, iou, name='IoU', colour='var(--good)', dashed=True)]
    if np.isfinite(switched).any():
        lines.append(Line(x, switched, name='on the distractor', colour='var(--bad)'))
    end = len(records) + 1
    parts = [line_chart('confidence and IoU', lines, y_range=(0, 1), x_range=(0, end),
                        shades=list(_shades([record.view.value for record in records]))),
             state_strip(x.astype(int), [record.state.name for record in records], end, 'state')]
    sheet = folder / (
        f'{outcome.clip.case}_{outcome.clip.seed}_{outcome.clip.number}.jpg')
    if sheet.is_file():
        parts.append(picture(sheet.read_bytes(), f'frames of {outcome.clip.description}'))
    return parts


def _shades(views: Sequence[str]) -> Iterable[Shade]:
    """A shade for each run of frames in which the target is not in full view."""
    start = 0
    for place in range(1, len(views) + 1):
        if place == len(views) or views[place] != views[start]:
            if views[start] in _SHADES:
                yield Shade(start + 0.5, place + 0.5, _SHADES[views[start]], views[start])
            start = place
