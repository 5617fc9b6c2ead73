# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's page in a real browser, over a real node and a real video."""
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from graph_client import SIZE
from graph_client import NodeProcess

from stm_ros.vision.boxes import box_of_mask

for package, remedy in (('selenium', 'requirements/browser.txt'),
                        ('nicegui', 'requirements/console.txt')):
    if find_spec(package) is None:
        pytest.skip(f'{package} is not installed: {remedy}', allow_module_level=True)

from browser import Browser  # noqa: E402
from browser import programs  # noqa: E402

HERE = Path(__file__).resolve().parent
# longer than a web socket waits for a sign of life, and than an abandoned page was kept
STALL = 11.0
REFERENCE, TRACKED = '.film-reference', '[data-mark="target-1"] .state-TRACKING'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def start(folder: Path, name: str, *words: str) -> subprocess.Popen:
    # the web framework looks for pytest's variables, and then serves elsewhere
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith('PYTEST')}
    with (folder / f'{name}.log').open('wb') as log:
        return subprocess.Popen([sys.executable, *words], stdout=log, stderr=subprocess.STDOUT,
                                env=environment)


def request(port: int, path: str, method: str = 'GET', **headers: str) -> tuple[int, dict, bytes]:
    """Status, headers and body; status 0 where nobody answers."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    try:
        connection.request(method, path, headers={
            name.replace('_', '-'): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    except OSError:
        return 0, {}, b''
    finally:
        connection.close()


class Stage:
    """Camera, node and console, each in a process of its own."""

    def __init__(self, folder: Path, clip) -> None:
        self.folder = folder
        self.truth = clip[0][1] == 1
        np.save(folder / 'frames.npy', np.stack([image for image, _ in clip]))
        self.port = free_port()
        self.node = NodeProcess(folder, 'input_size:=240', 'diagnostics_period:=0.5')
        self.camera = None
        self.start_camera()
        self.console = start(folder, 'console', '-m', 'stm_ros.cli.main', 'console',
                             '--port', str(self.port), '--rate', '8')

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.port}/'

    def start_camera(self) -> None:
        self.camera = start(self.folder, 'camera', str(HERE / 'camera_process.py'),
                            str(self.folder / 'frames.npy'), str(self.folder / 'go'))

    def stop_camera(self) -> None:
        self.camera.send_signal(signal.SIGINT)
        self.camera.wait(20)

    def move(self) -> None:
        (self.folder / 'go').touch()

    def wait_for_page(self) -> None:
        end = time.monotonic() + 120
        while self.request('/')[0] != 200:
            log = (self.folder / 'console.log').read_text()
            assert self.console.poll() is None, log
            assert self.node.process.poll() is None, self.node.log
            assert time.monotonic() < end, f'no page within 120 s: {log}'
            time.sleep(0.2)

    def request(self, path: str, method: str = 'GET', **headers: str) -> tuple[int, dict, bytes]:
        return request(self.port, path, method, **headers)

    def stop(self) -> int:
        self.console.send_signal(signal.SIGINT)
        code = self.console.wait(20)
        self.stop_camera()
        self.node.stop()
        return code


@pytest.fixture(scope='module')
def stage(tmp_path_factory, clip):
    programs()
    built = Stage(tmp_path_factory.mktemp('stage'), clip)
    try:
        built.wait_for_page()
        yield built
    finally:
        for process in (built.console, built.camera, built.node.process):
            process.kill()


@pytest.fixture(scope='module')
def page(stage, tmp_path_factory):
    browser = Browser(stage.url, tmp_path_factory.mktemp('profile'))
    yield browser
    browser.driver.quit()


def glows_by_attention(page) -> bool:
    """Whether the shares under the memory frames add up, and the lights over them go by these."""
    frames = page.driver.execute_script(
        "return [...document.querySelectorAll('.film')].map(film => [parseFloat("
        "film.querySelector('b').innerText), +getComputedStyle(film).getPropertyValue('--glow'),"
        "getComputedStyle(film.querySelector('.film-picture')).boxShadow]);")
    shares, glows = [frame[0] for frame in frames], [frame[1] for frame in frames]
    return (len(frames) > 1 and abs(sum(shares) - 100) <= len(frames) and max(glows) == 1.0
            and glows[shares.index(max(shares))] == 1.0
            and len({shadow for _, _, shadow in frames}) > 1)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return (mask & truth).sum() / (mask | truth).sum()


def test_an_operator_s_day(stage, page):
    """Show, follow, correct, remove, save, load, know again, lose the stream."""
    assert page.tinted() == 0

    # a box: the mask is seen before anything is believed
    box = box_of_mask(stage.truth)
    page.take_tool('box')
    page.drag(SIZE, (box.x_min - 4, box.y_min - 4), (box.x_min + 20, box.y_min + 20),
              (box.x_min + box.width + 4, box.y_min + box.height + 4))
    page.until(lambda: 'Proposed' in page.text('.draft-text'), 'a proposal')
    page.until(lambda: page.mask().any(), 'the proposed mask')
    assert overlap(page.mask(), stage.truth) > 0.6
    # a click on what is not the target proposes anew, and is taken back
    page.take_tool('minus')
    page.drag(SIZE, (box.x_min - 2, box.y_min - 2))
    page.until(lambda: 'looks for' not in page.text('.draft-text'), 'an answer to the click')
    page.one('.draft-buttons button').click()
    page.until(lambda: 'Proposed' in page.text('.draft-text')
               and overlap(page.mask(), stage.truth) > 0.6, 'the first proposal again')
    assert not page.all('[data-mark="target-1"]')
    page.shot('1_proposed')
    page.one('.draft-name input').send_keys('cup')
    page.one('.accept').click()

    # the overlay follows the moving cup
    page.until(lambda: page.all(TRACKED), 'TRACKING')
    assert page.text('.target-name') == 'cup'
    page.until(lambda: page.tinted() > 150, 'the overlay')
    held = page.view().astype(int)
    stage.move()
    page.until(lambda: np.abs(page.view() - held).mean() > 1, 'the cup to move')
    page.until(lambda: page.tinted() > 150 and page.all(TRACKED), 'the overlay on the move')
    page.until(lambda: len(page.all('.evidence .crop')) > 1, 'evidence beside the present')
    page.until(lambda: len(page.all('.film img')) > 1, 'memory frames')
    page.until(lambda: len(page.one('.timeline polyline').get_attribute('points') or '') > 40,
               'a timeline')
    page.until(lambda: page.text('[data-mark="figure-answers"]') not in ('–', '0.0/s'), 'a rate')
    page.until(lambda: ' ms' in page.text('[data-mark="figure-latency"]'), 'a latency')
    page.until(lambda: page.text('[data-mark="figure-lost"]')[:1].isdigit(), 'the losses')
    page.until(lambda: glows_by_attention(page), 'the memory frame that is read most to glow most')
    page.shot('2_tracking')

    # a correction by brush is a further reference
    references = len(page.all(REFERENCE))
    page.click('correct-1')
    page.until(lambda: page.mask().any() and page.all('.tool-on[data-mark="brush"]'),
               'the mask to correct')
    before = page.mask()
    ends = box_of_mask(before)
    page.drag(SIZE, (ends.x_min + ends.width / 2, ends.y_min + ends.height),
              (ends.x_min + ends.width / 2 + 6, ends.y_min + ends.height + 3))
    page.until(lambda: (page.mask() & ~before).sum() > 20, 'what was painted')
    page.take_tool('erase')
    page.drag(SIZE, (ends.x_min, ends.y_min), (ends.x_min + 8, ends.y_min + 8),
              (ends.x_min + ends.width / 2, ends.y_min + ends.height / 2))
    page.until(lambda: (before & ~page.mask()).sum() > 50, 'what was erased')
    page.one('body').send_keys('\ue009z')
    page.until(lambda: not (before & ~page.mask()).any(), 'the erasing undone')
    page.shot('3_correction')
    page.one('.accept').click()
    page.until(lambda: len(page.all(REFERENCE)) == references + 1, 'a further reference')
    page.until(lambda: page.all(TRACKED), 'TRACKING after the correction')

    # saved, removed, loaded
    page.click('save')
    page.until(lambda: page.one('.q-dialog input').is_displayed(), 'the dialog')
    page.one('.q-dialog input').send_keys('kitchen')
    page.click('confirm-save')
    page.until((stage.folder / 'snapshots/kitchen.safetensors').exists, 'the snapshot')
    page.click('remove-1')
    page.click('confirm-remove')
    page.until(lambda: not page.all('[data-mark="target-1"]'), 'the target to go')
    page.until(lambda: page.tinted() == 0, 'the overlay to go')
    page.click('load')
    page.click('name-kitchen')
    page.until(lambda: page.all(TRACKED) and page.tinted() > 150, 'the target to be back')
    assert page.text('.target-name') == 'cup'

    # a library of known objects, after forgetting all
    page.click('save')
    page.until(lambda: page.one('.q-dialog input').is_displayed(), 'the dialog')
    page.one('.q-dialog input').send_keys('cups')
    page.one('.q-dialog .q-checkbox').click()
    page.click('confirm-save')
    page.until((stage.folder / 'snapshots/cups').is_dir, 'the library')
    page.click('reset')
    page.click('confirm-reset')
    page.until(lambda: not page.all('[data-mark="target-1"]'), 'everything to be forgotten')
    page.click('known-objects')
    page.until(lambda: 'cup' in page.text('[data-mark="name-cups"]').split(), 'its objects')
    page.click('name-cups')
    page.until(lambda: page.all(TRACKED), 'the known object to be found')

    # the stream is lost, and comes back
    stage.stop_camera()
    page.until(lambda: all(words in page.text('.fault') for words in (
        'No image for', 'Topic /image', 'Type sensor_msgs/msg/Image', 'asks for reliable',
        'Nobody publishes there')), 'the sign')
    page.shot('4_stream_lost')
    stage.start_camera()
    page.until(lambda: not page.one('.fault').is_displayed(), 'the sign to go')
    page.until(lambda: page.all(TRACKED) and page.tinted() > 150, 'TRACKING again')
    assert page.errors() == []


def test_a_dialog_outlives_a_browser_that_stalls(stage, page):
    """What was open when the browser fell silent still does what its button says."""
    page.open_anew(stage.url)
    page.until(lambda: page.all('.target'), 'a target')
    count = len(page.all('.target'))
    page.until(lambda: page.all(REFERENCE), 'the memory')
    page.click('save')
    page.until(lambda: page.one('.q-dialog input').is_displayed(), 'the dialog')
    page.one('.q-dialog input').send_keys('stalled')
    page.freeze(STALL)
    page.click('confirm-save')
    page.until((stage.folder / 'snapshots/stalled.safetensors').exists, 'the snapshot')
    assert len(page.all('.target')) == count
    assert 'Traceback' not in (stage.folder / 'console.log').read_text()


def test_by_keyboard_alone(stage, page):
    """Two corners with the arrow keys, the name, Enter; Escape drops another draft."""
    page.open_anew(stage.url)
    count = len(page.all('.target'))
    canvas = page.one('.card .camera canvas')
    page.one('body').send_keys('b')
    page.until(lambda: page.all('.tool-on[data-mark="box"]'), 'the tool')
    canvas.send_keys('\ue012' * 6 + ' ' + '\ue014' * 12 + '\ue015' * 9 + ' ')
    page.until(lambda: page.text('.draft-text') and 'looks for' not in page.text('.draft-text')
               and 'Draw a box' not in page.text('.draft-text'), 'an answer to the prompt')
    page.one('body').send_keys('\ue00c')
    page.until(lambda: not page.one('.draft').is_displayed(), 'the draft to be dropped')
    page.one('body').send_keys('p')
    page.until(lambda: page.all('.tool-on[data-mark="brush"]'), 'the brush')
    canvas.send_keys('\ue012' * 3 + ' ' + '\ue014' * 2 + ' ' + '\ue014' * 2 + ' ')
    page.until(lambda: page.mask().sum() > 300, 'three dabs')
    canvas.send_keys('\ue007')
    page.until(lambda: len(page.all('.target')) == count + 1, 'the painted target')


def test_dialogs_by_keyboard(stage, page):
    """The list of keys and the name of a snapshot; Esc and Enter, no mouse."""
    page.one('body').send_keys('?')
    page.until(lambda: 'correct the chosen target' in page.text('.keys'), 'the keys')
    page.one('body').send_keys('\ue00c')
    page.until(lambda: not page.text('.keys'), 'the keys to go')
    page.one('[data-mark="save"]').send_keys('\ue007')
    page.until(lambda: page.driver.switch_to.active_element.tag_name == 'input', 'the name field')
    page.driver.switch_to.active_element.send_keys('typed\ue007')
    page.until((stage.folder / 'snapshots/typed.safetensors').exists, 'the snapshot')
    page.until(lambda: not page.all('.q-dialog input'), 'the dialog to go')


def test_phone_dark_and_light(stage, page):
    for scheme, ground in (('light', 255), ('dark', 0)):
        page.prefer(scheme)
        page.resize(390, 844, is_phone=True)
        page.until(lambda: page.driver.execute_script('return innerWidth') == 390, 'the width')
        time.sleep(0.5)
        assert page.driver.execute_script(
            'return document.documentElement.scrollWidth') == 390, 'it scrolls sideways'
        page.shot(f'5_phone_{scheme}')
        colour = page.driver.execute_script(
            'return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)')
        assert all(abs(value - ground) < 40 for value in colour[:3])
        narrow = [button.get_attribute('data-mark') for button in page.all('.tool, .accept')
                  if button.is_displayed() and button.size['height'] < 32]
        assert narrow == []
    page.resize(1400, 1000)


def test_the_page_asks_nobody_else(stage, page):
    """No font, script or picture comes from anywhere but the console."""
    page.open_anew(stage.url)
    asked = page.requested()
    assert any('/view/camera' in url for url in asked)
    own = {'data', 'blob', 'about', 'chrome', 'chrome-untrusted', 'chrome-extension'}
    foreign = [url for url in asked if urlsplit(url).scheme not in own
               and urlsplit(url).netloc != f'127.0.0.1:{stage.port}']
    assert foreign == []


def test_a_token_lets_in(stage, page):
    """Another console on the same node: nothing without the token, the page with it."""
    port, token = free_port(), 'correct-horse'
    console = start(stage.folder, 'guarded', '-m', 'stm_ros.cli.main', 'console', '--port',
                    str(port), '--token', token)
    try:
        page.until(lambda: request(port, '/')[0] == 401, 'the console to refuse')
        assert request(port, '/view/camera')[0] == request(port, '/?token=wrong')[0] == 401
        page.open_anew(f'http://127.0.0.1:{port}/?token={token}')
        # the address bar, which others may see, does not keep it
        assert page.driver.current_url == f'http://127.0.0.1:{port}/'
        assert token not in page.driver.execute_script('return document.cookie')
        page.until(lambda: page.all('.target'), 'the targets')
        assert token in (stage.folder / 'guarded.log').read_text()
    finally:
        console.send_signal(signal.SIGINT)
        assert console.wait(20) == 0


def test_no_listing_no_foreign_writes(stage):
    for path in ('/static/', '/static', '/view/', '/thumbnail/', '/_nicegui/', '/docs',
                 '/openapi.json', '/static/../guard.py', '/view/none',
                 '/thumbnail/camera/camera/1'):
        assert stage.request(path)[0] == 404, path
    socket_path = '/_nicegui_ws/socket.io/?EIO=4&transport=polling'
    own = f'http://127.0.0.1:{stage.port}'
    assert stage.request(socket_path, Origin=own)[0] == 200
    assert stage.request(socket_path, 'POST', Origin='http://evil.example')[0] == 403
    assert stage.request('/', Host='evil.example')[0] == 421
    upgrade = {'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec_WebSocket_Version': '13',
               'Sec_WebSocket_Key': 'AAAAAAAAAAAAAAAAAAAAAA=='}
    socket_path = '/_nicegui_ws/socket.io/?EIO=4&transport=websocket'
    assert stage.request(socket_path, Origin='http://evil.example', **upgrade)[0] == 403
    status, headers, _ = stage.request('/')
    assert status == 200
    assert "default-src 'self'" in headers['content-security-policy']
    # bound to the loopback alone: this machine's other addresses do not answer
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex(('127.0.0.2', stage.port)) != 0


def test_it_ends_when_told(stage):
    assert stage.stop() == 0
    assert 'Traceback' not in (stage.folder / 'console.log').read_text()
