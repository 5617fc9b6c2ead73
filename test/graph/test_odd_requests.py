# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Requests and images of an unlucky user to a running node: refused in words, memory as it was."""
import re

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from graph_client import image_message
from sensor_msgs.msg import Image
from stm_ros.msg import Box

SECOND = 10 ** 9
NAN, HUGE = float('nan'), 1e300


@pytest.fixture(scope='module')
def node(start_shared_node, shared_client, clip):
    """A node that follows a cup, with one frame held."""
    node = start_shared_node('threads:=1', 'max_megapixels:=1.0')
    shown = shared_client.tracker('set_reference', image=picture(clip), mask=white(clip),
                                  label='cup')
    assert shown.success, shown.message
    shared_client.listen_to_answers()
    shared_client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    return node


def picture(clip) -> Image:
    return image_message(clip[0][0], 'rgb8', SECOND)


def white(clip) -> Image:
    return image_message(clip[0][1] * np.uint8(255), 'mono8')


def changed(message: Image, **fields) -> Image:
    """The message with other fields."""
    values = {name: getattr(message, name) for name in (
        'header', 'height', 'width', 'encoding', 'is_bigendian', 'step', 'data')}
    return Image(**{**values, **fields})


def odd_references(clip) -> list[tuple[dict, str]]:
    """Requests to set_reference, and what of the refusal must be said."""
    label_map = clip[0][1]
    shape = label_map.shape
    image, mask = picture(clip), white(clip)

    def masked(plane: np.ndarray, encoding: str = 'mono8') -> dict:
        return {'image': image, 'mask': image_message(np.ascontiguousarray(plane), encoding)}

    speck = np.zeros(shape, np.uint8)
    speck[3, 4] = 255
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])).astype(np.uint8)
    return [
        ({'image': image}, 'mask'), (masked(label_map[:200] * 255), 'same'),
        (masked(label_map.T * 255), 'same'), (masked(np.zeros(shape, np.uint8)), 'empty'),
        (masked(np.full(shape, 255, np.uint8)), 'whole image'), (masked(speck), 'fewer than 16'),
        (masked(ramp), 'grey levels'),
        (masked(np.where(label_map, 255, 1).astype(np.uint8)), 'no pixel is 0'),
        (masked(label_map.astype(np.uint16) * 300, 'mono16'), 'grey levels'),
        (masked(clip[0][0], 'rgb8'), "'rgb8' is not accepted"),
        (masked(label_map.astype(np.float32), '32FC1'), "'32FC1' is not accepted"),
        ({'image': image, 'mask': mask, 'target_id': 255}, '255 is outside'),
        ({'image': image, 'mask': mask, 'target_id': -1}, '-1 is outside'),
        ({**masked(label_map * 5), 'target_id': 7}, 'target id 7'),
        ({**masked(label_map * 5), 'label_ids': [5], 'labels': []}, 'labels'),
        ({**masked(label_map * 5), 'label_ids': [9], 'labels': ['x']}, '9'),
        ({'image': image, 'mask': mask, 'stream': 'nowhere'}, 'nowhere'),
        ({'mask': mask, 'stamp': Time(sec=999)}, 'stamp|held'),
        ({'image': changed(image, encoding='h264'), 'mask': mask}, 'h264'),
        ({'image': changed(image, encoding=''), 'mask': mask}, 'encoding'),
        ({'image': changed(image, step=1), 'mask': mask}, 'step'),
        ({'image': changed(image, step=2**32 - 1), 'mask': mask}, 'bytes'),
        ({'image': changed(image, height=2**32 - 1), 'mask': mask}, 'million|bytes'),
        ({'image': changed(image, data=image.data[:-1]), 'mask': mask}, 'bytes'),
        ({'image': image_message(np.zeros((1100, 1000, 3), np.uint8), 'rgb8', SECOND),
          'mask': mask}, 'million')]


def odd_prompts(clip) -> list[tuple[dict, str]]:
    """Requests to set_reference_prompt, likewise."""
    image = picture(clip)
    height, width = clip[0][1].shape

    def box(*numbers: float) -> dict:
        names = ('x_min', 'y_min', 'width', 'height')
        fields = dict(zip(names, map(float, numbers), strict=True))
        return {'image': image, 'box': [Box(**fields)]}

    def points(columns: list, rows: list, on: list) -> dict:
        return {'image': image, 'point_x': columns, 'point_y': rows, 'point_foreground': on}
    return [
        ({'image': image}, 'neither a box nor points'), (box(0, 0, width, height), 'whole image'),
        (box(NAN, 1, 9, 9), 'finite'), (box(HUGE, 1, 9, 9), 'inside the image'),
        (box(1, 1, -9, -9), 'inside|area|positive'), (box(5, 5, 0, 0), 'inside|area|positive'),
        (points([5.0], [], [True]), 'point'), (points([5.0], [5.0], []), 'point'),
        (points([NAN], [5.0], [True]), 'finite'), (points([HUGE], [5.0], [True]), 'outside'),
        (points([-2.0 * width], [5.0], [True]), 'outside'),
        (points([5.0], [5.0], [False]), 'no point lies on the target'),
        (points([5.0, 5.0], [5.0, 5.0], [True, False]), 'same spot'),
        (points([5.0] * 5000, [5.0] * 5000, [True] * 5000), 'at most'),
        ({**box(5, 5, 40, 40), 'target_id': 300}, '300 is outside'),
        ({**box(5, 5, 40, 40), 'stream': '/camera'}, '/camera')]


def odd_others(clip) -> list[tuple[str, dict, str]]:
    """Requests to the other services."""
    files = ['', '.', '..', '../x', '/etc/passwd', 'a/b', 'x' * 300, '.hidden', 'a\nb\x01/']
    return [
        ('segment', {'image': changed(picture(clip), encoding='x')}, "'x'"),
        ('segment', {'stream': 'nowhere'}, 'nowhere'),
        ('segment', {'stamp': Time(sec=-5)}, 'stamp|held'),
        ('remove_target', {'target_id': 0}, '0'), ('remove_target', {'target_id': -2**31}, '-2147'),
        ('remove_target', {'target_id': 1, 'stream': 'nowhere'}, 'leave stream empty'),
        ('load_memory', {'name': 'absent'}, 'absent'),
        *((service, {'name': name, 'references_only': only}, 'name|there') for name in files
          for service in ('load_memory', 'save_memory') for only in (False, True))]


def test_odd_requests_are_refused_in_words_and_change_nothing(node, shared_client, clip):
    client = shared_client
    before = client.tracker('list_memory')
    requests = [*(('set_reference', *each) for each in odd_references(clip)),
                *(('set_reference_prompt', *each) for each in odd_prompts(clip)),
                *odd_others(clip)]
    wrong = []
    for service, fields, words in requests:
        answer = client.tracker(service, **fields)
        shown = {name: value for name, value in fields.items() if name not in ('image', 'mask')}
        if answer.success or not re.search(words, answer.message):
            wrong.append((service, str(shown)[:99], words, answer.message[:200]))
    assert not wrong, '\n'.join(map(str, wrong))
    assert client.tracker('list_memory') == before
    mask, targets, _ = client.ask(image_message(clip[2][0], 'rgb8', 3 * SECOND))
    assert [target.id for target in targets.targets] == [1] and np.any(mask.data)
    assert 'Traceback' not in node.log


def test_odd_images_are_passed_over_and_the_next_is_answered(node, shared_client, clip):
    good = image_message(clip[3][0], 'rgb8', 4 * SECOND)
    for fields in ({'encoding': ''}, {'encoding': '16UC3'}, {'step': 0}, {'data': []},
                   {'height': 0}, {'width': 2**32 - 1}, {'height': 2**32 - 1, 'step': 2**32 - 1}):
        shared_client.publish(changed(good, **fields))
    mask, _, _ = shared_client.ask(image_message(clip[4][0], 'rgb8', 5 * SECOND))
    assert np.any(mask.data) and 'Traceback' not in node.log
