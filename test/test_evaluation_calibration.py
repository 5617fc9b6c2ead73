# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Calibration: errors computed by hand, and a fit that is monotone, small and as good."""
import numpy as np
import pytest
from hypothesis import strategies as st

from stm_ros.evaluation.calibration import assess_calibration
from stm_ros.vision.errors import InputError

SHARES = st.floats(0, 1, width=32)


def test_expected_calibration_error_by_hand() -> None:
    """Two bins: two observations that are 0.2 too sure on average, two that are exact."""
    result = assess_calibration(
        np.array([0.91, 0.93, 0.41, 0.45]), np.array([0.70, 0.74, 0.40, 0.46]))
    assert result.error == pytest.approx((2 * 0.2 + 2 * 0.0) / 4)
    assert [part.count for part in result.bins] == [2, 2]
    assert result.bins[1].iou == pytest.approx(0.72)
    assert result.bins[1].low == pytest.approx(13 / 15)


def test_full_confidence_belongs_to_the_last_bin() -> None:
    """Confidence 1 is not outside the bins."""
    result = assess_calibration(np.ones(3), np.ones(3))
    assert result.error == 0
    assert [(part.low, part.high) for part in result.bins] == [(14 / 15, 1.0)]


def test_ranking_and_failures_by_hand() -> None:
    """One failure of three sits above one success: 2 failures x 2 successes, 3 pairs in order."""
    confidence = np.array([0.1, 0.6, 0.5, 0.9])
    iou = np.array([0.2, 0.4, 0.6, 0.8])
    result = assess_calibration(confidence, iou)
    assert result.failure_auroc == pytest.approx(3 / 4)
    assert result.rank_correlation == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert result.failures == 2


def test_ties_count_half() -> None:
    """Confidence that never changes tells nothing: AUROC one half, no correlation."""
    result = assess_calibration(np.full(4, 0.5), np.array([0.1, 0.2, 0.8, 0.9]))
    assert result.failure_auroc == 0.5
    assert result.rank_correlation is None


def test_what_the_data_do_not_define_is_none() -> None:
    """Without a failure there is no ROC."""
    assert assess_calibration(np.array([0.7, 0.9]), np.array([0.8, 0.9])).failure_auroc is None


@pytest.mark.parametrize(('confidence', 'iou', 'message'), [
    ([], [], 'at least one'),
    ([0.1, 0.2], [0.3], 'equally many'),
    ([1.2], [0.5], 'confidence 1.2 is outside'),
    ([0.2], [float('nan')], 'IoU nan is outside'),
])
def test_other_values_are_refused(confidence, iou, message: str) -> None:
    """The message names the value."""
    with pytest.raises(InputError, match=message):
        assess_calibration(np.array(confidence), np.array(iou))
