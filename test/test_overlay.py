# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: the right pixels change, and no others."""
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pytest

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.overlay import contact_sheet
from stm_ros.vision.overlay import draw_overlay
from stm_ros.vision.overlay import heat_map
from stm_ros.vision.overlay import printable
from stm_ros.vision.overlay import target_colour


class State(IntEnum):
    TRACKING = 0
    LOST = 2


@dataclass
class Target:
    id: int
    label: str
    state: State
    confidence: float
    box: Box | None


def grey(height: int = 100, width: int = 120, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_nothing_found_changes_nothing():
    image = grey()
    assert np.array_equal(draw_overlay(image, np.zeros((100, 120), np.uint8), []), image)


def test_mask_is_tinted_in_its_colour_and_the_input_untouched():
    image = grey()
    label_map = np.zeros((100, 120), np.uint8)
    label_map[40:80, 30:70] = 2
    picture = draw_overlay(image, label_map, [])
    inside = np.rint(0.6 * 100 + 0.4 * np.array(target_colour(2)))
    assert (picture[42:78, 32:68] == inside).all()
    assert (picture[40, 30:70] == target_colour(2)).all()
    assert np.array_equal(picture[label_map == 0], image[label_map == 0])
    assert (image == 100).all()


def test_ignored_pixels_are_not_a_target():
    label_map = np.full((100, 120), 255, np.uint8)
    assert np.array_equal(draw_overlay(grey(), label_map, []), grey())


def test_box_lies_on_its_own_pixels():
    """Pixel edges: x 30 and width 40 are the columns 30..69."""
    target = Target(1, '', State.TRACKING, 0.9, Box(30, 60, 40, 20))
    picture = draw_overlay(grey(), np.zeros((100, 120), np.uint8), [target])
    for row, column in ((60, 30), (79, 30), (60, 69), (79, 69)):
        assert tuple(picture[row, column]) == target_colour(1)
    assert (picture[62:78, 32:68] == 100).all() and (picture[80:] == 100).all()


def test_lost_target_has_text_in_the_corner_and_no_box():
    target = Target(1, 'mug', State.LOST, 0.05, None)
    picture = draw_overlay(grey(200, 300), np.zeros((200, 300), np.uint8), [target])
    changed = (picture != 100).any(axis=2)
    assert changed[180:].any() and not changed[:170].any()


def test_label_and_state_change_the_text():
    box = Box(10, 60, 40, 20)
    empty = np.zeros((100, 120), np.uint8)
    pictures = [draw_overlay(grey(), empty, [target]) for target in (
        Target(1, 'mug', State.TRACKING, 0.9, box), Target(1, 'cup', State.TRACKING, 0.9, box),
        Target(1, 'mug', State.LOST, 0.9, box), Target(1, 'mug', State.TRACKING, 0.2, box))]
    assert all((pictures[0] != other).any() for other in pictures[1:])


def test_sheet_holds_each_image_in_order():
    levels = [40, 80, 120, 160, 200]
    sheet = contact_sheet([grey(50, 100, level) for level in levels], list('abcde'), 3, 100)
    assert sheet.shape == (2 * 72, 300, 3)
    for index, level in enumerate(levels):
        top, left = index // 3 * 72 + 22, index % 3 * 100
        assert (sheet[top:top + 50, left:left + 100] == level).all()


def test_heat_is_red_where_it_is_hottest_and_blue_where_there_is_none():
    heat = np.zeros((10, 12))
    heat[5, 6] = 3
    picture = heat_map(grey(), heat)
    assert picture[55, 65, 0] > picture[55, 65, 2] and picture[5, 5, 2] > picture[5, 5, 0]
    assert (heat_map(grey(), np.zeros((2, 2)))[..., 2] > 100).all()


def test_refusals():
    with pytest.raises(InputError, match=r'\(3, 4\)'):
        draw_overlay(grey(), np.zeros((3, 4), np.uint8), [])
    for images, titles in (([], []), ([grey()], []), ([grey()] * 65, ['x'] * 65)):
        with pytest.raises(InputError, match='1 to 64'):
            contact_sheet(images, titles)


def test_letters_the_font_lacks():
    assert printable('Tasse é\n') == 'Tasse ??'
