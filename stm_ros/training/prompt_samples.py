# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts as people give them, simulated on stills with masks."""
import re
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from stm_ros.inference.prompt_crop import MARGIN
from stm_ros.inference.prompt_crop import Crop
from stm_ros.inference.prompt_crop import crop_around
from stm_ros.inference.prompt_crop import prompt_planes
from stm_ros.inference.prompt_crop import whole_crop
from stm_ros.training.sources import DataSet
from stm_ros.training.sources import Pair
from stm_ros.training.sources import pairs_in
from stm_ros.training.sources import videos_in
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask

#: one group of pictures in so many is never trained on
HELD_OUT_EVERY = 10
_VOID = 255
_LEAST_PIXELS = 150
_LEAST_SIDE = 10
_LOADED_SIDE = 640
_ATTEMPTS = 20
_COUNTER = re.compile(r'^\d+_(?=.)')


class PromptSample(NamedTuple):
    """What is seen SIZE×SIZE×3 uint8, the truth and what of it counts SIZE×SIZE uint8, planes."""

    image: np.ndarray
    truth: np.ndarray
    counts: np.ndarray
    planes: np.ndarray


def stills_of(data_set: DataSet) -> list[Pair]:
    """All pairs of a data set; frames of video are stills, too."""
    if data_set.kind == 'video':
        return [pair for sequence in videos_in(data_set.folder) for pair in sequence]
    return pairs_in(data_set.folder, data_set.kind == 'binary')


def split_pairs(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """
    Part pairs into those to train on and those held out: every tenth group of pictures by name.

    Pictures whose names differ in nothing but a counter in front are augmented copies of one
    another in the published sets, and stay together.
    """
    groups = sorted({_group(pair) for pair in pairs})
    held_out = set(groups[::HELD_OUT_EVERY])
    return ([pair for pair in pairs if _group(pair) not in held_out],
            [pair for pair in pairs if _group(pair) in held_out])


def _group(pair: Pair) -> str:
    return _COUNTER.sub('', pair.image.stem)


def jittered(box: Box, random: Generator, share: float) -> Box:
    """Move each side of `box` by up to `share` of the box's width or height."""
    left, right = random.uniform(-share, share, 2) * box.width
    top, bottom = random.uniform(-share, share, 2) * box.height
    return Box(box.x_min + left, box.y_min + top, box.width + right - left,
               box.height + bottom - top)


class PromptSampler:
    """Makes samples from the training part of data sets."""

    def __init__(self, data_sets: Sequence[DataSet]) -> None:
        self.pairs = [split_pairs(stills_of(data_set))[0] for data_set in data_sets]
        weights = np.array([data_set.weight for data_set in data_sets])
        self.shares = weights / weights.sum()

    def sample(self, random: Generator) -> PromptSample:
        """Make one sample: a third of them by points alone."""
        for _ in range(_ATTEMPTS):
            pairs = self.pairs[random.choice(len(self.pairs), p=self.shares)]
            image, label_map = pairs[random.integers(len(pairs))].load(_LOADED_SIDE)
            ids = [i for i in np.unique(label_map) if i not in (0, _VOID)]
            random.shuffle(ids)
            for target in ids:
                truth = label_map == target
                box = box_of_mask(truth)
                if (box is not None and truth.sum() >= _LEAST_PIXELS
                        and min(box.width, box.height) >= _LEAST_SIDE
                        and truth.mean() < 0.9):
                    return _prompted(image, truth, label_map != _VOID, box, random)
        raise ValueError('the data sets hold hardly any target that is large enough')


def _prompted(image: np.ndarray, truth: np.ndarray, known: np.ndarray, box: Box,
              random: Generator) -> PromptSample:
    by_points = random.random() < 0.35
    crop = _crop_for_points(box, image.shape, random) if by_points else None
    shown = None
    if crop is None:
        shown = jittered(box, random, random.choice([0.03, 0.1, 0.15, 0.25]))
        crop = crop_around(shown, MARGIN * random.uniform(0.8, 1.2))
    seen = _changed(crop.cut(image), random)
    target = (crop.cut(truth.astype(np.uint8) * 255, (0,)) > 127).astype(np.uint8)
    counts = (crop.cut(known.astype(np.uint8) * 255, (0,)) > 127).astype(np.uint8)
    planes = prompt_planes(crop, image.shape, box=shown)
    if by_points or random.random() < 0.2:
        _draw_first(planes, target, random)
    if random.random() < 0.5:
        seen, target, counts = (np.ascontiguousarray(x[:, ::-1]) for x in (seen, target, counts))
        planes = np.ascontiguousarray(planes[..., ::-1])
    return PromptSample(seen, target, counts, planes)


def _crop_for_points(box: Box, shape: tuple[int, ...], random: Generator) -> Crop:
    """Return anything between a close view and the whole image, the target not in its middle."""
    if random.random() < 0.35:
        return whole_crop(shape)
    margin = float(np.exp(random.uniform(np.log(0.15), np.log(1.5))))
    moved = box.moved(*(random.uniform(-0.6, 0.6, 2) * margin * max(box.width, box.height)))
    return crop_around(moved, margin)


def _draw_first(planes: np.ndarray, truth: np.ndarray, random: Generator) -> None:
    """Draw a click or a scribble on the target, and now and then a click beside it."""
    where = _inner_pixels(truth)
    if len(where) == 0:
        return
    if random.random() < 0.2:
        stroke = where[random.integers(len(where), size=int(random.integers(2, 5)))][:, ::-1]
        drawn = cv2.polylines(np.zeros_like(truth), [stroke.astype(np.int32)], False, (1,), 9)
        planes[1] = np.maximum(planes[1], drawn & truth)
    else:
        for _ in range(1 + (random.random() < 0.2)):
            _draw_click(planes[1], where[random.integers(len(where))])
    if random.random() < 0.2:
        rows, columns = np.nonzero(truth == 0)
        if len(rows):
            index = random.integers(len(rows))
            _draw_click(planes[2], np.array((rows[index], columns[index])))


def _inner_pixels(region: np.ndarray) -> np.ndarray:
    """Return n×2 rows and columns of pixels well inside `region` (uint8)."""
    depth = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.argwhere(depth > 0.4 * depth.max()) if depth.max() > 0 else np.empty((0, 2), int)


def _draw_click(plane: np.ndarray, where: np.ndarray) -> None:
    cv2.circle(plane, (int(where[1]), int(where[0])), 5, (1.0,), cv2.FILLED)


def with_correction(planes: np.ndarray, found: np.ndarray, truth: np.ndarray,
                    random: Generator) -> np.ndarray:
    """
    Return the planes of a next pass: the mask found, and clicks on its largest errors.

    :param found: SIZE×SIZE float32, probabilities of the pass before.
    """
    planes = planes.copy()
    blurred = cv2.GaussianBlur(found, (0, 0), random.uniform(2, 8)) \
        if random.random() < 0.3 else found
    planes[3] = 2 * blurred - 1
    mask = (found > 0.5).astype(np.uint8)
    for _ in range(int(random.integers(0, 3))):
        missed, excess = truth & (1 - mask), mask & (1 - truth)
        region, plane = max(((_largest(missed), 1), (_largest(excess), 2)),
                            key=lambda each: int(each[0].sum()))
        where = _inner_pixels(region)
        if region.sum() < 20 or len(where) == 0:
            break
        click = where[random.integers(len(where))]
        _draw_click(planes[plane], click)
        mask[region > 0] = truth[region > 0]
    return planes


def _largest(region: np.ndarray) -> np.ndarray:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(region)
    if count < 2:
        return np.zeros_like(region)
    return (labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)


def _changed(image: np.ndarray, random: Generator) -> np.ndarray:
    """Change light, colour, sharpness and quality a little."""
    gain = random.uniform(0.7, 1.3) * random.uniform(0.92, 1.08, 3)
    table = np.arange(256, dtype=np.float32)[:, None] / 255
    table = 255 * (table ** random.uniform(0.75, 1.35)) * gain + random.uniform(-15, 15)
    image = np.stack([cv2.LUT(image[..., c], table[:, c].clip(0, 255).astype(np.uint8))
                      for c in range(3)], axis=-1)
    if random.random() < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if random.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.8))
    if random.random() < 0.15:
        _, data = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY,
                                               int(random.integers(30, 80))))
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image
