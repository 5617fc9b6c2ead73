# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reports: what they keep of a long run, what they draw, and that they ask nothing of anybody."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.report.charts import Line
from stm_ros.report.charts import bars
from stm_ros.report.charts import histogram
from stm_ros.report.charts import line_chart
from stm_ros.report.charts import state_strip
from stm_ros.report.history import Durations
from stm_ros.report.history import EvenSample
from stm_ros.report.history import Extremes
from stm_ros.report.history import History
from stm_ros.report.page import Html
from stm_ros.report.page import Page
from stm_ros.report.page import element
from stm_ros.report.page import jpeg
from stm_ros.report.page import picture
from stm_ros.report.page import table

VOID = {'meta', 'img', 'br', 'line', 'rect', 'circle', 'polyline', 'polygon'}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    text: str = ''


class Outline(HTMLParser):
    """Reads a page and fails where an element is not closed, or closed in the wrong place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[Element] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append(Element(tag, dict(attributes)))
        if tag not in ('meta', 'img'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.found:
            self.found[-1].text += data

    def named(self, name: str) -> list[Element]:
        return [part for part in self.found if part.name == name]


def assert_self_contained(page: str) -> Outline:
    outline = Outline(page)
    for part in outline.found:
        assert part.name not in ('script', 'link', 'iframe', 'object')
        for name, value in part.attributes.items():
            assert not name.startswith('on')
            if name in ('src', 'href'):
                assert value.startswith('data:image/'), value[:60]
    assert not re.search(r'url\(|@import', page)
    return outline


def test_what_people_type_cannot_become_markup(tmp_path: Path) -> None:
    page = Page('<script>alert(1)</script>', 'a & b "c"')
    page.facts({'<b>': '<img src=x onerror=alert(1)>'})
    page.section('x', element('p', 'a < b', title='"><i>'), table(['<u>'], [['1', '<s>']]),
                 picture(jpeg(np.zeros((4, 4, 3), np.uint8), 9), 'a "quoted" picture', '<em>'))
    page.write(tmp_path / 'report.html')
    outline = assert_self_contained((tmp_path / 'report.html').read_text())
    assert not {'b', 'i', 'u', 's', 'em'} & {part.name for part in outline.found}
    assert outline.named('h1')[0].text == '<script>alert(1)</script>'
    assert outline.named('img')[0].attributes['alt'] == 'a "quoted" picture'
    assert list(tmp_path.iterdir()) == [tmp_path / 'report.html']


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / 'report.html').write_text('old')
    page = Page('new')
    monkeypatch.setattr(Path, 'replace', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        page.write(tmp_path / 'report.html')
    assert (tmp_path / 'report.html').read_text() == 'old'


@given(st.lists(st.one_of(st.floats(-100, 100), st.just(float('nan'))), min_size=1, max_size=300),
       st.integers(1, 8))
def test_history_is_small_and_forgets_no_extreme(values: list[float], limit: int) -> None:
    history = History(1, limit)
    for value in values:
        history.add(np.array([value]))
    starts, lows, means, highs = (history.starts(), history.lows(), history.means(),
                                  history.highs())
    assert history.count == len(values) and 1 <= len(starts) <= 2 * limit
    assert starts[0] == 0 and (np.diff(starts) > 0).all()
    edges = [*starts.tolist(), len(values)]
    for place, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = np.array(values[first:last])
        known = part[~np.isnan(part)]
        for found, wanted in ((lows, np.min), (highs, np.max), (means, np.mean)):
            if known.size:
                assert found[place, 0] == pytest.approx(wanted(known), abs=1e-9)
            else:
                assert np.isnan(found[place, 0])


def test_history_refuses_rows_of_another_width() -> None:
    with pytest.raises(ValueError, match='2 values'):
        History(2).add(np.zeros(3))


@given(st.lists(st.integers(0, 50), max_size=200), st.integers(1, 5), st.integers(1, 20))
def test_extremes_are_the_highest_and_lie_apart(scores: list[int], limit: int, apart: int) -> None:
    extremes: Extremes[int] = Extremes(limit, apart)
    for step, score in enumerate(scores):
        extremes.offer(step, score, lambda kept=step: kept)
    chosen = extremes.chosen()
    assert len(chosen) <= limit
    steps = sorted(step for _, step, _ in chosen)
    assert all(later - earlier >= apart for earlier, later in zip(steps, steps[1:], strict=False))
    assert all(scores[step] == score and kept == step for score, step, kept in chosen)
    if scores:
        assert chosen[0][0] == max(scores)
        assert [score for score, _, _ in chosen] == sorted(
            (score for score, _, _ in chosen), reverse=True)


def test_even_sample_makes_only_what_it_keeps() -> None:
    made: list[int] = []
    sample: EvenSample[int] = EvenSample(4)
    for number in range(1000):
        sample.offer(lambda number=number: made.append(number) or number)
    chosen = sample.chosen()
    assert [place for place, _ in chosen] == [kept for _, kept in chosen]
    assert len(chosen) == 4 and chosen[0][0] == 0 and chosen[-1][0] > 750
    assert len(made) < 60


@given(st.lists(st.floats(2e-4, 900), min_size=1, max_size=80), st.floats(0, 1))
def test_durations_know_percentiles_to_their_bins(seconds: list[float], share: float) -> None:
    durations = Durations()
    for value in seconds:
        durations.add(value)
    exact = sorted(seconds)[max(0, int(np.ceil(round(share * len(seconds), 9))) - 1)]
    assert durations.percentile(share) == pytest.approx(exact, rel=0.03)
    edges, counts = durations.bins()
    assert counts.sum() == durations.count == len(seconds)
    assert edges[0] <= min(seconds) * 1.0001 and max(seconds) <= edges[-1] * 1.0001


def test_durations_outside_the_bins_are_counted() -> None:
    durations = Durations()
    for value in (0.0, 1e-9, 1e9):
        durations.add(value)
    assert durations.count == 3 and durations.bins()[1].sum() == 3
    with pytest.raises(ValueError, match='nothing'):
        Durations().percentile(0.5)


def coordinates(chart: Html, name: str) -> list[list[tuple[float, float]]]:
    return [[tuple(map(float, pair.split(','))) for pair in part.attributes['points'].split()]
            for part in Outline(chart).named(name)]


def test_a_line_breaks_where_there_is_no_value() -> None:
    x = np.arange(6.0)
    y = np.array([0.0, 1.0, np.nan, 0.5, np.nan, 1.0])
    chart = line_chart('c', [Line(x, y, y - 0.1, y + 0.1)], y_range=(0, 1))
    [run] = coordinates(chart, 'polyline')
    assert len(run) == 2 and run[0][1] > run[1][1], 'upwards is up'
    assert len(Outline(chart).named('circle')) == 2, 'single values are dots'
    assert len(coordinates(chart, 'polygon')) == 3


def test_charts_without_values_are_drawn() -> None:
    nothing = np.array([np.nan, np.nan])
    for chart in (line_chart('a', [Line(np.arange(2.0), nothing)]), line_chart('b', [Line(
            np.zeros(0), np.zeros(0))]), bars('c', {'one': {'x': 0.0}}),
            state_strip(np.zeros(0, int), [], 0, 'd')):
        assert Outline(chart).named('svg')[0].attributes['role'] == 'img'
        assert 'nan' not in chart


def test_state_strip_joins_equal_neighbours() -> None:
    chart = state_strip(np.array([0, 4, 8, 12]), ['TRACKING', 'TRACKING', 'LOST', 'TRACKING'], 16,
                        'state')
    shown = [part.text for part in Outline(chart).named('title')][1:]
    assert shown == ['frames 0 to 7: TRACKING', 'frames 8 to 11: LOST', 'frames 12 to 15: TRACKING']
    blocks = [part.attributes for part in Outline(chart).named('rect')][:3]
    assert float(blocks[1]['height']) > float(blocks[0]['height'])
    assert float(blocks[0]['width']) == pytest.approx(2 * float(blocks[1]['width']), rel=1e-2)


def test_histogram_draws_counts_and_marks() -> None:
    chart = histogram('t', np.array([1.0, 10.0, 100.0]), np.array([1, 3]), x_label='ms',
                      marks={'p50': 20.0})
    rows = [part.attributes for part in Outline(chart).named('rect')]
    assert float(rows[1]['height']) == pytest.approx(3 * float(rows[0]['height']), rel=0.02)
    assert 'p50 20' in chart


def test_bars_go_both_ways_from_zero() -> None:
    chart = bars('drop', {'dark': {'1': -2.0, '2': 4.0}}, digits=0)
    assert '>4<' in chart
    first, second = [part.attributes for part in Outline(chart).named('rect')][:2]
    end_of_first = float(first['x']) + float(first['width'])
    assert end_of_first == pytest.approx(float(second['x']), abs=0.2)
    assert float(second['width']) == pytest.approx(2 * float(first['width']), rel=0.02)
