# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A replay against an earlier one: the regression test of a robot's recordings."""
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask

PREDICTIONS = 'predictions.json'


@dataclass(frozen=True)
class Difference:
    """The first frame in which two results differ by more than is allowed.

    iou: of both masks of the target, None where the difference is of another kind.
    """

    frame: int
    stamp_ns: int
    what: str
    iou: float | None = None


@dataclass(frozen=True)
class Comparison:
    """How two results compare: the least and mean IoU over frames and targets.

    first: the first difference, None where there is none. different: frames that differ.
    """

    frames: int
    least_iou: float
    mean_iou: float
    different: int
    first: Difference | None


def check_baseline(baseline: Path) -> dict[str, Any]:
    """The predictions of a folder that `stm replay --out` wrote.

    :raises InputError: where it is no such folder.
    """
    path = Path(baseline) / PREDICTIONS
    try:
        predictions = json.loads(path.read_text(encoding='utf-8'))
        frames = predictions['frames']
        for entry in frames:
            _ = entry['stamp_ns'], entry['mask'], [target['id'] for target in entry['targets']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{baseline} is no folder that `stm replay --out` wrote: {path}: '
                         f'{error!r}') from error
    return predictions


def compare_with_baseline(folder: Path, baseline: Path, min_iou: float) -> Comparison:
    """
    Compare the masks of two results, frame by frame and target by target.

    A target that has no pixel in either is as it was. Frames are matched by their order, and must
    have the same stamps and sizes.

    :raises InputError: where either is no folder that `stm replay --out` wrote.
    """
    new, old = check_baseline(folder)['frames'], check_baseline(baseline)['frames']
    ious: list[float] = []
    first, different = None, 0
    for index, (entry, expected) in enumerate(zip(new, old, strict=False)):
        found = list(_differences(index, entry, expected, (Path(folder), Path(baseline)), min_iou,
                                  ious))
        different += bool(found)
        first = first or next(iter(found), None)
    if len(new) != len(old):
        different += abs(len(new) - len(old))
        index = min(len(new), len(old))
        stamp = (new + old if len(new) > len(old) else old)[index]['stamp_ns']
        first = first or Difference(index, stamp, f'there are {len(new)} frames; the baseline has '
                                    f'{len(old)}')
    return Comparison(max(len(new), len(old)), min(ious, default=1.0),
                      float(np.mean(ious)) if ious else 1.0, different, first)


def _differences(index: int, entry: dict[str, Any], expected: dict[str, Any],
                 folders: tuple[Path, Path], min_iou: float, ious: list[float]
                 ) -> Iterator[Difference]:
    stamp = entry['stamp_ns']
    if stamp != expected['stamp_ns']:
        yield Difference(index, stamp, f'the stamp is {stamp}; the baseline has '
                         f'{expected["stamp_ns"]}')
    mask, known = (read_mask(folder / item['mask'])
                   for folder, item in zip(folders, (entry, expected), strict=True))
    if mask.shape != known.shape:
        yield Difference(index, stamp, f'the mask has {mask.shape[1]}×{mask.shape[0]} pixels; the '
                         f'baseline {known.shape[1]}×{known.shape[0]}')
        return
    for target in sorted({item['id'] for side in (entry, expected) for item in side['targets']}):
        union = int(((mask == target) | (known == target)).sum())
        iou = int(((mask == target) & (known == target)).sum()) / union if union else 1.0
        ious.append(iou)
        if iou < min_iou:
            yield Difference(index, stamp, f'target {target} has IoU {iou:.3f} with the baseline',
                             iou)
