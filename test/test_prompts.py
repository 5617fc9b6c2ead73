# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes and points to masks by GrabCut, judged by a scene whose truth is known."""
import cv2
import numpy as np
import pytest

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.grabcut import GrabCut
from stm_ros.vision.grabcut import mask_from_box
from stm_ros.vision.grabcut import mask_from_points
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import along
from stm_ros.vision.prompts import clipped_points
from stm_ros.vision.prompts import parse_box


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A textured red disc on textured green, 120×160, and the disc's mask."""
    rng = np.random.default_rng(0)
    truth = cv2.circle(np.zeros((120, 160), np.uint8), (90, 60), 28, 1, cv2.FILLED) == 1
    image = np.where(truth[..., None], (190, 40, 30), (40, 120, 60))
    return (image + rng.integers(-25, 26, image.shape)).clip(0, 255).astype(np.uint8), truth


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def test_box_gives_the_disc_every_time():
    image, truth = scene()
    mask = mask_from_box(image, Box(55, 26, 70, 68))
    assert mask.dtype == bool and iou(mask, truth) > 0.97
    cv2.setRNGSeed(1234)
    assert np.array_equal(mask_from_box(image, Box(55, 26, 70, 68)), mask)


def test_large_image_is_cut_at_its_own_size():
    image, truth = scene()
    large = cv2.resize(image, (1600, 1200), interpolation=cv2.INTER_NEAREST)
    expected = cv2.resize(truth.astype(np.uint8), (1600, 1200)) == 1
    assert iou(mask_from_box(large, Box(550, 260, 700, 680)), expected) > 0.95


def test_box_is_clipped_to_the_image():
    image, truth = scene()
    shifted, moved = image[:, 40:], truth[:, 40:]
    assert iou(mask_from_box(shifted, Box(-1000, 20, 1090, 80)), moved) > 0.97


def test_points_give_the_disc_and_the_mirrored_scene_the_mirrored_disc():
    image, truth = scene()
    points = [(90, 60), (20, 100)]
    mask = mask_from_points(image, points, [True, False])
    assert iou(mask, truth) > 0.95
    mirrored = mask_from_points(
        np.ascontiguousarray(image[:, ::-1]), [(159 - x, y) for x, y in points], [True, False])
    assert iou(mirrored[:, ::-1], mask) > 0.97


def test_points_choose_among_two_discs():
    image, truth = scene()
    both = np.hstack((image, image))
    mask = mask_from_points(both, [(250, 60)], [True])
    assert iou(mask[:, 160:], truth) > 0.95 and not mask[:, :160].any()


@pytest.mark.parametrize(('box', 'told'), [
    (Box(0, 0, 160, 120), 'whole image'),
    (Box(200, 20, 30, 30), '160×120'),
    (Box(10, 10, 2, 50), '4×4'),
    (Box(10, 10, -20, 50), '4×4'),
    (Box(float('nan'), 10, 20, 50), 'finite')])
def test_boxes_that_cannot_be_used(box, told):
    with pytest.raises(InputError, match=told):
        mask_from_box(scene()[0], box)


def test_where_nothing_can_be_told_apart_no_rectangle_is_passed_off():
    flat = np.full((120, 160, 3), 128, np.uint8)
    with pytest.raises(InputError, match='GrabCut keeps'):
        mask_from_box(flat, Box(40, 40, 50, 50))


def test_points_that_cannot_be_used():
    image, _ = scene()
    for points, on_target, told in (
            ([], [], 'no point'), ([(5, 5)], [False], 'no point'),
            ([(5, 5)], [True, False], '1 points'), ([(90, 60), (90, 60)], [True, False], 'same')):
        with pytest.raises(InputError, match=told):
            mask_from_points(image, points, on_target)


def test_box_from_text():
    assert parse_box('10, 20.5,30,40') == Box(10.0, 20.5, 30.0, 40.0)
    for text in ('', '1,2,3', '1,2,3,4,5', 'a,b,c,d', '1,2,0,4', '1,2,3,-4'):
        with pytest.raises(InputError, match='width'):
            parse_box(text)


@pytest.mark.parametrize('point', [(float('nan'), 60.0), (90.0, float('nan')),
                                   (float('inf'), 60.0), (90.0, float('-inf'))])
def test_points_that_are_no_numbers_are_refused(point):
    with pytest.raises(InputError, match='not finite'):
        mask_from_points(scene()[0], [(90.0, 60.0), point], [True, False])


def test_a_prompt_of_either_kind_is_segmented_and_said():
    image, truth = scene()
    for prompt in (Prompt(Box(55, 26, 70, 68)), Prompt(None, ((90, 60),), (True,)),
                   Prompt(Box(55, 26, 70, 68), ((90, 60),), (True,))):
        found = GrabCut().segment(image, prompt)
        assert iou(found.mask, truth) > 0.95 and found.meaning == 'by GrabCut'
    with pytest.raises(InputError, match='neither a box nor points'):
        GrabCut().segment(image, Prompt())


def test_a_scribble_is_points_close_to_one_another():
    points = along([(10, 10), (40, 50), (40, 50.5)])
    assert points[0] == (10, 10) and points[-1] == (40, 50.5)
    assert np.hypot(*np.diff(points, axis=0).T).max() <= 4.0 and len(points) == 15
    assert along([(3, 4)]) == ((3, 4),) and along([]) == ()


def test_points_slip_over_the_edge_but_are_not_elsewhere():
    image, truth = scene()
    height, width = image.shape[:2]
    assert clipped_points([(-3, 5), (width + 3, height)], image.shape) == [
        (0, 5), (width - 1, height - 1)]
    for point in ((1e9, 1), (-width, 5), (5, 2 * height), (-1e300, 0)):
        with pytest.raises(InputError, match='lies outside the image of'):
            mask_from_points(image, [point], [True])
