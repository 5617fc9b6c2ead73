# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The HTML report that `stm eval` ends with."""
from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Items
from pathlib import Path

import numpy as np

from stm_ros.evaluation.calibration import Calibration
from stm_ros.evaluation.datasets import Benchmark
from stm_ros.evaluation.drawing import draw_frame
from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.plots import worst_frames
from stm_ros.evaluation.report import Evaluation
from stm_ros.evaluation.report import by_sequence
from stm_ros.evaluation.robustness import Comparison
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import Summary
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.scoring import summarise_attributes
from stm_ros.evaluation.sequences import Sequence
from stm_ros.evaluation.watching import Watches
from stm_ros.report.charts import Line
from stm_ros.report.charts import bars
from stm_ros.report.charts import line_chart
from stm_ros.report.page import Html
from stm_ros.report.page import Page
from stm_ros.report.page import element
from stm_ros.report.page import gallery
from stm_ros.report.page import jpeg
from stm_ros.report.page import picture
from stm_ros.report.page import table
from stm_ros.report.watching import still_picture
from stm_ros.report.watching import time_chart

WORST_FRAMES = 12
CURVES = 12
MOST_SEQUENCES = 100
PICTURE_WIDTH = 400


def write_page(path: Path, evaluation: Evaluation, benchmark: Benchmark, predictions: Path) -> None:
    """
    Write what was found as one self-contained HTML file.

    :param predictions: folder of the label maps that the worst frames are drawn from.
    """
    settings = evaluation.settings
    title = f'{settings["dataset"]}, {settings["split"]}'
    page = Page(f'Evaluation: {title}', _sentence(evaluation))
    page.facts(_facts(evaluation))
    if evaluation.watches is not None and evaluation.watches.durations.count:
        _add_glance(page, evaluation.watches)
    if evaluation.scores:
        _add_scores(page, evaluation)
        page.section('Worst frames', gallery(_worst(evaluation, benchmark, predictions)),
                     note='The lowest J&F, one frame of each sequence first. The prediction is '
                     'tinted, the truth outlined in white.')
    if evaluation.watches is not None and evaluation.watches.durations.count:
        _add_notable(page, evaluation.watches)
    if evaluation.calibration is not None:
        page.section('Confidence', *_calibration(evaluation.calibration),
                     note='Confidence claims the IoU with the truth: the line should lie on the '
                     'diagonal.')
    if evaluation.perturbations:
        page.section('Robustness', _perturbations(evaluation.perturbations),
                     gallery(_examples(benchmark, evaluation.perturbations), 'sheet'),
                     note='Points of J&F lost to each kind of damage, by its strength, and what '
                     'the damage looks like.')
    if evaluation.memories:
        page.section('What memory buys', _memories(evaluation.memories),
                     note='The same frames with less memory.')
    page.section('Settings', table(['setting', 'value'], _setting_rows(settings)))
    page.write(path)


def _sentence(evaluation: Evaluation) -> str:
    if not evaluation.scores:
        return 'The split is not annotated beyond its first masks: nothing was scored.'
    total = summarise(evaluation.scores)
    sequences = len({score.sequence for score in evaluation.scores})
    return (f'J&F {100 * total.combined:.1f} (J {100 * total.region.mean:.1f}, F '
            f'{100 * total.contour.mean:.1f}) over {len(evaluation.scores)} objects of '
            f'{sequences} sequences.')


def _facts(evaluation: Evaluation) -> dict[str, str]:
    settings = evaluation.settings
    facts = {'model': str(settings.get('model', 'label maps of a folder')),
             'frames': str(settings['frames'])}
    if evaluation.seconds_per_frame is not None:
        facts['time a frame'] = f'{1000 * evaluation.seconds_per_frame:.0f} ms'
    if evaluation.missing_predictions:
        facts['frames without a prediction'] = str(evaluation.missing_predictions)
    if evaluation.calibration is not None:
        facts['calibration error'] = f'{evaluation.calibration.error:.3f}'
    return facts


def _add_scores(page: Page, evaluation: Evaluation) -> None:
    summaries = by_sequence(evaluation.scores)
    order = sorted(summaries, key=lambda name: summaries[name].combined)
    page.section('Sequences', _score_table('sequence', {
        name: summaries[name] for name in order[:MOST_SEQUENCES]}),
        note='The lowest first' + (f', {MOST_SEQUENCES} of {len(order)}.'
                                   if len(order) > MOST_SEQUENCES else '.'))
    attributes = summarise_attributes(evaluation.scores)
    if attributes:
        page.section('Attributes', _score_table('attribute', attributes))
    _add_courses(page, evaluation)


def _add_glance(page: Page, watches: Watches) -> None:
    page.section('The run at a glance', gallery(
        still_picture(still, f'{sequence}, frame {index}')
        for sequence, index, still in watches.sheet()),
        note='A frame from the middle of sequences spread over all. Masks are tinted, the truth '
        'is outlined in white.')


def _add_notable(page: Page, watches: Watches) -> None:
    if unsure := watches.least_sure():
        page.section('Least sure', gallery(
            still_picture(item.still, f'{item.sequence}, frame {item.index}',
                          f'confidence {1 - item.value:.2f}') for item in unsure),
            note='The frames of lowest confidence, and those in which a target becomes LOST; '
            'at most two of a sequence.')
    slow = (still_picture(item.still, f'{item.sequence}, frame {item.index}',
                          f'{1000 * item.value:.0f} ms') for item in watches.slowest())
    page.section('Time a frame', time_chart(watches.durations), element('h3', 'Slowest'),
                 gallery(slow), note='The tracker alone, without reading and writing files.')


def _add_courses(page: Page, evaluation: Evaluation) -> None:
    """How the objects of the lowest J&F went, frame by frame."""
    claimed = {(item.sequence, item.ident, item.frame): item.confidence
               for item in evaluation.observations}
    parts = []
    lowest = sorted(evaluation.scores, key=lambda score: summarise([score]).combined)[:CURVES]
    for score in lowest:
        names = evaluation.frame_names[score.sequence]
        x = np.arange(len(names), dtype=float)
        confidence = np.array([claimed.get((score.sequence, score.ident, name), np.nan)
                               for name in names])
        parts += [element('h3', f'{score.sequence}, object {score.ident}'), line_chart(
            f'J and confidence of {score.sequence}, object {score.ident}', [
                Line(x, score.region, name='J'),
                Line(x, confidence, name='confidence', colour='var(--warn)', dashed=True)],
            y_range=(0, 1), x_range=(0, len(names)), height=120), *_watched(evaluation, score)]
    page.section('Over time', *parts, note=f'The {len(lowest)} objects of the lowest J&F; below '
                 'the charts, the memory frames that the last answer in view rests on.')


def _watched(evaluation: Evaluation, score: ObjectScore) -> list[Html]:
    watch = None if evaluation.watches is None else evaluation.watches.of(score.sequence)
    target = None if watch is None else watch.targets.get(score.ident)
    if watch is None or target is None:
        return []
    return [target.state_chart(), *target.shape_charts(), target.attention_chart(),
            *([target.filmstrip(watch.first_ns or 0)] if target.film else [])]


def _score_table(title: str, summaries: dict[str, Summary]) -> Html:
    rows = [[name, f'{100 * summary.combined:.1f}', f'{100 * summary.region.mean:.1f}',
             f'{100 * summary.contour.mean:.1f}', f'{100 * summary.region.recall:.1f}',
             f'{100 * summary.region.decay:.1f}', str(summary.objects)]
            for name, summary in summaries.items()]
    return table([title, 'J&F', 'J', 'F', 'J recall', 'J decay', 'objects'], rows)


def _worst(evaluation: Evaluation, benchmark: Benchmark, predictions: Path) -> Iterable[Html]:
    by_name = {sequence.name: sequence for sequence in benchmark.sequences}
    for name, index in worst_frames(evaluation.scores, WORST_FRAMES):
        sequence = by_name[name]
        frame = sequence.frames[index]
        truth = sequence.read_annotation(index)
        path = predictions / name / f'{frame.name}.png'
        prediction = sequence.read_prediction(path) if path.is_file() else np.zeros_like(truth)
        own = [score for score in evaluation.scores if score.sequence == name]
        region = np.nanmean([score.region[index] for score in own])
        contour = np.nanmean([score.contour[index] for score in own])
        drawn = draw_frame(frame.read_image(), prediction, truth)
        yield picture(jpeg(drawn, PICTURE_WIDTH), f'{name}, frame {frame.name}',
                      f'{name} {frame.name}: J {100 * region:.0f}, F {100 * contour:.0f}')


def _calibration(calibration: Calibration) -> list[Html]:
    known = [part for part in calibration.bins if part.count]
    ends = np.array([0.0, 1.0])
    chart = line_chart('mean IoU with the truth, by confidence', [
        Line(ends, ends, name='as it should be', colour='var(--dim)', dashed=True),
        Line(np.array([part.confidence for part in known]),
             np.array([part.iou for part in known]), name='measured')],
        x_label='', x_range=(0, 1), y_range=(0, 1), height=300)
    counts = bars('observations by confidence', {
        f'{part.low:.2f} to {part.high:.2f}': {'observations': float(part.count)}
        for part in known}, digits=0)
    return [chart, counts]


def _perturbations(comparisons: Items[Comparison]) -> Html:
    groups: dict[str, dict[str, float]] = {}
    for item in comparisons:
        groups.setdefault(item.name, {})[f'strength {item.strength}'] = 100 * item.drop
    return bars('drop of J&F from clean, points', groups)


def _examples(benchmark: Benchmark, comparisons: Items[Comparison]) -> Iterable[Html]:
    """The middle frame of the first sequence, spoiled in each way at its greatest strength."""
    sequence: Sequence = benchmark.sequences[0]
    index = len(sequence.frames) // 2
    image = sequence.frames[index].read_image()
    strengths = {item.name: item.strength for item in comparisons if item.strength is not None}
    for name, strength in strengths.items():
        if name == 'frame_drop':
            continue
        spoiled, _ = Perturbation(name, strength).apply(image, None, sequence.name, index)
        yield picture(jpeg(spoiled, PICTURE_WIDTH), f'{name} at strength {strength}',
                      f'{name}, strength {strength}')


def _memories(comparisons: Items[Comparison]) -> Html:
    values = {**{item.name: 100 * item.changed for item in comparisons},
              'full memory': 100 * comparisons[0].clean}
    return bars('J&F', {name: {'J&F': value} for name, value in values.items()}, most=100)


def _setting_rows(settings: dict[str, object]) -> Iterable[list[str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from ([f'{name}.{key}', str(part)] for key, part in value.items())
        else:
            yield [name, str(value)]
