# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What was measured as text, JSON and CSV. Times in milliseconds."""
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_ros.benchmark.measuring import FRAME
from stm_ros.benchmark.measuring import PERCENTILES
from stm_ros.benchmark.measuring import Comparison
from stm_ros.benchmark.measuring import Measurement
from stm_ros.vision.output_folder import write_result

_MEGABYTE = 1e6


def machine_text(machine: dict[str, str | int]) -> str:
    """One line for people."""
    gpu = f', {machine["gpu"]}' if 'gpu' in machine else ''
    return (f'{machine["cpu"]}, {machine["cores"]} of {machine["all_cores"]} cores, '
            f'{machine["instructions"]}, {machine["threads"]} threads{gpu}; '
            f'torch {machine["torch"]}')


def stages_text(measurement: Measurement) -> str:
    """The table of one setting: a row a stage, the whole frame last."""
    frames = len(measurement.seconds[FRAME])
    rows = [['ms', *(f'p{q}' for q in PERCENTILES), 'share']]
    for stage in measurement.seconds:
        rows.append([stage, *(f'{value:.1f}' for value in measurement.percentiles(stage)),
                     f'{100 * measurement.share(stage):.0f} %'])
    return '\n'.join([
        measurement.settings.describe(),
        f'network in {measurement.dtype}, weights: {measurement.weights}',
        f'{frames} frames after warm-up', *_aligned(rows),
        f'{1000 / measurement.percentiles(FRAME)[0]:.1f} frames a second (at the median)',
        _memory_text(measurement)])


def sweep_text(name: str, measurements: Sequence[Measurement]) -> str:
    """The table of a sweep: a row a point, medians of the stages."""
    stages = list(measurements[0].seconds)
    rows = [[name, *stages, 'p90', 'p99', 'read', 'peak MB']]
    for measurement in measurements:
        _, p90, p99 = measurement.percentiles(FRAME)
        rows.append([point_of(name, measurement),
                     *(f'{measurement.percentiles(stage)[0]:.1f}' for stage in stages),
                     f'{p90:.1f}', f'{p99:.1f}', f'{100 * measurement.share("read"):.0f} %',
                     f'{measurement.peak / _MEGABYTE:.0f}'])
    first = measurements[0]
    return '\n'.join([
        first.settings.describe() + f', but for {name}',
        f'network in {first.dtype}, weights: {first.weights}',
        f'medians in ms of {len(first.seconds[FRAME])} frames; p90 and p99 of the whole frame; '
        'the share of it that reading memory takes', *_aligned(rows)])


def comparison_text(comparison: Comparison) -> str:
    """Both medians, their ratio with its spread, and frames a second.

    The ratio depends on the processor: what both share, such as converting images, weighs more on
    some. Print machine_text() with it.
    """
    rows = [['ms', *(f'p{q}' for q in PERCENTILES)]]
    for index in range(2):
        values = 1000 * np.percentile(comparison.seconds[:, index], PERCENTILES)
        rows.append([f'{"AB"[index]}', *(f'{value:.1f}' for value in values)])
    low, middle, high = comparison.ratio_percentiles()
    return '\n'.join([
        *(f'{letter}: {settings.describe()} (in {dtype}; weights: {weights})'
          for letter, settings, dtype, weights in zip(
              'AB', (comparison.first, comparison.second), comparison.dtypes,
              comparison.weights, strict=True)),
        f'{len(comparison.seconds)} pairs, in turn', *_aligned(rows),
        f'B takes {comparison.ratio_of_medians:.2f} times as long as A (ratio of medians): '
        f'{comparison.rates[0]:.2f} frames a second with A, {comparison.rates[1]:.2f} with B',
        f'pair by pair: p10 {low:.2f}, median {middle:.2f}, p90 {high:.2f}',
        *_agreement_lines(comparison)])


def _agreement_lines(comparison: Comparison) -> list[str]:
    agreement = comparison.agreement
    if not agreement.size:
        return []
    return [f'IoU of the masks of A with those of B: median {np.median(agreement):.4f}, '
            f'worst {agreement.min():.4f}']


def point_of(name: str, measurement: Measurement) -> str:
    """The value of the swept setting."""
    return str(measurement.settings.entries()[name])


def write_measurements(folder: Path, name: str, machine: dict[str, str | int],
                       measurements: Sequence[Measurement]) -> None:
    """Write <name>.json, with every frame, and <name>.csv, a row a setting and stage."""
    _write_json(folder / f'{name}.json', {
        'machine': machine, 'measurements': [_entries(item) for item in measurements]})
    header = [*measurements[0].settings.entries(), 'stage', *(f'p{q}_ms' for q in PERCENTILES),
              'share', 'peak_bytes']
    rows = [[*item.settings.entries().values(), stage,
             *(f'{value:.4f}' for value in item.percentiles(stage)),
             f'{item.share(stage):.4f}', item.peak]
            for item in measurements for stage in item.seconds]
    _write_csv(folder / f'{name}.csv', header, rows)


def write_comparison(folder: Path, machine: dict[str, str | int], comparison: Comparison) -> None:
    """Write against.json and against.csv, a row a pair."""
    low, middle, high = comparison.ratio_percentiles()
    sides = zip('ab', (comparison.first, comparison.second), comparison.dtypes,
                comparison.weights, strict=True)
    _write_json(folder / 'against.json', {
        'machine': machine,
        **{letter: {'settings': settings.entries(), 'dtype': dtype, 'weights': weights}
           for letter, settings, dtype, weights in sides},
        'ratio_of_medians': comparison.ratio_of_medians,
        'frames_per_second': dict(zip('ab', comparison.rates, strict=True)),
        'ratio_by_pairs': {'p10': low, 'p50': middle, 'p90': high},
        'mask_iou': comparison.agreement.tolist()})
    rows = [[f'{1000 * a:.4f}', f'{1000 * b:.4f}', f'{b / a:.4f}'] for a, b in comparison.seconds]
    _write_csv(folder / 'against.csv', ['a_ms', 'b_ms', 'ratio'], rows)


def write_figures(folder: Path, name: str, figures: dict[str, Any]) -> None:
    """Write <name>.json and <name>.csv of plain figures by name, which may be nested once."""
    _write_json(folder / f'{name}.json', figures)
    rows = []
    for group, value in figures.items():
        nested = value if isinstance(value, dict) else {'': value}
        rows += [[group, key, content] for key, content in nested.items()]
    _write_csv(folder / f'{name}.csv', ['group', 'figure', 'value'], rows)


def _entries(measurement: Measurement) -> dict[str, Any]:
    return {
        'settings': measurement.settings.entries(), 'dtype': measurement.dtype,
        'weights': measurement.weights, 'frames': len(measurement.seconds[FRAME]),
        'peak_bytes': measurement.peak, 'device_peak_bytes': measurement.device_peak,
        'bank_bytes': measurement.bank,
        'stages': {stage: {
            **{f'p{q}_ms': round(value, 4) for q, value in zip(
                PERCENTILES, measurement.percentiles(stage), strict=True)},
            'share': round(measurement.share(stage), 4),
            'frames_ms': [round(1000 * float(value), 4) for value in values]}
            for stage, values in measurement.seconds.items()}}


def _memory_text(measurement: Measurement) -> str:
    text = f'peak resident memory {measurement.peak / _MEGABYTE:.0f} MB'
    if measurement.bank is not None:
        text += f', of which the bank of memory frames {measurement.bank / _MEGABYTE:.0f} MB'
    if measurement.device_peak is not None:
        text += f'; peak on the device {measurement.device_peak / _MEGABYTE:.0f} MB'
    return text


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ['  ' + '  '.join([row[0].ljust(widths[0]), *(
        cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_result(path, (json.dumps(content, indent=2) + '\n').encode())


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO(newline='')
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    write_result(path, text.getvalue().encode())
