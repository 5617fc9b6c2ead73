# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A fleet's results as tables: one row a recording and target, one row a frame and target."""
import csv
import heapq
import json
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from stm_ros.fleet.comparing import PREDICTIONS
from stm_ros.fleet.comparing import WorstFrame
from stm_ros.fleet.comparing import read_entries
from stm_ros.fleet.replaying import RECORDINGS
from stm_ros.fleet.replaying import STATE
from stm_ros.fleet.replaying import Outcome
from stm_ros.fleet.replaying import TargetSummary
from stm_ros.vision.output_folder import write_atomically

OVERVIEW, REPORT = 'fleet.json', 'report.html'
_TABLES = 'recordings_table', 'frames_table'
#: rows that are held at a time
ROWS_AT_A_TIME = 20_000
#: that are held and shown, of the worst frames of all recordings
MOST_PICTURES = 300
_FRAME_COLUMNS = {
    'recording': 'string', 'frame': 'int64', 'stamp_ns': 'int64', 'target': 'uint8',
    'label': 'string', 'state': 'string', 'confidence': 'float32', 'x': 'float32',
    'y': 'float32', 'width': 'float32', 'height': 'float32', 'area': 'int64'}
_RECORDING_COLUMNS = {
    'recording': 'string', 'source': 'string', 'status': 'string', 'reason': 'string',
    'key': 'string', 'frames': 'int64', 'seconds': 'float64', 'target': 'uint8',
    'label': 'string', 'mean_confidence': 'float32', 'frames_lost': 'int64',
    'workers_lost': 'int64', 'differing': 'int64', 'mean_iou': 'float32'}
Row = dict[str, Any]


def status_of(outcome: Outcome) -> str:
    """'failed', 'done', 'done before', or with a comparison 'as expected', 'differs', 'worse'."""
    if outcome.reason is not None:
        return 'failed'
    comparison = outcome.comparison
    if comparison is None:
        return 'done before' if outcome.was_done else 'done'
    if comparison.is_as_expected:
        return 'as expected'
    return 'worse' if comparison.is_worse else 'differs'


def losses_of(outcome: Outcome) -> str:
    """The workers that died with a recording, in words; nothing where none did."""
    if not outcome.losses:
        return ''
    return f'{outcome.losses} worker{"" if outcome.losses == 1 else "s"} died with it'


def keep_worst_pictures(outcomes: dict[int, Outcome], most: int) -> None:
    """Take the pictures from all but the `most` worst frames: a whole library may differ."""
    shown = [(frame.iou, index, place) for index, outcome in outcomes.items()
             for place, frame in enumerate(frames_shown(outcome))]
    kept = set(heapq.nsmallest(most, shown))
    for index in {index for _, index, _ in set(shown) - kept}:
        comparison = outcomes[index].comparison
        assert comparison is not None
        worst = tuple(frame if (frame.iou, index, place) in kept else replace(frame, picture='')
                      for place, frame in enumerate(comparison.worst))
        outcomes[index] = replace(outcomes[index], comparison=replace(comparison, worst=worst))


def frames_shown(outcome: Outcome) -> list[WorstFrame]:
    """Its worst frames that have a picture, the worst first."""
    worst = outcome.comparison.worst if outcome.comparison else ()
    return [frame for frame in worst if frame.picture]


def write_tables(out: Path, outcomes: Sequence[Outcome]) -> list[Path]:
    """Write recordings and frames as Parquet, or as CSV where pyarrow is not installed."""
    return [_write(out / _TABLES[0], _RECORDING_COLUMNS, _recording_rows(outcomes)),
            _write(out / _TABLES[1], _FRAME_COLUMNS, _frame_rows(out, outcomes))]


def write_outcomes(out: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write everything that is known of each recording, pictures apart, as JSON."""
    path = out / OVERVIEW
    content = [{**asdict(outcome), 'status': status_of(outcome)} for outcome in outcomes]
    for entry in content:
        for frame in (entry['comparison'] or {}).get('worst', ()):
            del frame['picture']
    write_atomically(path, (json.dumps(content, indent=1) + '\n').encode())
    return path


def _recording_rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    for outcome in outcomes:
        comparison = outcome.comparison
        common = {
            'recording': outcome.name, 'source': outcome.source, 'status': status_of(outcome),
            'reason': outcome.reason or (comparison.reason if comparison else None),
            'key': outcome.key, 'frames': outcome.frames, 'seconds': outcome.seconds,
            'workers_lost': outcome.losses,
            'differing': comparison.differing if comparison else None,
            'mean_iou': comparison.mean_iou if comparison else None}
        targets: Sequence[TargetSummary | None] = outcome.targets or (None,)
        for target in targets:
            yield {**common, **({} if target is None else {
                'target': target.id, 'label': target.label,
                'mean_confidence': target.mean_confidence, 'frames_lost': target.frames_lost})}


def _frame_rows(out: Path, outcomes: Sequence[Outcome]) -> Iterator[Row]:
    for outcome in outcomes:
        if outcome.reason is not None:
            continue
        for entry in read_entries(out / RECORDINGS / outcome.name / PREDICTIONS):
            for target in entry['targets']:
                box = target['box'] or (None,) * 4
                yield {'recording': outcome.name, 'frame': entry['index'],
                       'stamp_ns': entry['stamp_ns'], 'target': target['id'],
                       'label': target['label'], 'state': target['state'],
                       'confidence': target['confidence'], 'area': target['area'],
                       **dict(zip(('x', 'y', 'width', 'height'), box, strict=True))}


def _write(path: Path, columns: dict[str, str], rows: Iterator[Row]) -> Path:
    path = path.with_suffix(table_suffix())
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        write = _write_csv if path.suffix == '.csv' else _write_parquet
        write(partial, columns, rows)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def table_suffix() -> str:
    """Of the tables, as what is installed can write them."""
    return '.csv' if find_spec('pyarrow') is None else '.parquet'


def names_of_results(recordings: Iterable[str]) -> list[str]:
    """What a fleet writes into its folder beside `recordings/`, whose parts list their own."""
    return [*(f'{table}{table_suffix()}' for table in _TABLES), OVERVIEW, REPORT,
            *(f'{STATE}/{name}.json' for name in recordings)]


def _write_csv(path: Path, columns: dict[str, str], rows: Iterator[Row]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, columns: dict[str, str], rows: Iterator[Row]) -> None:
    import pyarrow
    from pyarrow import parquet
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, ROWS_AT_A_TIME)):
            writer.write_table(pyarrow.Table.from_pylist(part, schema))
