# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How well boxes and clicks become masks: IoU with the truth, segmenter by segmenter."""
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stm_ros.evaluation.datasets import load_benchmark
from stm_ros.evaluation.sequences import Protocol
from stm_ros.training.prompt_samples import jittered
from stm_ros.training.prompt_samples import split_pairs
from stm_ros.training.sources import pairs_in
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter

#: a side of the box moves by so much of its width or height, at most
JITTER = 0.1
#: the ways of showing a target that are measured
WAYS = ('box', 'click', 'box, 3 corrections')
_LEAST_SIDE = 16
_LEAST_PIXELS = 200
_CORRECTIONS = 3
_VOID = 255


@dataclass(frozen=True)
class ShownTarget:
    """A target of a data set: its image H×W×3 uint8 RGB, and its mask H×W bool."""

    data_set: str
    name: str
    image: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class PromptScore:
    """The IoU (0 where the prompt was refused) of one target, shown in one way."""

    data_set: str
    target: str
    segmenter: str
    way: str
    iou: float
    refused: bool
    expected_iou: float | None


def davis_targets(root: Path, every: int = 0) -> Iterator[ShownTarget]:
    """Yield the dev split's first frames, or every so many frames."""
    for sequence in load_benchmark(Protocol.DAVIS_2016, root, 'dev').sequences:
        step = every or len(sequence.frames)
        for frame in sequence.frames[::step]:
            if frame.annotation_path is None:
                raise InputError(f'{frame.image_path} has no annotation')
            truth = read_mask(frame.annotation_path) > 0
            if truth.any():
                yield ShownTarget('DAVIS', f'{sequence.name}/{frame.name}', frame.read_image(),
                                  truth)


def still_targets(name: str, folder: Path) -> Iterator[ShownTarget]:
    """Yield the targets of a data set of instances that are held out from training."""
    for pair in split_pairs(pairs_in(folder, False))[1]:
        image, label_map = pair.load(10_000)
        for target in np.unique(label_map):
            truth = label_map == target
            box = box_of_mask(truth)
            if target in (0, _VOID) or box is None:
                continue
            if truth.sum() >= _LEAST_PIXELS and min(box.width, box.height) >= _LEAST_SIDE:
                yield ShownTarget(name, f'{pair.image.stem}/{target}', image, truth)


def thinned(targets: Iterable[ShownTarget], most: int) -> list[ShownTarget]:
    """At most so many of the targets, evenly picked; 0 for all."""
    found = list(targets)
    if most == 0 or len(found) <= most:
        return found
    return [found[index * len(found) // most] for index in range(most)]


def score_target(target: ShownTarget, segmenter: Segmenter, ways: Sequence[str] = WAYS
                 ) -> list[PromptScore]:
    """Show a target in each of `ways`; the same target is always shown alike."""
    box = box_of_mask(target.truth)
    assert box is not None
    random = np.random.default_rng([len(target.name), int(target.truth.sum())])
    shown = jittered(box, random, JITTER)
    prompts = {'box': Prompt(shown), 'click': Prompt(None, (_innermost(target.truth),), (True,))}
    scores = []
    for way in ways:
        if way in prompts:
            scores.append(_score(target, segmenter, way, prompts[way])[0])
        else:
            scores.append(_corrected(target, segmenter, way, prompts['box']))
    return scores


def _corrected(target: ShownTarget, segmenter: Segmenter, way: str, prompt: Prompt
               ) -> PromptScore:
    """Click three times into the largest error that is left."""
    score, mask = _score(target, segmenter, way, prompt)
    for _ in range(_CORRECTIONS):
        missed, excess = target.truth & ~mask, mask & ~target.truth
        on_target = _depth(missed).max() >= _depth(excess).max()
        error = missed if on_target else excess
        if not error.any():
            break
        prompt = Prompt(prompt.box, (*prompt.points, _innermost(error)),
                        (*prompt.on_target, bool(on_target)))
        score, mask = _score(target, segmenter, way, prompt)
    return score


def _score(target: ShownTarget, segmenter: Segmenter, way: str, prompt: Prompt
           ) -> tuple[PromptScore, np.ndarray]:
    try:
        found = segmenter.segment(target.image, prompt)
        mask, expected, refused = found.mask, found.expected_iou, False
    except InputError:
        mask, expected, refused = np.zeros_like(target.truth), None, True
    union = (mask | target.truth).sum()
    iou = float((mask & target.truth).sum() / union)
    return PromptScore(target.data_set, target.name, segmenter.name, way, round(iou, 4), refused,
                       expected), mask


def _depth(region: np.ndarray) -> np.ndarray:
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]


def _innermost(region: np.ndarray) -> tuple[float, float]:
    row, column = np.unravel_index(int(_depth(region).argmax()), region.shape)
    return float(column), float(row)


def table(scores: Sequence[PromptScore]) -> str:
    """
    Return a Markdown table: mean IoU in per cent by data set, way and segmenter.

    A refused prompt counts as 0; beside it stands the mean of the others.
    """
    segmenters = list(dict.fromkeys(score.segmenter for score in scores))
    lines = ['| data | targets | shown by | ' + ' | '.join(segmenters) + ' |',
             '|---|---|---|' + '---|' * len(segmenters)]
    for data_set in dict.fromkeys(score.data_set for score in scores):
        for way in dict.fromkeys(score.way for score in scores):
            columns = [[s for s in scores if (s.data_set, s.way, s.segmenter)
                        == (data_set, way, segmenter)] for segmenter in segmenters]
            cells = ' | '.join(_cell(column) for column in columns)
            lines.append(f'| {data_set} | {max(map(len, columns))} | {way} | {cells} |')
    return '\n'.join(lines)


def _cell(scores: Sequence[PromptScore]) -> str:
    if not scores:
        return ''
    mean = 100 * np.mean([score.iou for score in scores])
    answered = [score.iou for score in scores if not score.refused]
    if len(answered) == len(scores):
        return f'{mean:.1f}'
    rest = f', {100 * np.mean(answered):.1f} of the rest' if answered else ''
    return f'{mean:.1f} ({len(scores) - len(answered)} refused{rest})'


def as_rows(scores: Sequence[PromptScore]) -> list[dict]:
    """What a JSON file holds of scores."""
    return [asdict(score) for score in scores]
