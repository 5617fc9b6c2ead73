# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Each program of examples/ as a process of its own, beside the real node."""
import base64
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from graph_client import image_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from stm_ros.vision.boxes import box_of_mask

EXAMPLES = Path(__file__).resolve().parent.parent.parent / 'examples'
SECOND = 10 ** 9
PROGRAMS = ('minimal_client', 'grasp_region', 'vlm_node', 'multi_camera', 'lifecycle_manager')


class Program:
    """An example as a process, with all it prints in a file."""

    def __init__(self, folder, name, *words):
        self.path = folder / f'{name}.txt'
        with self.path.open('wb') as out:
            self.process = subprocess.Popen([sys.executable, str(EXAMPLES / f'{name}.py'), *words],
                                            stdout=out, stderr=subprocess.STDOUT)

    @property
    def text(self):
        return self.path.read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def program(tmp_path):
    """Start examples that are stopped when the test ends."""
    started = []

    def start(name, *words):
        started.append(Program(tmp_path, name, *words))
        return started[-1]
    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def show(client, clip, **fields):
    response = client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                              mask=image_message(clip[0][1] * 255, 'mono8'), label='cup', **fields)
    assert response.success, response.message


def spin(client, seconds):
    """Let the client hear for some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(client, timeout_sec=0.02)


def feed_until(client, condition, what, publish):
    """Publish with rising stamps until `condition` holds."""
    for count in range(200):
        publish(count)
        spin(client, 0.3)
        if condition():
            return
    raise AssertionError(f'{what} did not come')


def test_all_examples_are_tested_and_short():
    assert {path.stem for path in EXAMPLES.glob('*.py')} == set(PROGRAMS)
    for path in EXAMPLES.glob('*.py'):
        assert len(path.read_text().splitlines()) <= 150


def test_minimal_client(start_node, client, clip, program):
    start_node()
    client.publish(image_message(clip[0][0], 'rgb8', SECOND))
    client.listen_to_answers()
    client.ask(image_message(clip[0][0], 'rgb8', 2 * SECOND))
    box = box_of_mask(clip[0][1] == 1)
    run = program('minimal_client', '--label', 'cup', '--box', str(box.x_min - 2),
                  str(box.y_min - 2), str(box.width + 4), str(box.height + 4))
    feed_until(client, lambda: '1 cup: TRACKING' in run.text, 'a tracked cup',
               lambda count: client.publish(image_message(
                   clip[1][0], 'rgb8', (3 + count) * SECOND)) if count else None)
    assert 'memorised target 1' in run.text
    assert run.stop() == 0


def test_grasp_region(start_node, client, clip, program):
    start_node()
    show(client, clip)
    run = program('grasp_region')
    client.listen(PoseStamped, '/grasp_region/pose')
    image, truth = clip[1]
    height, width = truth.shape
    depth = np.where(truth == 1, 600, 1400).astype('<u2')
    info = CameraInfo(height=height, width=width,
                      k=[1000.0, 0.0, width / 2, 0.0, 1000.0, height / 2, 0.0, 0.0, 1.0])

    def publish(count):
        stamp = (2 + count) * SECOND
        client.publish(info, '/camera_info')
        client.publish(image_message(depth, '16UC1', stamp), '/depth')
        client.publish(image_message(image, 'rgb8', stamp))
    feed_until(client, lambda: client.received['/grasp_region/pose'], 'a pose', publish)
    pose = client.received['/grasp_region/pose'][-1]
    rows, columns = np.nonzero(truth)
    expected = [(columns.mean() - width / 2) * 0.6 / 1000, (rows.mean() - height / 2) * 0.6 / 1000,
                0.6]
    middle, turn = pose.pose.position, pose.pose.orientation
    assert pose.header.frame_id == 'lens'
    assert [middle.x, middle.y, middle.z] == pytest.approx(expected, abs=0.012)
    # z points away from the camera
    assert 1 - 2 * (turn.x ** 2 + turn.y ** 2) > 0.9
    assert run.stop() == 0


def test_multi_camera(start_node, client, clip, program):
    start_node('streams:=["wrist", "head"]', topics=('wrist/image', 'head/image'))
    show(client, clip)
    run = program('multi_camera')
    blank = np.full_like(clip[0][0], 127)

    def publish(count):
        client.publish(image_message(clip[1][0], 'rgb8', (2 + count) * SECOND), '/head/image')
        client.publish(image_message(blank, 'rgb8', (2 + count) * SECOND), '/wrist/image')
    feed_until(client, lambda: 'target 1: head sees it best' in run.text, 'the head', publish)
    feed_until(client, lambda: 'target 1: no camera sees it' in run.text, 'nobody',
               lambda count: client.publish(image_message(
                   blank, 'rgb8', (300 + count) * SECOND), '/head/image'))
    assert run.stop() == 0


def test_lifecycle_manager(start_node, client, clip, program):
    start_node('autostart:=false')
    run = program('lifecycle_manager')
    client.wait_until(lambda: 'active' in run.text.split(), 'the state active')
    assert run.text.split()[-2:] == ['inactive', 'active']
    show(client, clip)
    assert run.stop() == 0 and 'deactivated' in run.text
    refused = client.tracker('reset')
    assert not refused.success and 'not active' in refused.message


def said(text):
    """What a model answers to whatever it is asked."""
    return lambda body: (200, {'choices': [{'message': {'content': text}}]})


class Endpoint:
    """An HTTP server on loopback that answers as a chat endpoint would, and keeps what it got."""

    def __init__(self):
        self.requests = []
        self.delay = 0.0
        self.answer = said('A cup of coffee.')
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                outer.requests.append((self.path, dict(self.headers), body))
                time.sleep(outer.delay)
                status, answer = outer.answer(body)
                data = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header('Content-Length', str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # who asked has given up

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_port}/v1/chat/completions'


@pytest.fixture
def endpoint():
    """A chat endpoint on loopback."""
    one = Endpoint()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_vlm_node(start_node, client, clip, program, endpoint, monkeypatch):
    monkeypatch.setenv('VLM_API_KEY', 'a-key')
    start_node()
    show(client, clip)
    client.publish(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    run = program('vlm_node', '--ros-args', '-p', f'endpoint:={endpoint.url}', '-p', 'model:=eyes',
                  '-p', 'timeout:=4.0', '-p', 'max_bytes:=60000')
    answers, failures = '/vlm/answer', '/vlm/failure'
    client.listen(String, answers)
    client.listen(String, failures)
    for topic in (answers, failures):
        client.wait_until(lambda topic=topic: client.count_publishers(topic) > 0, topic)

    def ask(text):
        client.publish(String(data=text), '/vlm/question')
    # until both sides know each other
    feed_until(client, lambda: client.received[answers], 'an answer',
               lambda count: ask('What is object 1?') if count % 10 == 0 else None)
    assert client.received[answers][0].data == 'A cup of coffee.'
    path, headers, body = endpoint.requests[0]
    assert (path, headers['Authorization'], body['model']) == (
        '/v1/chat/completions', 'Bearer a-key', 'eyes')
    assert len(json.dumps(body['messages']).encode()) <= 60000
    parts = body['messages'][1]['content']
    assert 'Question: What is object 1?' in parts[0]['text'] and 'cup' in parts[0]['text']
    urls = [part['image_url']['url'] for part in parts if part['type'] == 'image_url']
    code = np.frombuffer(base64.b64decode(urls[0].partition(',')[2]), np.uint8)
    assert cv2.imdecode(code, cv2.IMREAD_COLOR).shape[2] == 3 and len(urls) >= 3

    # a slow model: one question is under way, the newest waits, the one between is told
    spin(client, 0.5)
    endpoint.delay, count, asked = 2.0, len(client.received[answers]), len(endpoint.requests)
    ask('first')
    client.wait_until(lambda: len(endpoint.requests) > asked, 'the first question')
    ask('second')
    spin(client, 0.2)
    ask('third')
    given_up = 'second: a newer question came before its turn'
    client.wait_until(lambda: given_up in [one.data for one in client.received[failures]], given_up)
    client.wait_until(lambda: len(client.received[answers]) >= count + 2, 'two answers')
    told = [body['messages'][1]['content'][0]['text'] for _, _, body in endpoint.requests[asked:]]
    assert [text.rpartition('Question: ')[2] for text in told] == ['first', 'third']

    # no answer in time, an error, and nonsense are failures; then it goes on
    for delay, answer, reason in ((6.0, (200, {}), 'timed out'), (0.0, (503, {}), '503'),
                                  (0.0, (200, {'error': 'no'}), 'no answer that is understood')):
        endpoint.delay, endpoint.answer = delay, lambda body, answer=answer: answer
        count = len(client.received[failures])
        ask('again')
        client.wait_until(lambda count=count: len(client.received[failures]) > count, reason)
        assert reason in client.received[failures][-1].data
    endpoint.answer = said('Still here.')
    ask('and now?')
    client.wait_until(lambda: client.received[answers][-1].data == 'Still here.', 'an answer')
    assert run.stop() == 0
