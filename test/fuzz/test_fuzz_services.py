# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever a request holds: it is done, or refused with memory as it was. Real tracker, no graph.
"""
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fuzz_settings import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from test_fuzz_masks import values

from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.encodings import ENCODINGS
from stm_ros.vision.errors import StmError

pytest.importorskip('rclpy', reason='no ROS 2 here')
from builtin_interfaces.msg import Time  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from stm_ros.msg import Box  # noqa: E402

from stm_ros import srv  # noqa: E402
from stm_ros.node.requests import Requests  # noqa: E402
from stm_ros.node.streams import CameraStream  # noqa: E402

SIZE = (32, 48)
INTS = st.integers(-3, 260)
NUMBERS = st.floats(-20, 70) | st.sampled_from([float('nan'), float('inf'), 1e300])


def message(pixels: np.ndarray, encoding: str) -> Image:
    return Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 step=pixels[0].nbytes if len(pixels) else 0, data=array('B', pixels.tobytes()))


@st.composite
def images(draw) -> Image:
    """Mostly a picture of the right kind, else anything."""
    kind = draw(st.sampled_from(['right', 'right', 'right', 'absent', 'odd']))
    if kind == 'absent':
        return Image()
    if kind == 'odd':
        return Image(height=draw(st.integers(0, 2**32 - 1)), width=draw(st.integers(0, 70000)),
                     encoding=draw(st.sampled_from(ENCODINGS) | st.text(max_size=6)),
                     step=draw(st.integers(0, 300)), data=array('B', draw(st.binary(max_size=99))))
    seed = draw(st.integers(0, 3))
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return message(pixels, draw(st.sampled_from(['rgb8', 'bgr8'])))


@st.composite
def masks(draw) -> Image:
    """Blocks of the image's size, or of another, or none."""
    plane = draw(values())
    if draw(st.booleans()):
        fitted = np.zeros(SIZE, np.uint8)
        fitted[4:4 + plane.shape[0], 4:4 + plane.shape[1]] = plane[:28, :44]
        plane = fitted
    encoding = draw(st.sampled_from(['mono8', '8UC1', 'mono16', 'rgb8', '']))
    return message(plane.astype('<u2') if encoding == 'mono16' else plane, encoding)


TEXT = st.sampled_from(['', 'cup']) | st.text(alphabet=st.characters(codec='utf-8'), max_size=5)
STAMPS = st.builds(Time, sec=st.integers(-2, 3), nanosec=st.integers(0, 10**9 - 1))
COMMON = {'image': images(), 'stream': st.sampled_from(['', 'camera', 'tail']), 'stamp': STAMPS}
REQUESTS = {
    'set_reference': st.builds(
        srv.SetReference.Request, mask=masks(), target_id=INTS, label=TEXT,
        label_ids=st.lists(INTS, max_size=2), labels=st.lists(TEXT, max_size=2),
        replace=st.booleans(), **COMMON),
    'set_reference_prompt': st.builds(
        srv.SetReferencePrompt.Request, target_id=INTS, label=TEXT, replace=st.booleans(),
        box=st.lists(st.builds(Box, x_min=NUMBERS, y_min=NUMBERS, width=NUMBERS, height=NUMBERS),
                     max_size=1),
        point_x=st.lists(NUMBERS, max_size=2), point_y=st.lists(NUMBERS, max_size=2),
        point_foreground=st.lists(st.booleans(), max_size=2), **COMMON),
    'segment': st.builds(srv.Segment.Request, with_features=st.booleans(), **COMMON),
    'remove_target': st.builds(srv.RemoveTarget.Request, target_id=INTS,
                               stream=st.sampled_from(['', 'camera'])),
    'load_memory': st.builds(srv.LoadMemory.Request, name=TEXT, references_only=st.booleans())}
RESPONSES = {'set_reference': srv.SetReference, 'set_reference_prompt': srv.SetReferencePrompt,
             'segment': srv.Segment, 'remove_target': srv.RemoveTarget,
             'load_memory': srv.LoadMemory}


@pytest.fixture(scope='module')
def requests():
    """Services over a real tracker that looks at few pixels and knows one target."""
    tracker = Tracker.from_pretrained(config=TrackerConfig(
        input_size=32, max_frames=4, dtype='float32'))
    with TemporaryDirectory() as folder:
        yield Requests(tracker, {'camera': CameraStream('camera', 3.0, 10_000_000)}, Path(folder))


def fingerprint(tracker: Tracker, folder: Path) -> str:
    """A digest of all that the tracker remembers."""
    path = folder / 'now.safetensors'
    tracker.save(path)
    with safe_open(str(path), framework='np') as file:
        digest = file.metadata()['checksum']
    path.unlink()
    return digest


@FUZZ
@given(st.sampled_from(sorted(REQUESTS)).flatmap(
    lambda name: st.tuples(st.just(name), REQUESTS[name])))
def test_requests(requests, call):
    name, request = call
    tracker = requests.tracker
    if len(tracker.targets) > 3 or not tracker.targets:
        tracker.reset()
        label_map = np.zeros(SIZE, np.uint8)
        label_map[8:24, 10:30] = 200
        pixels = np.random.default_rng(9).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        tracker.add_reference(pixels, label_map)
    before, targets = fingerprint(tracker, requests.snapshot_dir), dict(tracker.targets)
    try:
        response = getattr(requests, name)(request, RESPONSES[name].Response())
    except StmError as error:
        assert str(error)
        assert tracker.targets == targets
        assert fingerprint(tracker, requests.snapshot_dir) == before
    else:
        assert response.success and response.message
        if name == 'segment':
            assert fingerprint(tracker, requests.snapshot_dir) == before
    assert not list(requests.snapshot_dir.iterdir())
