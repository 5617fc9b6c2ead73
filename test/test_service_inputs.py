# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the services understand of the masks and images in requests; the real tracker, no graph."""
from array import array
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.errors import InputError

pytest.importorskip('rclpy', reason='no ROS 2 here')
from sensor_msgs.msg import CompressedImage  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from stm_ros import srv  # noqa: E402
from stm_ros.node.conversion import image_of  # noqa: E402
from stm_ros.node.requests import Requests  # noqa: E402
from stm_ros.node.streams import CameraStream  # noqa: E402

SHAPE = (64, 96)


def message(pixels: np.ndarray, encoding: str) -> Image:
    return Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 step=pixels[0].nbytes, data=array('B', pixels.tobytes()))


def disc(value: int = 255) -> np.ndarray:
    return cv2.circle(np.zeros(SHAPE, np.uint8), (40, 30), 18, (value,), cv2.FILLED)


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    tracker = Tracker.from_pretrained(config=TrackerConfig(
        input_size=32, max_frames=4, dtype='float32'))
    stream = CameraStream('camera', 3.0, 10_000_000)
    return Requests(tracker, {'camera': stream}, tmp_path, max_megapixels=0.02)


def show(requests: Requests, mask: np.ndarray, encoding: str = 'mono8', **fields):
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    request = srv.SetReference.Request(
        image=message(image, 'rgb8'), mask=message(mask, encoding), **fields)
    return requests.set_reference(request, srv.SetReference.Response())


@pytest.mark.parametrize(('mask', 'encoding', 'fields', 'ids', 'told'), [
    (disc(), 'mono8', {}, [1], 'binary'),
    (disc(), 'mono8', {'target_id': 7}, [7], 'binary'),
    (disc(1), 'mono8', {'target_id': 7}, [7], 'ids 7'),
    (disc(38), 'mono8', {'label': 'cup'}, [38], 'ids 38'),
    (cv2.GaussianBlur(disc(), (5, 5), 1), 'mono8', {}, [1], 'soft, thresholded at 128'),
    (disc(200).astype('<u2'), 'mono16', {}, [200], 'ids 200'),
    (disc().astype('<u2') * 257, '16UC1', {'target_id': 3}, [3], 'binary')])
def test_masks_are_understood_and_it_is_said(requests, mask, encoding, fields, ids, told):
    response = show(requests, mask, encoding, **fields)
    assert response.success and list(response.target_ids) == ids
    assert response.message.endswith(f'mask read as {told}')
    if 'label' in fields:
        assert requests.tracker.targets == {ids[0]: fields['label']}


@pytest.mark.parametrize(('mask', 'encoding', 'fields', 'told'), [
    (np.full(SHAPE, 255, np.uint8), 'mono8', {}, 'covers the whole image'),
    (disc(38), 'mono8', {'target_id': 7}, 'target id 7 is not what'),
    (disc(255).astype('<u2') * 4, 'mono16', {}, 'grey levels'),
    (disc(2) + np.pad([[np.uint8(1)]], ((0, 63), (0, 95))), 'mono8', {},
     r'fewer than 16 pixels, id \(pixels\): 1 \(1\)'),
    (np.zeros((200, 200), np.uint8), 'mono8', {}, '200×200 pixels.*up to 0.02 million')])
def test_unclear_masks_change_nothing(requests, mask, encoding, fields, told):
    with pytest.raises(InputError, match=told):
        show(requests, mask, encoding, **fields)
    assert not requests.tracker.targets and not requests.tracker.bank.references()


def test_large_images_are_refused_undecoded():
    large = np.zeros((200, 200, 3), np.uint8)
    packed = CompressedImage(format='png', data=array(
        'B', cv2.imencode('.png', large)[1].tobytes()))
    for given in (message(large, 'rgb8'), packed):
        with pytest.raises(InputError, match='200×200 pixels.*up to 0.03 million'):
            image_of(given, 0.03)
        assert image_of(given, 0.04).shape == large.shape


def test_saving_does_not_overwrite_what_is_no_memory(requests, tmp_path):
    show(requests, disc())
    (tmp_path / 'weights.safetensors').write_bytes(b'somebody else')
    request = srv.SaveMemory.Request(name='weights')
    with pytest.raises(InputError, match='no saved memory, so it is not overwritten'):
        requests.save_memory(request, srv.SaveMemory.Response())
    assert (tmp_path / 'weights.safetensors').read_bytes() == b'somebody else'
    for _ in range(2):
        saved = requests.save_memory(srv.SaveMemory.Request(name='mine'),
                                     srv.SaveMemory.Response())
        assert saved.success
