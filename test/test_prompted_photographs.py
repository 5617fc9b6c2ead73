# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the shipped heads find in real photographs that neither was trained on."""
from array import array

import cv2
import numpy as np
import pytest
import torch

from stm_ros.inference.prompting import PromptSegmenter
from stm_ros.inference.prompting import segmenter_for
from stm_ros.replay.showing import reference_of_prompts
from stm_ros.synthetic.photographs import photograph
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter
from stm_ros.vision.prompts import along

pytest.importorskip('skimage', reason='scikit-image has the photographs')
# columns, rows and radii of three of the coins, read off the photograph
COINS = {'upper right': (335, 44, 29), 'below it': (271, 119, 25), 'left': (45, 124, 21)}


@pytest.fixture(scope='module', params=['research', 'permissive'])
def segmenter(request) -> Segmenter:
    """What each of the shipped weights bring."""
    return shipped(request.param)


def shipped(weights: str) -> Segmenter:
    """What shipped weights bring; skips where they have no head, as just after a training."""
    found = segmenter_for(weights=weights)
    if not isinstance(found, PromptSegmenter):
        pytest.skip(f'the {weights} weights have no head for prompts')
    return found


def coin(name: str) -> tuple[np.ndarray, Prompt, Prompt]:
    """The mask of a coin, a loose box around it, and a click on it."""
    x, y, radius = COINS[name]
    image = photograph('coins')
    mask = cv2.circle(np.zeros(image.shape[:2], np.uint8), (x, y), radius, 1, cv2.FILLED) == 1
    box = Box(x - radius - 3, y - radius + 2, 2 * radius + 5, 2 * radius + 4)
    return mask, Prompt(box), Prompt(None, ((x - 6.0, y + 5.0),), (True,))


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize('name', COINS)
def test_a_box_or_a_click_gives_the_coin(segmenter, name):
    truth, box, click = coin(name)
    by_box = segmenter.segment(photograph('coins'), box)
    assert by_box.mask.dtype == bool and iou(by_box.mask, truth) > 0.85
    assert by_box.expected_iou is not None and by_box.expected_iou > 0.7
    assert 'the prompt head, expected IoU 0.' in by_box.meaning
    by_click = segmenter.segment(photograph('coins'), click)
    assert iou(by_click.mask, truth) > 0.75


def test_the_mirrored_picture_has_the_mirrored_mask(segmenter):
    image = photograph('chelsea')
    box = Box(120, 20, 220, 250)
    mask = segmenter.segment(image, Prompt(box, ((200, 150),), (True,))).mask
    mirrored = segmenter.segment(
        np.ascontiguousarray(image[:, ::-1]),
        Prompt(Box(image.shape[1] - box.x_min - box.width, 20, 220, 250),
               ((image.shape[1] - 1 - 200, 150),), (True,))).mask
    assert mask.sum() > 20_000 and iou(mirrored[:, ::-1], mask) > 0.97


def test_the_same_prompt_gives_the_same_mask(segmenter):
    image = photograph('astronaut')
    prompt = Prompt(Box(10, 4, 355, 500))
    masks = []
    for seed in range(2):
        torch.manual_seed(seed)
        cv2.setRNGSeed(seed)
        masks.append(segmenter.segment(image, prompt))
    assert np.array_equal(masks[0].mask, masks[1].mask)
    assert masks[0].expected_iou == masks[1].expected_iou


def test_a_negative_click_takes_a_coin_away(segmenter):
    image = photograph('coins')
    first, second = coin('upper right')[0], coin('below it')[0]
    around = Box(236, 10, 134, 138)
    on = ((335.0, 44.0), (271.0, 119.0))
    both = segmenter.segment(image, Prompt(around, on, (True, True))).mask
    assert both[first].mean() > 0.7 and both[second].mean() > 0.7
    one = segmenter.segment(image, Prompt(around, on, (True, False))).mask
    assert one[first].mean() > 0.7 and one[second].mean() < 0.2


def test_a_scribble_shows_a_target(segmenter):
    image = photograph('chelsea')
    stroke = along([(150, 120), (220, 160), (260, 130)])
    mask = segmenter.segment(image, Prompt(None, stroke, (True,) * len(stroke))).mask
    assert all(mask[round(y), round(x)] for x, y in stroke[::3]) and mask.mean() < 0.9


def test_a_large_picture_is_cut_at_its_own_size(segmenter):
    truth, box, _ = coin('upper right')
    image = cv2.resize(photograph('coins'), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert box.box is not None
    large = Box(*(4 * value for value in (box.box.x_min, box.box.y_min, box.box.width,
                                          box.box.height)))
    mask = segmenter.segment(image, Prompt(large)).mask
    expected = cv2.resize(truth.astype(np.uint8), mask.shape[::-1]) == 1
    assert mask.shape == image.shape[:2] and iou(mask, expected) > 0.85


@pytest.mark.parametrize(('prompt', 'told'), [
    (Prompt(), 'neither a box nor points'),
    (Prompt(Box(0, 0, 384, 303)), 'whole image'), (Prompt(Box(500, 20, 30, 30)), '384×303'),
    (Prompt(Box(10, 10, 2, 50)), '4×4'), (Prompt(Box(float('nan'), 10, 20, 50)), 'finite'),
    (Prompt(None, ((5, 5),), (False,)), 'no point'), (Prompt(None, ((5, 5),), ()), '1 points'),
    (Prompt(None, ((90, 60), (91, 60)), (True, False)), 'same spot'),
    (Prompt(None, ((float('inf'), 60),), (True,)), 'not finite')])
def test_prompts_that_cannot_be_used(prompt, told):
    shipped('research')
    with pytest.raises(InputError, match=told):
        segmenter_for().segment(photograph('coins'), prompt)


def test_where_nothing_can_be_told_apart_no_mask_is_made_up(segmenter):
    flat = np.full((120, 160, 3), 128, np.uint8)
    with pytest.raises(InputError, match='can be told from what is around it'):
        segmenter.segment(flat, Prompt(Box(40, 40, 50, 50)))


def test_references_of_several_prompts_say_how_they_came_about():
    shipped('research')
    prompts = [coin(name)[1] for name in COINS]
    reference = reference_of_prompts(photograph('coins'), prompts, ['obol'])
    for target_id, name in enumerate(COINS, start=1):
        assert iou(reference.label_map == target_id, coin(name)[0]) > 0.8
    assert reference.meaning.count('by the prompt head') == 3


def test_other_networks_take_the_head_that_anybody_may_use():
    permissive = shipped('permissive')
    assert segmenter_for('stcn') is permissive is not shipped('research')


def test_the_service_makes_a_mask_of_a_box_and_points_together(tmp_path):
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    from sensor_msgs.msg import Image

    from stm_ros import msg
    from stm_ros import srv
    from stm_ros.node.conversion import image_of
    from stm_ros.node.requests import Requests
    from stm_ros.node.streams import CameraStream
    shipped('research')
    tracker = Tracker.from_pretrained(config=TrackerConfig(
        input_size=64, max_frames=4, dtype='float32'))
    requests = Requests(tracker, {'camera': CameraStream('camera', 3.0, 10_000_000)}, tmp_path)
    pixels = photograph('coins')
    truth, shown, _ = coin('upper right')
    box = shown.box
    assert box is not None
    request = srv.SetReferencePrompt.Request(
        image=Image(height=pixels.shape[0], width=pixels.shape[1], encoding='rgb8',
                    step=pixels[0].nbytes, data=array('B', pixels.tobytes())),
        box=[msg.Box(x_min=float(box.x_min), y_min=float(box.y_min), width=float(box.width),
                     height=float(box.height))],
        point_x=[335.0, 271.0], point_y=[44.0, 119.0], point_foreground=[True, False],
        preview=True)
    response = requests.set_reference_prompt(request, srv.SetReferencePrompt.Response())
    assert response.success and 'by the prompt head, expected IoU' in response.message
    assert 'nothing is memorised yet' in response.message and not tracker.targets
    assert iou(image_of(response.mask)[..., 0] > 0, truth) > 0.85
    request.preview = False
    response = requests.set_reference_prompt(request, srv.SetReferencePrompt.Response())
    assert list(response.target_ids) == [1] and 'by the prompt head' in response.message
    request.point_y = [44.0]
    with pytest.raises(InputError, match='2 point_x and 1 point_y'):
        requests.set_reference_prompt(request, srv.SetReferencePrompt.Response())
