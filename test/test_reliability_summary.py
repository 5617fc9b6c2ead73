# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores summed up: shares with their uncertainty, goals, seeds and the table."""
import json

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.cli.main import main
from stm_ros.cli.reliability import parse_seeds
from stm_ros.evaluation.reliability import Record
from stm_ros.evaluation.reliability import score_clip
from stm_ros.evaluation.reliability_summary import judge_goals
from stm_ros.evaluation.reliability_summary import summarise_case
from stm_ros.evaluation.uncertainty import pooled_interval
from stm_ros.evaluation.uncertainty import wilson_interval
from stm_ros.synthetic.reliability_clips import View
from stm_ros.tracking import TargetState
from stm_ros.vision.errors import InputError

TRACKING, LOST = TargetState.TRACKING, TargetState.LOST


def seen(state: TargetState = TRACKING, iou: float = 0.9, **more) -> Record:
    return Record(View.VISIBLE, state, 0.9, iou, **more)


def gone(state: TargetState, view: View = View.ABSENT) -> Record:
    return Record(view, state, 0.9, None)


def test_a_case_is_summarised_and_goals_are_judged():
    good = score_clip([seen(), *[gone(LOST)] * 10, seen()])
    slow = score_clip([seen(), *[gone(TRACKING)] * 6, *[gone(LOST)] * 4, *[seen(LOST, 0.0)] * 6])
    summary = summarise_case('leave_10', [good, slow])
    assert (summary.lost_after, summary.found_after, summary.found_share) == (7, 7, 0.5)
    assert summary.false_share == pytest.approx(0.1)
    assert summary.all_false_share == pytest.approx(0.3)
    assert summary.kept_share is None
    assert [goal.is_met for goal in judge_goals([good])] == [True, True, True, None, True, None]
    assert [goal.is_met for goal in judge_goals([good, slow])] == [
        False, False, False, None, False, None]
    switched = score_clip([seen(on_look_alike=1, apart=True)])
    assert judge_goals([switched])[3].is_met is False


def test_lost_in_view_is_pooled_over_frames_not_clips():
    short = score_clip([seen(LOST, 0.0)] * 2)
    long = score_clip([seen()] * 98)
    goal = judge_goals([short, long])[4]
    assert goal.measured == pytest.approx(0.02) and goal.is_met
    assert goal.interval == (0.0, 1.0)
    assert summarise_case('lights', [short, long]).missed == pytest.approx(0.02)


@pytest.mark.parametrize('records, kept', [
    ([seen()] * 30, True),
    ([seen(LOST, 0.0)] * 2 + [seen()] * 18, True),
    ([seen(LOST, 0.0)] * 3 + [seen()] * 17, False),
    ([seen()] * 29 + [seen(iou=0.4)], False),
    ([seen()] * 25 + [seen(iou=0.4)] + [seen()] * 5, True),
    ([seen()] * 20 + [gone(TRACKING, View.PARTIAL)], True),
    ([gone(LOST)] * 5, None)])
def test_a_target_is_kept_if_hardly_lost_and_followed_to_the_end(records, kept):
    assert score_clip(records).kept is kept


def test_the_goal_of_turning_is_judged_on_the_clips_that_turn():
    good, bad = score_clip([seen()] * 30), score_clip([seen(LOST, 0.0)] * 30)
    goal = judge_goals([good, bad], turning=[good] * 9 + [bad])[5]
    assert goal.measured == 0.9 and goal.is_met
    assert goal.interval == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert not judge_goals([good, bad], turning=[good, bad])[5].is_met


def test_wilsons_interval_has_the_textbook_values():
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(27, 30) == pytest.approx((0.7438, 0.9654), abs=1e-4)
    with pytest.raises(ValueError, match='3 successes in 2'):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match='0 trials'):
        wilson_interval(0, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share_and_is_mirrored(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 50).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=12))
def test_a_pooled_interval_lies_between_the_worst_and_the_best_clip(parts):
    low, high = pooled_interval(parts)
    shares = [counted / of for counted, of in parts]
    assert 0 <= low <= high <= 1
    if 0 < sum(shares) < len(shares):
        assert min(shares) - 1e-9 <= low and high <= max(shares) + 1e-9


def test_nothing_counted_in_few_clips_is_not_certainty():
    assert pooled_interval([(0, 90)] * 3) == wilson_interval(0, 3)
    assert pooled_interval([(90, 90)] * 3) == wilson_interval(3, 3)
    assert pooled_interval([(0, 90)] * 3 + [(0, 0)] * 7) == wilson_interval(0, 3)


def test_seeds_are_one_or_several():
    assert parse_seeds('100-109') == list(range(100, 110))
    assert parse_seeds('0,7') == [0, 7] and parse_seeds('3') == [3]
    assert parse_seeds('1-2,2') == [1, 2]
    for text in ('', '-1', '5-4', 'a', '1-', '0-100', '0-99,200-299', '1,,2'):
        with pytest.raises(InputError, match='--seeds'):
            parse_seeds(text)


def test_several_seeds_make_one_table_with_uncertainty(tmp_path, capsys):
    pytest.importorskip('skimage', reason='scikit-image has the photographs')
    pytest.importorskip('matplotlib')
    assert main(['reliability', '--size', '128x96', '--cases', 'scene_cut', '--clips', '1',
                 '--seeds', '4,5', '--out', str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert 'scene_cut 4/0' in printed and 'scene_cut 5/0' in printed
    content = json.loads((tmp_path / 'reliability.json').read_text())
    [case] = content['cases']
    assert case['clips'] == 2 and content['settings']['seeds'] == [4, 5]
    low, high = case['intervals']['found_share']
    assert low <= case['found_share'] <= high and high - low > 0.2
    row = next(line for line in printed.splitlines() if line.startswith('scene_cut  '))
    assert f'({100 * low:.0f}-{100 * high:.0f})' in row
    assert [clip['seed'] for clip in content['clips']] == [4, 5]


def test_rendered_cases_are_left_out_with_a_sentence_where_no_objects_are_given(tmp_path, capsys):
    pytest.importorskip('skimage', reason='scikit-image has the photographs')
    pytest.importorskip('matplotlib')
    from argparse import ArgumentParser

    from stm_ros.cli import reliability
    parser = ArgumentParser()
    reliability.add_arguments(parser)
    clips = reliability._clips(parser.parse_args([]), (96, 128), [0])
    assert 'unseen_sides and same_kind are left out: they need' in capsys.readouterr().out
    assert len(clips) == 8 * 3
