# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The evaluation as pictures: scores, worst frames, reliability, robustness."""
from collections.abc import Sequence as Items
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stm_ros.evaluation.calibration import Calibration
from stm_ros.evaluation.datasets import Benchmark
from stm_ros.evaluation.drawing import draw_frame
from stm_ros.evaluation.report import Evaluation
from stm_ros.evaluation.report import by_sequence
from stm_ros.evaluation.robustness import Comparison
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.sequences import Sequence

WORST_FRAMES = 6
MAX_SEQUENCES = 20
DOTS_PER_INCH = 110


def write_plots(
    folder: Path, evaluation: Evaluation, benchmark: Benchmark, predictions: Path
) -> None:
    """Write report.png, and calibration.png, perturbations.png and memories.png if measured.

    `predictions` holds the label maps that the worst frames are drawn from.
    """
    if evaluation.scores:
        _save(_scores_page(evaluation, benchmark, predictions), folder / 'report.png')
    if evaluation.calibration is not None:
        _save(_reliability_page(evaluation.calibration), folder / 'calibration.png')
    if evaluation.perturbations:
        _save(_perturbations_page(evaluation.perturbations), folder / 'perturbations.png')
    if evaluation.memories:
        _save(_memories_page(evaluation.memories), folder / 'memories.png')


def worst_frames(scores: Items[ObjectScore], count: int = WORST_FRAMES) -> list[tuple[str, int]]:
    """The sequence and index of the frames with the lowest J&F, one of each sequence first."""
    values: dict[tuple[str, int], list[float]] = {}
    for score in scores:
        for index in np.flatnonzero(~np.isnan(score.region)).tolist():
            value = (score.region[index] + score.contour[index]) / 2
            values.setdefault((score.sequence, index), []).append(value)
    ranked = sorted(values, key=lambda place: (float(np.mean(values[place])), place))
    worst_of_each: dict[str, tuple[str, int]] = {}
    for place in ranked:
        worst_of_each.setdefault(place[0], place)
    leading = list(worst_of_each.values())
    return (leading + [place for place in ranked if place not in leading])[:count]


def _scores_page(evaluation: Evaluation, benchmark: Benchmark, predictions: Path) -> Figure:
    summaries = by_sequence(evaluation.scores)
    total = summarise(evaluation.scores)
    worst = worst_frames(evaluation.scores)
    rows = (len(worst) + 2) // 3
    figure = Figure(figsize=(13, 6 + 2.7 * rows), layout='constrained')
    grid = figure.add_gridspec(1 + rows, 6, height_ratios=[2.0] + [1] * rows)
    figure.suptitle(
        f'{evaluation.settings["dataset"]} {evaluation.settings["split"]}: '
        f'J&F {100 * total.combined:.1f}, J {100 * total.region.mean:.1f}, '
        f'F {100 * total.contour.mean:.1f}'
    )
    bars = figure.add_subplot(grid[0, :3])
    order = sorted(summaries, key=lambda name: summaries[name].combined)[:MAX_SEQUENCES]
    places = np.arange(len(order))
    bars.barh(places + 0.2, [100 * summaries[name].region.mean for name in order], 0.4, label='J')
    bars.barh(places - 0.2, [100 * summaries[name].contour.mean for name in order], 0.4, label='F')
    bars.set_yticks(places, order)
    bars.set(xlim=(0, 100), xlabel='mean, per cent')
    bars.set_title(f'the lowest {len(order)} of {len(summaries)} sequences', fontsize='medium')
    bars.legend(loc='lower right')
    _draw_curves(figure.add_subplot(grid[0, 3:]), evaluation.scores, order)
    by_name = {sequence.name: sequence for sequence in benchmark.sequences}
    for number, (name, index) in enumerate(worst):
        row, column = divmod(number, 3)
        axes = figure.add_subplot(grid[1 + row, 2 * column:2 * column + 2])
        _draw_worst(axes, by_name[name], index, predictions, evaluation.scores)
    return figure


def _draw_curves(axes: Any, scores: list[ObjectScore], names: Items[str]) -> None:
    for name in names:
        regions = [score.region for score in scores if score.sequence == name]
        scored = ~np.all(np.isnan(regions), axis=0)
        values = np.nanmean(np.array(regions)[:, scored], axis=0)
        axes.plot(np.flatnonzero(scored), 100 * values, label=name, linewidth=1)
    axes.set(xlabel='frame', ylabel='J, per cent', ylim=(0, 102))
    axes.legend(fontsize='x-small', loc='lower left')


def _draw_worst(
    axes: Any, sequence: Sequence, index: int, predictions: Path, scores: list[ObjectScore]
) -> None:
    frame = sequence.frames[index]
    truth = sequence.read_annotation(index)
    path = predictions / sequence.name / f'{frame.name}.png'
    prediction = sequence.read_prediction(path) if path.is_file() else np.zeros_like(truth)
    own = [score for score in scores if score.sequence == sequence.name]
    region = np.nanmean([score.region[index] for score in own])
    contour = np.nanmean([score.contour[index] for score in own])
    axes.imshow(draw_frame(frame.read_image(), prediction, truth))
    axes.set_title(
        f'{sequence.name} {frame.name}: J {100 * region:.0f}, F {100 * contour:.0f}',
        fontsize='small',
    )
    axes.set_axis_off()


def _reliability_page(calibration: Calibration) -> Figure:
    figure = Figure(figsize=(6, 7), layout='constrained')
    axes, counts = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    axes.plot([0, 1], [0, 1], color='grey', linestyle='--', label='as it should be')
    axes.plot(
        [part.confidence for part in calibration.bins],
        [part.iou for part in calibration.bins],
        marker='o', label='measured',
    )
    axes.set(ylabel='mean IoU with the truth', xlim=(0, 1), ylim=(0, 1))
    axes.set_title(
        f'expected calibration error {calibration.error:.3f}, '
        f'{calibration.observations} observations'
    )
    axes.legend(loc='upper left')
    counts.bar(
        [part.low for part in calibration.bins],
        [part.count for part in calibration.bins],
        width=[part.high - part.low for part in calibration.bins],
        align='edge', edgecolor='white',
    )
    counts.set(xlabel='confidence', ylabel='observations')
    return figure


def _perturbations_page(comparisons: list[Comparison]) -> Figure:
    names = list(dict.fromkeys(item.name for item in comparisons))
    strengths = sorted({item.strength for item in comparisons if item.strength is not None})
    figure = Figure(figsize=(11, 5), layout='constrained')
    axes = figure.subplots()
    width = 0.8 / len(strengths)
    for number, strength in enumerate(strengths):
        chosen = [item for item in comparisons if item.strength == strength]
        places = [names.index(item.name) - 0.4 + (number + 0.5) * width for item in chosen]
        axes.bar(places, [100 * item.drop for item in chosen], width, label=f'strength {strength}')
    axes.axhline(0, color='black', linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right')
    axes.set(ylabel='drop of J&F from clean, points')
    axes.legend()
    return figure


def _memories_page(comparisons: list[Comparison]) -> Figure:
    figure = Figure(figsize=(6, 4), layout='constrained')
    axes = figure.subplots()
    names = [*(item.name for item in comparisons), 'full memory']
    values = [*(100 * item.changed for item in comparisons), 100 * comparisons[0].clean]
    bars = axes.bar(names, values)
    axes.bar_label(bars, fmt='%.1f')
    axes.set(ylabel='J&F, per cent', ylim=(0, 100))
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH)
