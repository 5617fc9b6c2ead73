# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether confidence means what it says: the expected IoU of a mask with the truth."""
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from scipy.stats import spearmanr

from stm_ros.vision.errors import InputError

BINS = 15
FAILURE_BELOW = 0.5


@dataclass(frozen=True)
class ReliabilityBin:
    """The observations whose confidence lies in [low, high): how many, and their means."""

    low: float
    high: float
    count: int
    confidence: float
    iou: float


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted.

    `error` is the expected calibration error; `rank_correlation` Spearman's with the true IoU;
    `failure_auroc` the area under the ROC of low confidence as a sign of IoU below 0.5. The last
    two are None where the data do not define them (no variation, or no failure, or only those).
    """

    error: float
    rank_correlation: float | None
    failure_auroc: float | None
    observations: int
    failures: int
    bins: tuple[ReliabilityBin, ...]


def assess_calibration(confidence: np.ndarray, iou: np.ndarray) -> Calibration:
    """Compare N confidences with the N true IoUs, both in [0, 1].

    Raises InputError where there is none, or a value is outside [0, 1].
    """
    confidence, iou = _checked(confidence, iou)
    failed = iou < FAILURE_BELOW
    bins = _reliability_bins(confidence, iou)
    return Calibration(
        error=sum(part.count * abs(part.confidence - part.iou) for part in bins) / len(iou),
        rank_correlation=_rank_correlation(confidence, iou),
        failure_auroc=_area_under_roc(-confidence, failed),
        observations=len(iou),
        failures=int(failed.sum()),
        bins=bins,
    )


def _checked(confidence: np.ndarray, iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence = np.asarray(confidence, dtype=np.float64)
    iou = np.asarray(iou, dtype=np.float64)
    if confidence.shape != iou.shape or confidence.ndim != 1 or not confidence.size:
        raise InputError(
            f'{confidence.shape} confidences and {iou.shape} IoUs: equally many are needed, '
            'at least one'
        )
    for name, values in (('confidence', confidence), ('IoU', iou)):
        wrong = values[~((values >= 0) & (values <= 1))]
        if wrong.size:
            raise InputError(f'{name} {wrong[0]} is outside [0, 1]')
    return confidence, iou


def _reliability_bins(confidence: np.ndarray, iou: np.ndarray) -> tuple[ReliabilityBin, ...]:
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        ReliabilityBin(
            number / BINS,
            (number + 1) / BINS,
            int(np.count_nonzero(index == number)),
            float(confidence[index == number].mean()),
            float(iou[index == number].mean()),
        )
        for number in np.unique(index).tolist()
    )


def _rank_correlation(confidence: np.ndarray, iou: np.ndarray) -> float | None:
    if np.ptp(confidence) == 0 or np.ptp(iou) == 0:
        return None
    return float(spearmanr(confidence, iou).statistic)


def _area_under_roc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """The share of (positive, negative) pairs that the score puts in order; ties count half."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    ranks = rankdata(score)[positive].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))
