# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""J, F and their statistics: hand-computed cases, the official code's values, symmetries."""
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_ros.evaluation.measures import boundary_map
from stm_ros.evaluation.measures import contour_accuracy
from stm_ros.evaluation.measures import disk
from stm_ros.evaluation.measures import region_similarity
from stm_ros.evaluation.measures import statistics
from stm_ros.vision.errors import InputError

MASKS = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def square(top: int, left: int, side: int = 20, size: int = 100) -> np.ndarray:
    """A filled square in a size×size bool mask."""
    mask = np.zeros((size, size), dtype=bool)
    mask[top:top + side, left:left + side] = True
    return mask


def test_agrees_with_the_official_code_on_all_golden_pairs(shared_dir: Path) -> None:
    """36 pairs of masks, from 64×64 to 1080×1920, whose J and F the official code computed."""
    path = shared_dir / 'golden' / 'jf_pairs.npz'
    if not path.is_file():
        pytest.skip(f'{path} is missing')
    pairs = np.load(path)
    numbers = [name.removeprefix('meta_') for name in pairs.files if name.startswith('meta_')]
    assert len(numbers) == 36
    for number in numbers:
        height, width = (int(value) for value in pairs[f'meta_{number}'][:2])
        truth, prediction = (
            np.unpackbits(pairs[f'{name}_{number}'], count=height * width)
            .reshape(height, width).astype(bool)
            for name in ('true', 'pred')
        )
        region, contour = pairs[f'meta_{number}'][2:]
        assert region_similarity(prediction, truth) == pytest.approx(region, abs=1e-6)
        assert contour_accuracy(prediction, truth) == pytest.approx(contour, abs=1e-6)


def test_shifted_squares_computed_by_hand() -> None:
    """A square of 20 shifted by 4 px in 100×100, where contours match within 2 px.

    Each contour is a ring of 80 px. Of the shifted ring, 19 px of the top and of the bottom row
    lie within 2 px of the other ring, and 2 + 2 px of its left column: 42 of 80.
    """
    truth, prediction = square(20, 20), square(20, 24)
    assert region_similarity(prediction, truth) == pytest.approx(320 / 480)
    assert contour_accuracy(prediction, truth) == pytest.approx(42 / 80)


def test_precision_and_recall_differ() -> None:
    """A second, distant square halves precision (80 of 160) and leaves recall at 1."""
    truth = square(10, 10)
    prediction = truth | square(60, 60)
    assert contour_accuracy(prediction, truth) == pytest.approx(2 / 3)


def test_contour_of_a_square() -> None:
    """The contour starts one pixel before the square and ends on its last row and column."""
    expected = np.zeros((8, 8), dtype=bool)
    expected[1:6, 1:6] = True
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(boundary_map(square(2, 2, side=4, size=8)), expected)


def test_the_image_border_is_no_contour() -> None:
    """A mask that fills the image has no contour; half an image has one column of it."""
    assert not boundary_map(np.ones((5, 7), dtype=bool)).any()
    half = np.zeros((5, 7), dtype=bool)
    half[:, :3] = True
    np.testing.assert_array_equal(np.flatnonzero(boundary_map(half).all(axis=0)), [2])
    assert boundary_map(half).sum() == 5


def test_empty_masks() -> None:
    """Both empty is perfect, one empty is worth nothing."""
    empty, filled = np.zeros((30, 30), dtype=bool), square(5, 5, size=30)
    for measure in (region_similarity, contour_accuracy):
        assert measure(empty, empty) == 1
        assert measure(filled, empty) == 0
        assert measure(empty, filled) == 0


def test_disk_is_the_set_of_points_within_the_radius() -> None:
    """Radius 2: 13 points of the 5×5 square."""
    np.testing.assert_array_equal(disk(2).sum(axis=0), [1, 3, 5, 3, 1])
    assert disk(8).shape == (17, 17)
    assert disk(8).sum() == 197


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_measures_are_symmetric_and_bounded(masks: tuple[np.ndarray, np.ndarray]) -> None:
    """Exchanging the masks changes nothing; a mask against itself scores 1."""
    first, second = masks
    for measure in (region_similarity, contour_accuracy):
        value = measure(first, second)
        assert 0 <= value <= 1
        assert measure(second, first) == pytest.approx(value, abs=1e-12)
        assert measure(first.T, second.T) == pytest.approx(value, abs=1e-12)
        assert measure(first, first) == 1
    flipped = region_similarity(first[::-1, ::-1], second[::-1, ::-1])
    assert flipped == region_similarity(first, second)


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_contours_away_from_the_masks_are_not_lost(masks: tuple[np.ndarray, np.ndarray]) -> None:
    """Computing within a window gives what whole images give, wherever the masks lie."""
    first, second = (np.pad(mask, ((3, 60), (50, 2))) for mask in masks)
    radius = int(np.ceil(0.008 * np.hypot(*first.shape)))
    expected = contour_by_distances(first, second, radius)
    assert contour_accuracy(first, second) == pytest.approx(expected, abs=1e-12)


def contour_by_distances(first: np.ndarray, second: np.ndarray, radius: int) -> float:
    """F from the pairwise distances of all contour pixels."""
    points = [np.argwhere(boundary_map(mask)) for mask in (first, second)]
    if not len(points[0]) or not len(points[1]):
        return float(len(points[0]) == len(points[1]))
    squared = ((points[0][:, None] - points[1][None]) ** 2).sum(axis=-1)
    near = squared <= radius**2
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('flip', [np.flipud, np.fliplr])
def test_smooth_shapes_score_nearly_the_same_when_flipped(flip) -> None:
    """Contours lie on one side of an edge, so that flips may cost single pixels, not more."""
    rows, columns = np.mgrid[:200, :300]
    truth = (rows - 100) ** 2 + (columns - 140) ** 2 < 60**2
    prediction = (rows - 104) ** 2 / 0.8 + (columns - 146) ** 2 < 58**2
    expected = contour_accuracy(prediction, truth)
    assert 0.2 < expected < 0.8
    flipped = contour_accuracy(flip(prediction), flip(truth))
    assert flipped == pytest.approx(expected, abs=0.02)


def test_statistics_by_hand() -> None:
    """Eight frames: the quarters are frames 0-2 and 5-7, for they overlap by one."""
    values = np.array([0.9, 0.8, 0.7, 0.5, 0.6, 0.3, 0.2, 0.1])
    result = statistics(values)
    assert result.mean == pytest.approx(4.1 / 8)
    assert result.recall == 4 / 8
    assert result.decay == pytest.approx(0.8 - 0.2)


def test_statistics_skip_frames_that_were_not_scored() -> None:
    """NaN marks the first and the last frame, or one that a camera lost."""
    values = np.array([np.nan, 0.9, 0.8, 0.7, np.nan, 0.5, 0.6, 0.3, 0.2, 0.1, np.nan])
    assert statistics(values) == statistics(values[~np.isnan(values)])
    assert statistics(np.array([0.4])) == (0.4, 0.0, 0.0)
    with pytest.raises(InputError, match='no scored frame'):
        statistics(np.array([np.nan]))


def test_long_sequences_decay_too() -> None:
    """1,000 frames falling from 1 to 0: the last quarter is 0.75 below the first."""
    assert statistics(np.linspace(1, 0, 1000)).decay == pytest.approx(0.75, abs=2e-3)


@pytest.mark.parametrize('shape', [(4, 5, 1), (4, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """The message names both shapes."""
    with pytest.raises(InputError, match=r'\(4, 5\)'):
        region_similarity(np.zeros(shape, dtype=bool), np.zeros((4, 5), dtype=bool))
