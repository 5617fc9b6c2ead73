# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The DAVIS measures: region similarity J, contour accuracy F, and their statistics.

Defined by Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation" (CVPR 2016); details that the paper leaves open follow the DAVIS-2017 evaluation
code, so that figures compare with published ones.
"""
from functools import lru_cache
from math import ceil
from math import hypot
from typing import NamedTuple

import cv2
import numpy as np

from stm_ros.vision.errors import InputError

BOUNDARY_TOLERANCE = 0.008
"""Distance within which two contours match, as a share of the image's diagonal."""

RECALL_THRESHOLD = 0.5
DECAY_BINS = 4


class Statistics(NamedTuple):
    """Mean, recall (share of frames above 0.5) and decay (first quarter minus last quarter)."""

    mean: float
    recall: float
    decay: float


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two H×W bool masks; 1 where both are empty.

    Raises InputError where the two shapes differ.
    """
    _check_shapes(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def contour_accuracy(
    prediction: np.ndarray, truth: np.ndarray, tolerance: float = BOUNDARY_TOLERANCE
) -> float:
    """F: harmonic mean of the contours' precision and recall, for two H×W bool masks.

    A contour pixel matches when the other contour passes within ceil(tolerance * diagonal)
    pixels. Two masks without any contour score 1, one without scores 0.
    Raises InputError where the two shapes differ.
    """
    _check_shapes(prediction, truth)
    radius = ceil(tolerance * hypot(*prediction.shape))
    window = _window(prediction, truth, radius + 1)
    predicted_contour = boundary_map(prediction[window])
    true_contour = boundary_map(truth[window])
    predicted_count = np.count_nonzero(predicted_contour)
    true_count = np.count_nonzero(true_contour)
    if predicted_count == 0 or true_count == 0:
        return float(predicted_count == true_count)
    kernel = disk(radius)
    near_truth = cv2.dilate(true_contour.view(np.uint8), kernel).view(bool)
    near_prediction = cv2.dilate(predicted_contour.view(np.uint8), kernel).view(bool)
    precision = np.count_nonzero(predicted_contour & near_truth) / predicted_count
    recall = np.count_nonzero(true_contour & near_prediction) / true_count
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """The one-pixel-wide contour of an H×W bool mask, as H×W bool.

    A pixel is contour when it differs from its east, south or south-east neighbour; neighbours
    outside the image do not count (Martin et al.'s seg2bmap).
    """
    contour = np.zeros(mask.shape, dtype=bool)
    contour[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    contour[:-1] |= mask[:-1] ^ mask[1:]
    contour[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return contour


@lru_cache(maxsize=16)
def disk(radius: int) -> np.ndarray:
    """A disk as a (2·radius+1)² uint8 kernel: 1 where x² + y² <= radius²."""
    offsets = np.arange(-radius, radius + 1) ** 2
    return (offsets[:, None] + offsets[None, :] <= radius**2).astype(np.uint8)


def statistics(values: np.ndarray) -> Statistics:
    """Mean, recall and decay of one object's values over its scored frames (T floats).

    NaN marks a frame that was not scored and is left out. The quarters overlap by one frame, as
    in the official code; unlike there, sequences of more than 256 frames do not overflow.
    Raises InputError where no frame was scored.
    """
    values = np.asarray(values, dtype=np.float64)
    scored = values[~np.isnan(values)]
    if scored.size == 0:
        raise InputError('no scored frame: statistics need at least one')
    edges = np.linspace(1, scored.size, DECAY_BINS + 1)
    edges = np.round(edges + 1e-10).astype(int) - 1
    first = scored[edges[0]:edges[1] + 1]
    last = scored[edges[-2]:edges[-1] + 1]
    return Statistics(
        mean=float(scored.mean()),
        recall=float(np.mean(scored > RECALL_THRESHOLD)),
        decay=float(first.mean() - last.mean()),
    )


def _check_shapes(prediction: np.ndarray, truth: np.ndarray) -> None:
    if prediction.shape != truth.shape or prediction.ndim != 2:
        raise InputError(
            f'prediction of shape {prediction.shape} against truth of shape {truth.shape}: '
            'both must be H×W and of the same size'
        )


def _window(prediction: np.ndarray, truth: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The part of the image that holds both masks and everything within `margin` of them."""
    either = (prediction | truth).view(np.uint8)
    x, y, width, height = cv2.boundingRect(either)
    return (
        slice(max(y - margin, 0), y + height + margin),
        slice(max(x - margin, 0), x + width + margin),
    )
