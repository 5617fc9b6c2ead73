# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The console without a browser: pictures, prompts, limits, who is let in, what is refused."""
import asyncio
import json
import socket
import struct
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.cli.main import main
from stm_ros.console.guard import COOKIE
from stm_ros.console.guard import Guard
from stm_ros.console.history import MAX_SAMPLES
from stm_ros.console.history import Timelines
from stm_ros.console.pictures import MAX_OUTLINE_POINTS
from stm_ros.console.pictures import data_url
from stm_ros.console.pictures import mask_url
from stm_ros.console.pictures import outlines
from stm_ros.console.pictures import pack
from stm_ros.console.pictures import painted_mask
from stm_ros.console.prompting import MAX_POINTS
from stm_ros.console.prompting import read_prompt
from stm_ros.console.prompting import with_known_mask
from stm_ros.console.snapshots import TargetView
from stm_ros.console.wording import age
from stm_ros.console.wording import sentence
from stm_ros.node.stored import MAX_NAMES
from stm_ros.node.stored import stored_memories
from stm_ros.vision.errors import InputError

ros_present = pytest.mark.skipif(
    find_spec('rclpy') is None, reason='needs rclpy: run `make test`, or source a ROS 2')
CUP = TargetView(1, 'cup', 'TRACKING', 0.876543, (2.0, 1.0, 3.0, 2.0), 6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2 ** 32 - 1))
def test_a_mask_goes_to_the_browser_and_back(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    mask[0, 0] = True
    assert np.array_equal(painted_mask(mask_url(mask), mask.shape), mask)


def test_painted_masks_that_are_refused(monkeypatch):
    good = mask_url(np.ones((4, 6), bool))
    grey = cv2.imencode('.png', np.full((4, 6), 255, np.uint8))[1].tobytes()
    huge = good[:22] + 'A' * 1_000_000
    cases = [(None, 'no PNG'), ('', 'no PNG'), (good.replace('png', 'jpeg'), 'no PNG'),
             (huge, 'larger than'), (good[:22] + '!!!!', 'damaged'),
             (mask_url(np.zeros((4, 6), bool)), 'nothing is marked'),
             (data_url(grey, 'png'), 'transparency')]
    for url, words in cases:
        with pytest.raises(InputError, match=words):
            painted_mask(url, (4, 6, 3))
    # a size that differs is told from the header: no pixel is unpacked
    monkeypatch.setattr(cv2, 'imdecode', None)
    with pytest.raises(InputError, match='not a PNG of 6×4 pixels'):
        painted_mask(mask_url(np.ones((60, 60), bool)), (4, 6, 3))


def test_what_the_browser_gets_holds_picture_and_targets():
    label_map = np.zeros((4, 8), np.uint8)
    label_map[1:3, 2:5] = 1
    pixels = np.full((4, 8, 3), (200, 40, 10), np.uint8)
    lost = TargetView(2, '', 'LOST', 0.1, None, 0)
    body = pack(pixels, label_map, [CUP, lost], 7, 1_700_000_000_123_456_789)
    length = struct.unpack('>I', body[:4])[0]
    about = json.loads(body[4:4 + length])
    assert (about['sequence'], about['width'], about['height']) == (7, 8, 4)
    assert about['stamp'] == '1700000000.123'
    cup, other = about['targets']
    assert (cup['name'], cup['box'], cup['confidence']) == ('cup', [2, 1, 3, 2], 0.877)
    assert cup['colour'] == '#00ffff'
    corners = {tuple(cup['outlines'][0][i:i + 2]) for i in range(0, 8, 2)}
    assert corners == {(2, 1), (4, 1), (4, 2), (2, 2)}
    assert (other['name'], other['box'], other['outlines']) == ('target 2', None, [])
    picture = cv2.imdecode(np.frombuffer(body[4 + length:], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(picture[..., ::-1].astype(int) - pixels).max() < 12


def test_large_pictures_shrink_and_their_outlines_do_not():
    label_map = np.zeros((1080, 1920), np.uint8)
    label_map[500:700, 1500:1800] = 1
    body = pack(np.zeros((1080, 1920, 3), np.uint8), label_map, [CUP], 1, 0)
    length = struct.unpack('>I', body[:4])[0]
    about = json.loads(body[4:4 + length])
    assert (about['width'], about['height']) == (1920, 1080)
    assert max(about['targets'][0]['outlines'][0]) == 1799
    picture = cv2.imdecode(np.frombuffer(body[4 + length:], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (720, 1280, 3)


def test_outlines_of_noise_are_bounded():
    noise = (np.random.default_rng(0).random((480, 640)) < 0.5).astype(np.uint8)
    found = outlines(noise, 1)
    assert 0 < sum(map(len, found)) / 2 <= MAX_OUTLINE_POINTS
    ring = np.zeros((60, 60), np.uint8)
    cv2.circle(ring, (30, 30), 20, (3,), 6)
    assert len(outlines(ring, 3)) == 2, 'a hole is an outline of its own'


def test_timelines_are_bounded_and_forget():
    lines = Timelines()
    for step in range(5 * MAX_SAMPLES):
        lines.add(step * 0.25, [CUP])
    held = lines.snapshot()[1]
    assert len(held) == MAX_SAMPLES and held[-1].time == pytest.approx((step) * 0.25)
    lost = TargetView(1, 'cup', 'LOST', 0.2, None, 0)
    lines.add(held[-1].time + 0.01, [lost])
    assert lines.snapshot()[1][-1].state == 'LOST', 'a change of state is never left out'
    lines.add(held[-1].time + 0.02, [lost])
    assert len([each for each in lines.snapshot()[1] if each.state == 'LOST']) == 1
    lines.add(held[-1].time + 20, [])
    assert dict(lines.snapshot()) == {}


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                        st.sampled_from(['box', 'points', 'x']), inner, max_size=3), max_leaves=12))
def test_whatever_a_browser_sends_is_read_or_refused(sent):
    try:
        box, points = read_prompt(sent)
    except InputError:
        return
    assert box is None or (len(box) == 4 and np.isfinite(box).all())
    assert all(np.isfinite(point[:2]).all() for point in points)


def test_prompts():
    assert read_prompt({'box': [1, 2, 3, 4], 'points': [[5, 6, True]]}) == (
        (1.0, 2.0, 3.0, 4.0), ((5.0, 6.0, True),))
    with pytest.raises(InputError, match=f'at most {MAX_POINTS}'):
        read_prompt({'box': None, 'points': [[0, 0, True]] * (MAX_POINTS + 1)})
    mask = np.zeros((100, 100), bool)
    mask[40:60, 30:50] = True
    box, points = with_known_mask(mask, None, ((70.0, 50.0, True), (1.0, 1.0, False)))
    assert box[0] < 30 and box[0] + box[2] > 70 and box[1] < 40 and box[1] + box[3] > 60
    assert points[:2] == ((70.0, 50.0, True), (1.0, 1.0, False))
    x, y, on = points[-1]
    assert on and mask[int(y), int(x)] and 36 <= x <= 43 and 46 <= y <= 53
    drawn = (0.0, 0.0, 9.0, 9.0)
    assert with_known_mask(mask, drawn, ()) == (drawn, ())


def ask(guard: Guard, kind: str = 'http', method: str = 'GET', query: str = '', **headers: str):
    """What `guard` answers: a status, or 0 for a closed socket, or 'passed'; and its headers."""
    sent = []
    scope = {'type': kind, 'method': method, 'query_string': query.encode(), 'headers': [
        (name.replace('_', '-').encode(), value.encode()) for name, value in headers.items()]}

    async def send(message) -> None:
        sent.append(message)

    async def receive():
        return {'type': f'{kind}.request'}
    asyncio.run(guard(scope, receive, send))
    if sent[0]['type'] == 'websocket.accept':
        return 'passed', {}
    return sent[0].get('status', 0), {
        name.decode(): value.decode() for name, value in sent[0].get('headers', [])}


async def passed(scope, receive, send) -> None:
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.accept'})
    else:
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})


def test_the_guard_of_a_local_page():
    guard = Guard(passed, host='127.0.0.1')
    own, foreign = 'http://127.0.0.1:8470', 'http://evil.example'
    status, headers = ask(guard, host='127.0.0.1:8470')
    assert status == 200 and headers['x-frame-options'] == 'DENY'
    assert "default-src 'self'" in headers['content-security-policy']
    for host in ('localhost:8470', '[::1]:8470', '127.0.0.1'):
        assert ask(guard, host=host)[0] == 200, host
    for host in ('evil.example', '10.0.0.5:8470', '', 'localhost.evil.example'):
        assert ask(guard, host=host)[0] == 421, host
    assert ask(guard, method='POST', host='127.0.0.1:8470', origin=own)[0] == 200
    assert ask(guard, method='POST', host='127.0.0.1:8470', origin=foreign)[0] == 403
    assert ask(guard, method='POST', host='127.0.0.1:8470', origin='null')[0] == 403
    assert ask(guard, method='POST', host='127.0.0.1:8470', sec_fetch_site='cross-site')[0] == 403
    assert ask(guard, 'websocket', host='127.0.0.1:8470', origin=foreign)[0] == 0
    assert ask(guard, 'websocket', host='127.0.0.1:8470', origin=own)[0] == 'passed'
    # another port is another page
    assert ask(guard, 'websocket', host='127.0.0.1:8470', origin='http://127.0.0.1:1')[0] == 0


def test_the_guard_of_an_open_page_with_a_token():
    guard = Guard(passed, host='0.0.0.0', token='correct-horse', allowed_hosts=('Robot.lan',))
    cookie = f'{COOKIE}=correct-horse'
    assert ask(guard, host='10.0.0.5:8470')[0] == 401
    assert ask(guard, 'websocket', host='10.0.0.5:8470', origin='http://10.0.0.5:8470')[0] == 0
    assert ask(guard, host='10.0.0.5:8470', cookie=cookie)[0] == 200
    assert ask(guard, host='robot.lan', cookie=cookie)[0] == 200
    assert ask(guard, host='evil.example', cookie=cookie)[0] == 421
    assert ask(guard, host='10.0.0.5:8470', cookie=f'{COOKIE}=wrong')[0] == 401
    assert ask(guard, host='10.0.0.5', query='token=wrong')[0] == 401
    status, headers = ask(guard, host='10.0.0.5', query='token=correct-horse')
    assert (status, headers['location']) == (303, '/')
    assert 'HttpOnly' in headers['set-cookie'] and 'SameSite=Strict' in headers['set-cookie']
    assert ask(guard, method='POST', host='10.0.0.5', query='token=correct-horse')[0] == 401


def test_words_for_people():
    second = 10 ** 9
    assert [age(100 * second, then) for then in (
        100 * second, 99 * second, 101 * second)] == ['now', '1.0 s ago', 'another time']
    assert age(7200 * second, 0) == '2 h ago' and age(120 * second, 0) == '2 min ago'
    assert (sentence('forgot 1 target'), sentence('Why?')) == ('Forgot 1 target.', 'Why?')


@pytest.mark.parametrize(('words', 'told'), [
    (['--port', '0'], '--port 0'), (['--rate', '1000'], '--rate 1000'),
    (['--node', 'no name'], "'no name'"), (['--node', 'relative'], "'relative'"),
    (['--token', 'short'], '8 to 128'), (['--token', 'with spaces in it'], 'letters')])
def test_refusals(capsys, words, told):
    assert main(['console', *words]) == 2
    assert told in capsys.readouterr().err


@ros_present
@pytest.mark.skipif(find_spec('nicegui') is None, reason='nicegui is absent: stm_ros[console]')
def test_a_port_that_is_taken_is_refused(capsys):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(['console', '--port', str(port)]) == 2
    assert f'127.0.0.1:{port} cannot be served' in capsys.readouterr().err


def test_what_a_snapshot_folder_holds(tmp_path):
    assert stored_memories(tmp_path / 'absent', '.safetensors').snapshots == ()
    for name in ('b.safetensors', 'a.safetensors', '.hidden.safetensors', 'notes.txt'):
        (tmp_path / name).touch()
    for name, table in (('cups', '{"labels": {"2": "cup", "1": ""}}'), ('broken', '{"labels": 3}'),
                        ('cut', '{"lab'), ('huge', ' ' * 200_000)):
        (tmp_path / name / 'reference_000').mkdir(parents=True)
        (tmp_path / name / 'reference_000' / 'reference.json').write_text(table)
    (tmp_path / 'empty').mkdir()
    stored = stored_memories(tmp_path, '.safetensors')
    assert stored.snapshots == ('a', 'b')
    assert dict(zip(stored.libraries, stored.objects, strict=True)) == {
        'broken': '', 'cups': 'target 1, cup', 'cut': '', 'huge': ''}
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot read the folder'):
        stored_memories(tmp_path / 'file', '.safetensors')
    for number in range(MAX_NAMES + 5):
        (tmp_path / f'{number:04}.safetensors').touch()
    assert len(stored_memories(tmp_path, '.safetensors').snapshots) == MAX_NAMES


@ros_present
def test_images_and_views_are_bounded_by_bytes_and_number():
    from sensor_msgs.msg import Image

    from stm_ros.console import frames
    from stm_ros.console.snapshots import View
    images = frames.ImageRing()
    for stamp in range(200):
        images.add(stamp, Image(data=bytes(10)))
    assert images.get(199 - frames.MAX_IMAGES) is None
    assert images.get(200 - frames.MAX_IMAGES) is not None
    assert images.newest()[0] == 199
    large = Image(data=bytes(frames.MAX_IMAGE_BYTES // 2 + 1))
    for stamp in (300, 301, 302):
        images.add(stamp, large)
    assert images.get(301) is None and images.get(302) is large
    views = frames.ViewRing()
    pixels = np.zeros((1000, 10_000, 3), np.uint8)
    for number in range(5):
        views.add(View(number, number, '', pixels, None, (), b''))
    assert [view.sequence for view in views.snapshot()] == [3, 4]
    thumbnails = frames.Thumbnails('camera')
    for stamp in range(2 * frames.MAX_THUMBNAILS):
        thumbnails.keep(stamp, b'x')
    thumbnails.keep_crop('wrist', 5, b'crop')
    held = thumbnails.snapshot()
    assert len(held) == frames.MAX_THUMBNAILS and held['wrist', 5] == b'crop'


@ros_present
def test_what_the_node_says_of_itself_is_told_from_others():
    from diagnostic_msgs.msg import DiagnosticArray
    from diagnostic_msgs.msg import DiagnosticStatus
    from diagnostic_msgs.msg import KeyValue

    from stm_ros.console.reading import read_diagnostics
    from stm_ros.console.snapshots import Figures
    from stm_ros.console.snapshots import StreamView
    from stm_ros.console.wording import latency
    from stm_ros.console.wording import losses
    values = [KeyValue(key='frames dropped', value='7'), KeyValue(key='images lost', value='2'),
              KeyValue(key='latency stamp to publish p50 (ms)', value='41.6')]
    message = DiagnosticArray(status=[
        DiagnosticStatus(level=b'\x01', name='/stm_tracker: stream camera', message='hm',
                         values=values),
        DiagnosticStatus(level=b'\x00', name='/other: stream camera', message='no')])
    found = read_diagnostics(message, '/stm_tracker')
    assert list(found) == ['stream camera']
    assert (found['stream camera']['level'], found['stream camera']['message']) == ('WARN', 'hm')
    stream = StreamView('camera', diagnostics=found['stream camera'])
    assert (latency(stream), losses(stream)) == ('42 ms', '9')
    lately = StreamView('camera', diagnostics={
        'frames dropped': '900', 'frames dropped, last 10 s': '3', 'frames lost on the way': '1',
        'frames lost on the way, last 10 s': '1', 'frames received': '7'})
    assert losses(lately) == '4 in 10 s'
    measured = StreamView('camera', figures=Figures(delay=0.25), diagnostics=stream.diagnostics)
    assert latency(measured) == '250 ms'
    assert (latency(StreamView('camera')), losses(StreamView('camera'))) == ('–', '–')


@ros_present
def test_sources_are_found_by_name_or_by_elimination():
    from stm_ros.console.graph import find_sources
    image = 'sensor_msgs/msg/Image'

    def sources(streams, *topics):
        node = SimpleNamespace(get_subscriber_names_and_types_by_node=lambda name, namespace: [
            (topic, [image]) for topic in topics] + [('/parameter_events', ['x/msg/Y'])])
        return {name: source.topic for name, source in
                find_sources(node, '/robot/stm_tracker', streams).items()}
    assert sources(['camera']) == {}
    assert sources(['camera'], '/front/image_raw') == {'camera': '/front/image_raw'}
    assert sources(['wrist', 'head'], '/robot/head/image', '/robot/wrist/image') == {
        'wrist': '/robot/wrist/image', 'head': '/robot/head/image'}
    assert sources(['wrist', 'head'], '/robot/head/image', '/arm/raw') == {
        'head': '/robot/head/image', 'wrist': '/arm/raw'}
    assert sources(['wrist', 'head'], '/a', '/b') == {}
