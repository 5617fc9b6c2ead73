# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Perturbations: fixed by their seed, growing with their strength, honest about the truth."""
import cv2
import numpy as np
import pytest

from stm_ros.evaluation.perturbations import PERTURBATIONS
from stm_ros.evaluation.perturbations import STRENGTHS
from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.perturbations import parse_perturbations
from stm_ros.vision.errors import InputError

SPOILING = [name for name in PERTURBATIONS if name != 'frame_drop']
MOVING = ('occlusion', 'deformation')


@pytest.fixture(scope='module')
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A textured 240×320 image of middling brightness and a label map of two targets."""
    random = np.random.default_rng(7)
    coarse = random.integers(40, 200, (30, 40, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    truth = np.zeros((240, 320), dtype=np.uint8)
    truth[60:180, 40:140] = 1
    truth[80:160, 180:300] = 2
    return image, truth


def difference(image: np.ndarray, other: np.ndarray) -> float:
    """The root mean square difference in grey levels."""
    return float(np.sqrt(np.mean((image.astype(float) - other.astype(float)) ** 2)))


@pytest.mark.parametrize('name', SPOILING)
@pytest.mark.parametrize('strength', STRENGTHS)
def test_the_same_seed_spoils_in_the_same_way(scene, name: str, strength: int) -> None:
    """In whatever order frames are asked for, and without touching the input."""
    image, truth = scene
    before = image.copy(), truth.copy()
    first = Perturbation(name, strength, seed=3)
    pictures = {index: first.apply(image, truth, 'cat', index) for index in (4, 11)}
    again = Perturbation(name, strength, seed=3)
    for index in (11, 4):
        spoiled, spoiled_truth = again.apply(image, truth, 'cat', index)
        np.testing.assert_array_equal(spoiled, pictures[index][0])
        np.testing.assert_array_equal(spoiled_truth, pictures[index][1])
        assert spoiled.dtype == np.uint8
        assert spoiled.shape == image.shape
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(truth, before[1])


@pytest.mark.parametrize('name', ['motion_blur', 'noise', 'occlusion', 'deformation'])
def test_seed_sequence_and_frame_matter(scene, name: str) -> None:
    """Another seed, another sequence or another frame is spoiled in another way."""
    image, truth = scene
    pictures = [
        Perturbation(name, 2, seed).apply(image, truth, sequence, index)[0]
        for seed, sequence, index in ((0, 'cat', 5), (1, 'cat', 5), (0, 'dog', 5), (0, 'cat', 8))
    ]
    for number, picture in enumerate(pictures):
        for other in pictures[number + 1:]:
            assert difference(picture, other) > 1


@pytest.mark.parametrize('name', SPOILING)
def test_a_greater_strength_damages_more(scene, name: str) -> None:
    """Averaged over a few frames, so that chance directions do not decide."""
    image, truth = scene
    damage = [
        np.mean([
            difference(Perturbation(name, strength).apply(image, truth, 'cat', index)[0], image)
            for index in range(24)
        ])
        for strength in STRENGTHS
    ]
    assert 0.5 < damage[0] < damage[1] < damage[2]


@pytest.mark.parametrize('name', [name for name in SPOILING if name not in MOVING])
def test_what_moves_nothing_leaves_the_truth_alone(scene, name: str) -> None:
    """The truth of a blurred, dark or noisy image is the same."""
    image, truth = scene
    _, spoiled = Perturbation(name, 3).apply(image, truth, 'cat', 5)
    np.testing.assert_array_equal(spoiled, truth)
    assert Perturbation(name, 3).apply(image, None, 'cat', 5)[1] is None


def test_occlusion_takes_hidden_pixels_from_the_truth(scene) -> None:
    """Where the image is untouched the truth is as before; where it is covered it is background.

    The post passes over the whole image in 24 frames, so that every pixel is hidden at times.
    """
    image, truth = scene
    perturbation = Perturbation('occlusion', 2)
    hidden = np.zeros(truth.shape, dtype=bool)
    for index in range(24):
        spoiled, spoiled_truth = perturbation.apply(image, truth, 'cat', index)
        covered = (spoiled != image).any(axis=(0, 2))
        np.testing.assert_array_equal(spoiled_truth[:, ~covered] != truth[:, ~covered], False)
        assert not spoiled_truth[:, covered].any()
        hidden[:, covered] = True
    assert hidden.all()


def test_deformation_moves_truth_and_image_together(scene) -> None:
    """An image that paints each target in its own colour stays in register with its truth."""
    _, truth = scene
    colours = np.array([[20, 20, 20], [220, 60, 60], [60, 220, 60]], dtype=np.uint8)
    image, moved = Perturbation('deformation', 3).apply(colours[truth], truth, 'cat', 4)
    assert np.mean(moved != truth) > 0.01
    inner = [cv2.erode((moved == ident).astype(np.uint8), np.ones((5, 5))) > 0
             for ident in range(3)]
    for ident, region in enumerate(inner):
        assert region.any()
        np.testing.assert_array_equal(image[region], np.broadcast_to(
            colours[ident], image[region].shape))


def test_light_is_scaled_not_shifted(scene) -> None:
    """Black stays black, white under half the light is grey, and clipping is at white."""
    greys = np.repeat(np.array([[0, 128, 255]], dtype=np.uint8)[..., None], 3, axis=-1)
    dark, _ = Perturbation('dark', 1).apply(greys, None, 'cat', 1)
    bright, _ = Perturbation('bright', 3).apply(greys, None, 'cat', 1)
    assert dark[0, :, 0].tolist() == [0, round(128 * 0.5 ** (1 / 2.2)),
                                      round(255 * 0.5 ** (1 / 2.2))]
    assert bright[0, :, 0].tolist() == [0, round(128 * 3.5 ** (1 / 2.2)), 255]


@pytest.mark.parametrize(('strength', 'share'), [(1, 0.3), (2, 0.5), (3, 0.75)])
def test_frames_are_dropped_at_the_stated_rate(strength: int, share: float) -> None:
    """Of 2,000 frames, and only by frame_drop; the images themselves stay."""
    perturbation = Perturbation('frame_drop', strength)
    dropped = [perturbation.drops('cat', index) for index in range(2000)]
    assert np.mean(dropped) == pytest.approx(share, abs=0.04)
    assert dropped == [perturbation.drops('cat', index) for index in range(2000)]
    assert not any(Perturbation('noise', strength).drops('cat', index) for index in range(99))
    image = np.full((4, 4, 3), 9, dtype=np.uint8)
    assert perturbation.apply(image, None, 'cat', 1)[0] is image


def test_parsing() -> None:
    """A name alone means all strengths, 'all' means everything."""
    assert len(parse_perturbations('all')) == 33
    assert parse_perturbations('dark, noise:2', seed=5) == [
        Perturbation('dark', 1, 5), Perturbation('dark', 2, 5), Perturbation('dark', 3, 5),
        Perturbation('noise', 2, 5),
    ]


@pytest.mark.parametrize(('text', 'message'), [
    ('fog', "no perturbation 'fog': there are motion_blur"),
    ('dark:4', 'strength 4 of dark'),
    ('dark:hard', "strength 'hard' of dark"),
    ('', 'no perturbation'),
])
def test_unknown_names_and_strengths_are_refused(text: str, message: str) -> None:
    """The message says what there is."""
    with pytest.raises(InputError, match=message):
        parse_perturbations(text)
