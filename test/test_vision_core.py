# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes, masks and the way from an image to the network and back."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tracker_helpers import iou_of_boxes

from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.masks import check_label_map
from stm_ros.vision.prepare import clear_padding
from stm_ros.vision.prepare import geometry_for
from stm_ros.vision.prepare import prepare_image
from stm_ros.vision.prepare import prepare_masks
from stm_ros.vision.prepare import restore_logits

CPU = torch.device('cpu')


def test_the_box_of_one_pixel_is_one_pixel():
    mask = np.zeros((5, 7), bool)
    assert box_of_mask(mask) is None
    mask[2, 3] = True
    assert box_of_mask(mask) == Box(3.0, 2.0, 1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 4), st.integers(1, 4))
def test_the_box_of_a_rectangle_is_the_rectangle_and_flips_with_it(left, top, width, height):
    mask = np.zeros((12, 12), bool)
    mask[top:top + height, left:left + width] = True
    assert box_of_mask(mask) == Box(left, top, width, height)
    assert box_of_mask(mask[:, ::-1]) == Box(12 - left - width, top, width, height)


_sides = st.integers(1, 6)


@settings(max_examples=50, deadline=None)
@given(st.tuples(_sides, _sides, _sides, _sides), st.tuples(_sides, _sides, _sides, _sides))
def test_the_iou_of_boxes_is_that_of_their_pixels(one, other):
    masks = []
    for left, top, width, height in (one, other):
        masks.append(np.zeros((12, 12), bool))
        masks[-1][top:top + height, left:left + width] = True
    expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert iou_of_boxes(Box(*one), Box(*other)) == pytest.approx(expected)
    assert iou_of_boxes(Box(*other), Box(*one)) == iou_of_boxes(Box(*one), Box(*other))


def test_void_is_background():
    cleaned = check_label_map(np.array([[255, 2]], np.uint8), (1, 2, 3))
    assert cleaned.tolist() == [[0, 2]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([0, 32, 64]))
def test_geometry_pads_to_the_stride_and_keeps_the_image_inside(height, width, input_size):
    geometry = geometry_for((height, width), input_size, 16)
    assert all(side % 16 == 0 for side in geometry.padded)
    assert all(0 <= p - r < 16 for p, r in zip(geometry.padded, geometry.resized, strict=True))
    if input_size and min(height, width) > input_size:
        assert min(geometry.resized) == input_size
    else:
        assert geometry.resized == (height, width)


def test_pixels_come_back_where_they_were():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (37, 50, 3), np.uint8)
    geometry = geometry_for((37, 50), 0, 16)
    planes = prepare_image(image, geometry, CPU, torch.float64)
    assert planes.shape == (1, 3, 48, 64)
    back = restore_logits(planes[0], geometry)
    assert np.array_equal((back * 255).round().numpy().transpose(1, 2, 0), image)
    assert float(planes.sum()) == pytest.approx(image.sum() / 255)


def test_masks_keep_their_area_when_resized():
    label_map = np.zeros((100, 120), np.uint8)
    label_map[20:60, 30:90] = 4
    geometry = geometry_for((100, 120), 50, 16)
    masks = prepare_masks(label_map, [4, 9], geometry, CPU, torch.float32)
    assert masks.shape == (2, 64, 64)
    assert float(masks[0].sum()) * 4 == pytest.approx(40 * 60, rel=0.02)
    assert float(masks[1].sum()) == 0


def test_nothing_is_left_in_the_padding():
    geometry = geometry_for((37, 50), 0, 16)
    cleared = clear_padding(torch.ones(2, 48, 64), geometry)
    assert float(cleared.sum()) == 2 * 37 * 50
    rows, columns = geometry.inside()
    assert (cleared[:, rows, columns] == 1).all()
