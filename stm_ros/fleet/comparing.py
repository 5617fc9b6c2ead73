# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The results of a recording beside those of an earlier run: where they differ, as pictures."""
import base64
import heapq
import json
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm_ros.evaluation.measures import region_similarity
from stm_ros.replay.sources import FrameSource
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.overlay import contact_sheet
from stm_ros.vision.overlay import draw_overlay

PREDICTIONS = 'predictions.json'
#: of a recording that are shown
WORST_FRAMES = 3
_PICTURE_WIDTH = 320
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class WorstFrame:
    """A frame, its IoU with what was expected, and both masks on it as a JPEG in base64, or ''."""

    index: int
    iou: float
    picture: str


@dataclass(frozen=True)
class Comparison:
    """A recording's results and the expected ones.

    reason: why they could not be compared; None where they were. differing: frames whose IoU is
    below what was asked. lost: frames in which a target is lost, before and now, summed over
    targets. confidence: the mean over targets, before and now.
    """

    reason: str | None = None
    frames: int = 0
    differing: int = 0
    mean_iou: float = 1.0
    lost: tuple[int, int] = (0, 0)
    confidence: tuple[float, float] = (0.0, 0.0)
    worst: tuple[WorstFrame, ...] = ()

    @property
    def is_as_expected(self) -> bool:
        """Whether nothing differs more than it may."""
        return self.reason is None and not self.differing

    @property
    def is_worse(self) -> bool:
        """Whether targets are lost in more frames, or are believed less, than before."""
        return self.lost[1] > self.lost[0] or (
            self.differing > 0 and self.confidence[1] < self.confidence[0])


def compare_with(expected: Path, found: Path, min_iou: float,
                 open_source: Callable[[], FrameSource]) -> Comparison:
    """Compare the folders of results of one recording.

    :param open_source: the recording, which is read again where masks differ.
    """
    if not (expected / PREDICTIONS).is_file():
        return Comparison(reason='the expected results do not have it')
    before, now = read_entries(expected / PREDICTIONS), read_entries(found / PREDICTIONS)
    count, differing, total = 0, 0, 0.0
    lost, confidence = np.zeros(2, int), np.zeros(2)
    worst: list[tuple[float, int]] = []
    for one, other in zip_longest(before, now):
        if one is None or other is None:
            return Comparison(reason='the expected results have another number of frames',
                              frames=count)
        iou = _overlap(read_mask(expected / one['mask']), read_mask(found / other['mask']))
        count, differing, total = count + 1, differing + (iou < min_iou), total + iou
        for which, entry in enumerate((one, other)):
            targets = entry['targets']
            lost[which] += sum(target['state'] == 'LOST' for target in targets)
            confidence[which] += np.mean([target['confidence'] for target in targets] or [0])
        if iou < min_iou:
            heapq.heappush(worst, (-iou, -other['index']))
            if len(worst) > WORST_FRAMES:
                heapq.heappop(worst)
    if not count:
        return Comparison(reason='there are no frames in either')
    chosen = {-index: -iou for iou, index in worst}
    pictures = tuple(_pictures(expected, found, chosen, open_source())) if chosen else ()
    return Comparison(None, count, differing, total / count, (int(lost[0]), int(lost[1])),
                      (float(confidence[0] / count), float(confidence[1] / count)), pictures)


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The frames of a predictions.json, which holds each in a line of its own, one at a time."""
    with path.open(encoding='utf-8') as file:
        for line in file:
            text = line.strip().rstrip(',')
            if text.startswith('{"index"'):
                yield json.loads(text)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Mean IoU of two label maps over the targets that either shows; 0 for other sizes."""
    if one.shape != other.shape:
        return 0.0
    ids = [i for i in np.union1d(np.unique(one), np.unique(other)) if i]
    return float(np.mean([region_similarity(one == i, other == i) for i in ids])) if ids else 1.0


def _pictures(expected: Path, found: Path, chosen: dict[int, float], source: FrameSource
              ) -> list[WorstFrame]:
    """The chosen frames, index to IoU, the worst first."""
    made = []
    for index, frame in enumerate(source):
        if index in chosen:
            name = f'masks/{index:05d}.png'
            both = [draw_overlay(frame.image, read_mask(folder / name), [])
                    for folder in (expected, found)]
            sheet = contact_sheet(both, ['expected', 'now'], columns=2, width=_PICTURE_WIDTH)
            made.append(WorstFrame(index, chosen[index], _jpeg(sheet)))
        if index >= max(chosen):
            break
    return sorted(made, key=lambda each: each.iou)


def _jpeg(picture: np.ndarray) -> str:
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    content = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return base64.b64encode(content.tobytes()).decode('ascii')
