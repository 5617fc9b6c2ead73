# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of an evaluation as JSON, CSV and text; all measures are shares from 0 to 1."""
import csv
import json
from collections.abc import Iterable
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stm_ros.evaluation.calibration import Calibration
from stm_ros.evaluation.robustness import Comparison
from stm_ros.evaluation.runner import Observation
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import Summary
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.scoring import summarise_attributes
from stm_ros.evaluation.scoring import summarise_groups
from stm_ros.evaluation.scoring import youtube_vos_mean
from stm_ros.evaluation.sequences import LeftOut
from stm_ros.evaluation.watching import Watches

Row = dict[str, Any]
_MOST_LINES = 30
_MOST_NAMES = 5


@dataclass(frozen=True)
class Evaluation:
    """Everything that one `stm eval` found out; `settings` says of what and how."""

    settings: dict[str, Any]
    scores: list[ObjectScore]
    frame_names: dict[str, list[str]]
    observations: list[Observation] = field(default_factory=list)
    seconds_per_frame: float | None = None
    missing_predictions: int = 0
    calibration: Calibration | None = None
    perturbations: list[Comparison] = field(default_factory=list)
    memories: list[Comparison] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    watches: Watches | None = None


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Write results.json and the CSV tables into `folder`, which must exist."""
    text = json.dumps(as_dictionary(evaluation), indent=2, ensure_ascii=False)
    (folder / 'results.json').write_text(text + '\n', encoding='utf-8')
    tables = {
        'objects.csv': object_rows(evaluation.scores),
        'frames.csv': frame_rows(evaluation),
        'attributes.csv': summary_rows('attribute', summarise_attributes(evaluation.scores)),
        'perturbations.csv': comparison_rows(evaluation.perturbations),
        'memories.csv': comparison_rows(evaluation.memories),
    }
    for name, rows in tables.items():
        if rows:
            _write_csv(folder / name, rows)


def as_dictionary(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as results.json holds it; parts that were not asked for are absent."""
    result: dict[str, Any] = {
        'settings': evaluation.settings,
        'seconds_per_frame': evaluation.seconds_per_frame,
        'missing_predictions': evaluation.missing_predictions,
        'left_out': [{**asdict(item), 'count': len(item.names)} for item in evaluation.left_out],
    }
    if evaluation.scores:
        groups = summarise_groups(evaluation.scores)
        result['summary'] = {name: _summary_entry(part) for name, part in groups.items()}
        result['youtube_vos_mean'] = youtube_vos_mean(groups)
        result['sequences'] = {
            name: _summary_entry(part) for name, part in by_sequence(evaluation.scores).items()
        }
        result['attributes'] = {
            name: _summary_entry(part)
            for name, part in summarise_attributes(evaluation.scores).items()
        }
    if evaluation.calibration is not None:
        result['calibration'] = asdict(evaluation.calibration)
    for name, comparisons in (
        ('perturbations', evaluation.perturbations),
        ('memories', evaluation.memories),
    ):
        if comparisons:
            result[name] = comparison_rows(comparisons)
    return result


def by_sequence(scores: Iterable[ObjectScore]) -> dict[str, Summary]:
    """One summary per sequence, over its objects."""
    scores = list(scores)
    names = dict.fromkeys(score.sequence for score in scores)
    return {
        name: summarise(score for score in scores if score.sequence == name) for name in names
    }


def object_rows(scores: Iterable[ObjectScore]) -> list[Row]:
    """One row per object: mean, recall and decay of J and of F."""
    return [
        {'sequence': score.sequence, 'object': score.ident, **_flat(summarise([score]))}
        for score in scores
    ]


def frame_rows(evaluation: Evaluation) -> list[Row]:
    """One row per object and scored frame, with the confidence where the tracker gave one."""
    confidence = {
        (item.sequence, item.ident, item.frame): item.confidence
        for item in evaluation.observations
    }
    return [
        {
            'sequence': score.sequence,
            'object': score.ident,
            'frame': frame,
            'J': f'{region:.6f}',
            'F': f'{contour:.6f}',
            'confidence': confidence.get((score.sequence, score.ident, frame), ''),
        }
        for score in evaluation.scores
        for frame, region, contour in zip(
            evaluation.frame_names[score.sequence], score.region, score.contour, strict=True
        )
        if region == region
    ]


def summary_rows(title: str, summaries: dict[str, Summary]) -> list[Row]:
    """One row per summary, named in column `title`."""
    return [
        {title: name, 'objects': summary.objects, **_flat(summary)}
        for name, summary in summaries.items()
    ]


def comparison_rows(comparisons: Iterable[Comparison]) -> list[Row]:
    """One row per comparison: J&F, the unchanged run's on the same frames, and the drop."""
    return [
        {
            'name': item.name,
            **({} if item.strength is None else {'strength': item.strength}),
            'J&F': round(item.changed, 6),
            'clean J&F': round(item.clean, 6),
            'drop': round(item.drop, 6),
        }
        for item in comparisons
    ]


def as_text(evaluation: Evaluation) -> str:
    """The tables a person reads in a terminal, in per cent."""
    lines = []
    if evaluation.scores:
        rows = {**by_sequence(evaluation.scores), **summarise_groups(evaluation.scores)}
        attributes = summarise_attributes(evaluation.scores)
        lines += _summary_table('sequence', rows)
        if attributes:
            lines += ['', *_summary_table('attribute', attributes)]
    lines += _left_out_lines(evaluation.left_out)
    if evaluation.missing_predictions:
        lines.append(f'{evaluation.missing_predictions} frames had no prediction: scored as empty')
    if evaluation.seconds_per_frame is not None:
        lines.append(f'{1000 * evaluation.seconds_per_frame:.1f} ms a frame')
    if evaluation.calibration is not None:
        lines.append(_calibration_line(evaluation.calibration))
    for title, comparisons in (
        ('perturbation', evaluation.perturbations),
        ('memory', evaluation.memories),
    ):
        if comparisons:
            lines += ['', f'{title:<26}  J&F   clean  drop']
            lines += [_comparison_line(item) for item in comparisons]
    return '\n'.join(lines)


def _summary_entry(summary: Summary) -> Row:
    return {
        'J&F': summary.combined,
        'J': summary.region._asdict(),
        'F': summary.contour._asdict(),
        'objects': summary.objects,
    }


def _flat(summary: Summary) -> Row:
    row: Row = {'J&F': f'{summary.combined:.6f}'}
    for name, values in (('J', summary.region), ('F', summary.contour)):
        row.update({f'{name} {key}': f'{value:.6f}' for key, value in values._asdict().items()})
    return row


def _summary_table(title: str, summaries: dict[str, Summary]) -> list[str]:
    lines = [f'{title:<22} J&F   J     recall decay  F     recall decay']
    for name, summary in summaries.items():
        parts = ' '.join(
            f'{100 * values.mean:5.1f} {100 * values.recall:5.1f} {100 * values.decay:6.1f}'
            for values in (summary.region, summary.contour)
        )
        lines.append(f'{name:<20} {100 * summary.combined:5.1f} {parts}')
    return lines


def _comparison_line(item: Comparison) -> str:
    name = item.name if item.strength is None else f'{item.name}:{item.strength}'
    return f'{name:<24} {100 * item.changed:6.1f} {100 * item.clean:6.1f} {100 * item.drop:6.1f}'


def _left_out_lines(left_out: list[LeftOut]) -> list[str]:
    """One line for each thing that does not count, the first few of its names in it."""
    if not left_out:
        return []
    lines = ['not in these figures:']
    for item in left_out[:_MOST_LINES]:
        names = ', '.join(item.names[:_MOST_NAMES]) + (
            f' ... {item.names[-1]}' if len(item.names) > _MOST_NAMES else '')
        lines.append(f'  {item.sequence}: {item.reason} ({len(item.names)}): {names}')
    more = len(left_out) - _MOST_LINES
    return lines + ([f'  and {more} more, see results.json'] if more > 0 else [])


def _calibration_line(calibration: Calibration) -> str:
    correlation, auroc = (
        'undefined' if value is None else f'{value:.3f}'
        for value in (calibration.rank_correlation, calibration.failure_auroc)
    )
    return (
        f'confidence: ECE {calibration.error:.3f}, Spearman {correlation}, AUROC of IoU < 0.5 '
        f'{auroc} ({calibration.failures} of {calibration.observations} observations)'
    )


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
