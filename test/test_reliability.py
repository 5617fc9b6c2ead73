# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The reliability benchmark: its clips show what they claim, its measures count as they say."""
import csv
import json
from importlib.util import find_spec

import numpy as np
import pytest
from test_report import assert_self_contained

from stm_ros.cli.main import main
from stm_ros.evaluation.reliability import Record
from stm_ros.evaluation.reliability import judge
from stm_ros.evaluation.reliability import score_clip
from stm_ros.synthetic.reliability_clips import CASES
from stm_ros.synthetic.reliability_clips import ClipFrame
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.synthetic.reliability_clips import View
from stm_ros.synthetic.reliability_clips import are_apart
from stm_ros.tracking import MemoryReport
from stm_ros.tracking import Result
from stm_ros.tracking import TargetResult
from stm_ros.tracking import TargetState
from stm_ros.vision.errors import InputError

photographs_installed = pytest.mark.skipif(
    find_spec('skimage') is None, reason='scikit-image, whose photographs are used, is absent')
SIZE = (96, 128)
SHORT = tuple(case for case in CASES if case not in ('leave_100', 'leave_1000'))
TRACKING, UNCERTAIN, LOST = TargetState.TRACKING, TargetState.UNCERTAIN, TargetState.LOST


def views(case: str, number: int = 0) -> list[View]:
    return [frame.view for frame in ReliabilityClip(case, number, SIZE).frames()]


def stretches(case: str, number: int) -> list[View]:
    """The views of a clip without repetitions."""
    seen = views(case, number)
    return [view for place, view in enumerate(seen) if place == 0 or seen[place - 1] != view]


@photographs_installed
@pytest.mark.parametrize('case', SHORT)
def test_a_clip_is_the_same_every_time_and_another_for_another_seed(case):
    first, again, other = (list(ReliabilityClip(case, 1, SIZE, seed).frames())
                           for seed in (2, 2, 3))
    assert len(first) == len(ReliabilityClip(case, 1, SIZE))
    for one, two in zip(first, again, strict=True):
        assert one.image.shape == (*SIZE, 3) and one.image.dtype == np.uint8
        assert np.array_equal(one.image, two.image) and np.array_equal(one.truth, two.truth)
    assert not np.array_equal(first[0].image, other[0].image)


@photographs_installed
@pytest.mark.parametrize('case', SHORT)
def test_the_first_frame_shows_the_whole_target(case):
    shown = set()
    for number in range(3):
        clip = ReliabilityClip(case, number, SIZE)
        truth = next(clip.frames()).truth
        assert truth.sum() > 0.03 * truth.size
        assert not (truth[0].any() or truth[-1].any() or truth[:, 0].any() or truth[:, -1].any())
        shown.add(clip.description.split()[0])
    assert len(shown) == 3


@photographs_installed
@pytest.mark.parametrize('number', range(4))
def test_it_leaves_for_as_long_as_is_said_and_comes_back(number):
    for case, least in (('leave_10', 10), ('leave_100', 100)):
        seen = views(case, number)
        absent = [place for place, view in enumerate(seen) if view == View.ABSENT]
        assert least <= len(absent) <= least + 6
        assert absent == list(range(absent[0], absent[-1] + 1))
        assert seen[0] == View.VISIBLE and seen[-25:] == [View.VISIBLE] * 25
    assert len(ReliabilityClip('leave_1000', 0)) - len(ReliabilityClip('leave_10', 0)) == 990


@photographs_installed
@pytest.mark.parametrize('number', range(6))
def test_it_is_hidden_altogether_and_seen_again(number):
    seen = views('full_occlusion', number)
    absent = [place for place, view in enumerate(seen) if view == View.ABSENT]
    assert len(absent) >= 15 and absent == list(range(absent[0], absent[-1] + 1))
    assert seen[:15] == [View.VISIBLE] * 15 and seen[-20:] == [View.VISIBLE] * 20


@photographs_installed
@pytest.mark.parametrize('number', range(3))
def test_cuts_are_sharp_and_the_light_goes_off_and_on(number):
    assert stretches('scene_cut', number) == [View.VISIBLE, View.ABSENT, View.VISIBLE]
    assert stretches('lights', number) == [View.VISIBLE, View.DARK, View.VISIBLE]
    frames = list(ReliabilityClip('lights', number, SIZE).frames())
    for frame in frames:
        if frame.view == View.DARK:
            assert frame.image.mean() < 8 and frame.truth.any()
    cut = list(ReliabilityClip('scene_cut', number, SIZE).frames())
    changes = [np.abs(after.image.astype(int) - before.image).mean()
               for before, after in zip(cut, cut[1:], strict=False)]
    assert sorted(np.argsort(changes)[-2:]) == [14, 29]


@photographs_installed
@pytest.mark.parametrize('number', range(4))
def test_two_alike_are_apart_then_cross_then_are_apart_on_the_other_side(number):
    frames = list(ReliabilityClip('look_alike', number, SIZE).frames())
    apart = [are_apart(frame.truth, frame.look_alike) for frame in frames]
    assert all(apart[:15]) and all(apart[-15:]) and not all(apart[20:45])
    for frame in frames:
        assert not (frame.truth & frame.look_alike).any()

    def column(mask: np.ndarray) -> float:
        return float(np.nonzero(mask)[1].mean())
    sides = [column(frame.truth) > column(frame.look_alike) for frame in (frames[0], frames[-1])]
    assert sides[0] != sides[1]
    first = frames[0]
    assert abs(first.truth.sum() - first.look_alike.sum()) < 0.05 * first.truth.sum()
    hidden = min(frame.truth.sum() + frame.look_alike.sum() for frame in frames)
    assert hidden < 0.8 * (first.truth.sum() + first.look_alike.sum())


@photographs_installed
def test_deformation_changes_size_and_shape_slowly():
    frames = list(ReliabilityClip('deformation', 0, SIZE).frames())
    areas = np.array([frame.truth.sum() for frame in frames])
    assert areas.min() < 0.7 * areas[0] and areas.max() > 1.2 * areas[0]
    overlaps = [(a.truth & b.truth).sum() / (a.truth | b.truth).sum()
                for a, b in zip(frames, frames[1:], strict=False)]
    assert min(overlaps) > 0.7 and {frame.view for frame in frames} == {View.VISIBLE}


def seen(state: TargetState = TRACKING, iou: float = 0.9, **more) -> Record:
    return Record(View.VISIBLE, state, 0.9, iou, **more)


def gone(state: TargetState, view: View = View.ABSENT) -> Record:
    return Record(view, state, 0.9, None)


def test_frames_to_declare_lost_count_from_one():
    for states, frames in (([LOST, LOST], 1), ([UNCERTAIN, TRACKING, LOST, LOST], 3),
                           ([TRACKING] * 4, 5)):
        assert score_clip([seen(), *map(gone, states), seen()]).lost_after == frames
    assert score_clip([seen(), seen()]).lost_after is None


def test_false_detections_are_what_is_not_lost_past_the_first_five_frames():
    states = [TRACKING, TRACKING, LOST, LOST, LOST, LOST, UNCERTAIN, LOST, TRACKING, LOST]
    score = score_clip([seen(), *map(gone, states)])
    assert (score.false_detections, score.judged_absent) == (2, 5)
    assert (score.all_false_detections, score.absent) == (4, 10)


@pytest.mark.parametrize('back, frames', [
    ([seen()], 1), ([seen(LOST, 0.0), seen(UNCERTAIN, 0.8), seen(TRACKING, 0.6)], 3),
    ([seen(TRACKING, 0.5), seen(TRACKING, 0.4)], 3)])
def test_frames_to_find_again_need_the_state_and_the_place(back, frames):
    part = Record(View.PARTIAL, TRACKING, 0.9, 0.9)
    for unseen in (gone(LOST), gone(LOST, View.DARK)):
        assert score_clip([seen(), unseen, part, *back]).found_after == frames
    assert score_clip([seen(), *back]).found_after is None


def test_switches_are_counted_only_while_both_are_apart():
    records = [seen(on_target=10, on_look_alike=9, covers_look_alike=0.9, apart=True),
               seen(on_target=9, on_look_alike=10, covers_look_alike=0.9, apart=True),
               seen(on_target=0, on_look_alike=10, apart=False),
               seen(on_target=10, on_look_alike=1, covers_look_alike=0.1, apart=True)]
    score = score_clip(records)
    assert (score.switched_frames, score.doubled_frames, score.apart_frames) == (1, 1, 3)


def test_what_is_missed_and_what_is_confidently_wrong():
    records = [seen(iou=0.8), seen(LOST, 0.0), seen(TRACKING, 0.4), gone(TRACKING),
               gone(TRACKING, View.DARK), gone(UNCERTAIN), gone(TRACKING, View.PARTIAL), gone(LOST)]
    score = score_clip(records)
    assert score.missed == pytest.approx(1 / 3)
    assert score.mean_iou == pytest.approx(0.4)
    assert score.wrong == pytest.approx(3 / 8)


def test_an_answer_is_compared_with_the_truth():
    truth, other, answer = (np.zeros(SIZE, bool) for _ in range(3))
    truth[10:30, 10:30] = True
    other[10:30, 60:80] = True
    answer[10:30, 20:30] = answer[10:20, 60:80] = True
    result = Result('camera', 0, answer.astype(np.uint8), (
        TargetResult(1, 'it', TRACKING, 0.7, False, None, 400),), MemoryReport(), False, None,
        answer.astype(np.uint8))
    record = judge(ClipFrame(np.zeros((*SIZE, 3), np.uint8), truth, other, View.VISIBLE), result,
                   400)
    assert record.iou == pytest.approx(200 / 600)
    assert (record.on_target, record.on_look_alike, record.apart) == (200, 200, True)
    assert (record.covers_look_alike, record.confidence) == (0.5, 0.7)
    near = np.roll(truth, 21, axis=1)
    assert not are_apart(truth, near) and are_apart(truth, other)


@photographs_installed
def test_the_command_writes_table_figures_and_pictures(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    code = main(['reliability', '--size', '128x96', '--cases', 'scene_cut,look_alike', '--clips',
                 '1', '--sheets', '--set', 'memorize_every=7', '--out', str(tmp_path)])
    printed = capsys.readouterr().out
    assert code == 0 and 'false detections while absent' in printed
    content = json.loads((tmp_path / 'reliability.json').read_text())
    assert [case['case'] for case in content['cases']] == ['scene_cut', 'look_alike']
    assert content['settings']['tracker']['memorize_every'] == 7
    assert len(content['goals']) == 6
    with (tmp_path / 'frames.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 54 + 69 and {row['view'] for row in rows} == {'visible', 'absent'}
    for name in ('clips.csv', 'timeline.png', 'scene_cut_0_0.jpg', 'look_alike_0_0.jpg'):
        assert (tmp_path / name).stat().st_size > 100
    outline = assert_self_contained((tmp_path / 'report.html').read_text())
    assert [part.text for part in outline.named('h2')] == [
        'Goals', 'Cases', 'scene_cut 0 0', 'look_alike 0 0']
    assert len(outline.named('img')) == 2 and len(outline.named('svg')) == 4
    shaded = [part.text for part in outline.named('title') if part.text == 'absent']
    assert len(shaded) == 1, 'the target is away once'


def test_refusals(capsys):
    with pytest.raises(InputError, match='leave_10'):
        ReliabilityClip('leave_7', 0)
    with pytest.raises(InputError, match='20x30'):
        ReliabilityClip('leave_10', 0, (20, 30))
    for words, told in ((['--size', '240'], "size '240' is not of the form"),
                        (['--clips', '0'], '--clips 0'),
                        (['--cases', 'tea'], 'leave_1000'), (['--set', 'tea=1'], 'memorize_every'),
                        (['--seeds', '9-3'], '--seeds 9-3'), (['--seed', '-1'], '--seeds'),
                        (['--cases', 'unseen_sides'], '--objects DIR')):
        assert main(['reliability', *words]) == 2
        assert told in capsys.readouterr().err
