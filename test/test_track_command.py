# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm track`: real videos, a real stream as camera, the report it ends with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_report import assert_self_contained

from stm_ros.cli.main import main
from stm_ros.cli.window import Selection
from stm_ros.cli.window import proposal
from stm_ros.cli.window import why_no_window
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.replay.camera import CameraSource
from stm_ros.replay.camera import is_camera
from stm_ros.replay.showing import reference_of_mask
from stm_ros.replay.showing import reference_of_prompts
from stm_ros.replay.writers import VideoWriter
from stm_ros.tracking import Tracker
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.grabcut import GrabCut
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.prompts import Prompt

FRAMES = 12
weights_shipped = pytest.mark.skipif(
    not SHIPPED_WEIGHTS.is_file(), reason=f'no shipped weights at {SHIPPED_WEIGHTS}')


def scene(left: int, top: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """A red disc and a blue square on grained green; the label map has them as 1 and 2."""
    rng = np.random.default_rng(left)
    label_map = np.zeros((120, 160), np.uint8)
    cv2.circle(label_map, (left, top), 20, 1, cv2.FILLED)
    cv2.rectangle(label_map, (110, 70), (140, 100), 2, cv2.FILLED)
    colours = np.array([(60, 120, 60), (210, 40, 30), (40, 60, 200)])
    image = colours[label_map] + rng.integers(-15, 16, (120, 160, 3))
    return image.clip(0, 255).astype(np.uint8), label_map


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('video') / 'disc.mp4'
    writer = VideoWriter(path, 10)
    for index in range(FRAMES):
        writer.write(scene(36 + 3 * index)[0])
    writer.close()
    return path


@pytest.fixture(scope='module')
def tracked(video, tmp_path_factory) -> Path:
    """The folder that the command wrote for two boxes."""
    if not SHIPPED_WEIGHTS.is_file():
        pytest.skip(f'no shipped weights at {SHIPPED_WEIGHTS}')
    folder = tmp_path_factory.mktemp('track') / 'out'
    assert main(['track', str(video), '--box', '12,26,48,48', '--label', 'disc <&>', '--box',
                 '106,66,40,40', '--label', 'square', '--out', str(folder)]) == 0
    return folder


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def test_two_boxes_are_followed(tracked: Path) -> None:
    told = json.loads((tracked / 'predictions.json').read_text())
    assert told['targets'] == {'1': 'disc <&>', '2': 'square'} and told['frame_count'] == FRAMES
    for index in range(FRAMES):
        label_map = read_mask(tracked / 'masks' / f'{index:05d}.png')
        truth = scene(36 + 3 * index)[1]
        for target_id in (1, 2):
            assert iou(label_map == target_id, truth == target_id) > 0.6, (index, target_id)


def test_the_report_tells_the_run(tracked: Path) -> None:
    page = (tracked / 'report.html').read_text()
    outline = assert_self_contained(page)
    assert outline.named('h1')[0].text == 'Tracking in disc.mp4'
    facts = dict(zip([part.text for part in outline.named('dt')],
                     [part.text for part in outline.named('dd')], strict=True))
    assert facts['frames'] == str(FRAMES) and facts['length'] == '1.1 s'
    titles = [part.text for part in outline.named('h2')]
    assert {'disc <&> (id 1)', 'square (id 2)', 'What memory holds of square', 'Least sure',
            'Time a frame'} <= set(titles)
    charts = [part.attributes['aria-label'] for part in outline.named('svg')]
    assert charts.count('confidence (expected IoU)') == 2
    assert sum('box' in name for name in charts) == 4
    pictures = [part for part in outline.named('img')]
    assert 12 <= len(pictures) <= 12 + 6 + 6 + 2 * 16
    assert all(part.attributes['alt'] for part in pictures)
    assert len(page) < 2_000_000


def test_filmstrip_shows_the_reference(tracked: Path) -> None:
    page = (tracked / 'report.html').read_text()
    assert 'reference, 0.00 s' in page


@weights_shipped
def test_points_and_masks_show_targets(video: Path, tmp_path: Path) -> None:
    out = str(tmp_path / 'out')
    assert main(['track', str(video), '--point', '36,50', '--not-point', '125,85', '--label',
                 'disc', '--max-frames', '2', '--out', out]) == 0
    assert iou(read_mask(Path(out) / 'masks/00001.png') == 1, scene(39)[1] == 1) > 0.6
    write_label_map(tmp_path / 'mask.png', scene(36)[1])
    assert main(['track', str(video), '--mask', str(tmp_path / 'mask.png'), '--label', 'a',
                 '--label', 'b', '--max-frames', '1', '--out', out]) == 0
    assert json.loads((Path(out) / 'predictions.json').read_text())['targets'] == {
        '1': 'a', '2': 'b'}


def test_first_frame_is_written_to_read_a_box_off(video: Path, tmp_path: Path, capsys) -> None:
    assert main(['track', str(video), '--first-frame', str(tmp_path / 'first.png')]) == 0
    assert '160×120 pixels' in capsys.readouterr().out
    assert np.abs(read_image(tmp_path / 'first.png').astype(int) - scene(36)[0]).mean() < 15
    assert main(['track', str(video), '--first-frame', str(tmp_path / 'first.png')]) == 0
    (tmp_path / 'mine.png').write_bytes(b'drawn by hand')
    assert main(['track', str(video), '--first-frame', str(tmp_path / 'mine.png')]) == 2
    assert 'was not written by stm' in capsys.readouterr().err
    assert (tmp_path / 'mine.png').read_bytes() == b'drawn by hand'
    assert main(['track', str(video), '--first-frame', str(tmp_path / 'first')]) == 2
    assert f'{tmp_path / "first"} names no picture' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'told'), [
    ([], '--first-frame FILE'),
    (['--box', '1,1,9,9', '--mask', 'm.png'], 'exclude each other'),
    (['--box', '1,1,9'], "'1,1,9' is no box"),
    (['--point', '5'], "'5' is no point"),
    (['--box', '1,1,9,9', '--box', '20,20,9,9', '--point', '3,3'], 'one target'),
    (['--box', '12,26,48,48', '--label', 'a', '--label', 'b'], '2 names for 1 targets'),
    (['--box', '1,1,9,9', '--max-frames', '0'], '--max-frames 0'),
    (['--box', '1,1,9,9', '--set', 'nothing=1'], 'nothing=1'),
    (['--click'], '--click needs a window')])
def test_user_errors_are_one_line_and_code_2(video, tmp_path, capsys, monkeypatch, words, told):
    monkeypatch.setenv('DISPLAY', '')
    monkeypatch.setenv('WAYLAND_DISPLAY', '')
    if '--click' in words and why_no_window() is None:
        pytest.skip('windows can be opened here')
    assert main(['track', str(video), *words, '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert error.startswith('stm: error: ') and error.count('\n') == 1 and told in error
    assert not (tmp_path / 'out').exists()


@weights_shipped
def test_a_report_of_the_user_s_own_is_not_replaced(video, tracked, tmp_path, capsys) -> None:
    words = ['track', str(video), '--box', '12,26,48,48', '--max-frames', '1', '--out']
    (tmp_path / 'report.html').write_text('mine')
    assert main([*words, str(tmp_path)]) == 2
    assert 'report.html was not written by stm' in capsys.readouterr().err
    assert (tmp_path / 'report.html').read_text() == 'mine'


@weights_shipped
def test_without_a_display_show_is_a_sentence(video, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert main(['track', str(video), '--box', '12,26,48,48', '--show', '--max-frames', '1',
                 '--out', str(tmp_path / 'out')]) == 0
    assert capsys.readouterr().err.startswith('--show: no window, for ')


def test_smaller_masks_win_and_hidden_targets_are_refused() -> None:
    image, truth = scene(50)
    around = Prompt(Box(20, 20, 62, 62))
    reference = reference_of_prompts(image, [around, Prompt(Box(106, 66, 40, 40))], ['disc'])
    assert reference.labels == {1: 'disc'}
    assert iou(reference.label_map == 2, truth == 2) > 0.8
    with pytest.raises(InputError, match='covered by the others'):
        reference_of_prompts(image, [around, around])
    with pytest.raises(InputError, match='0 targets'):
        reference_of_prompts(image, [])


def test_names_of_a_mask_go_to_its_ids_in_order(tmp_path: Path) -> None:
    image, truth = scene(50)
    write_label_map(tmp_path / 'm.png', np.where(truth > 0, truth + 4, 0).astype(np.uint8))
    reference = reference_of_mask(image, tmp_path / 'm.png', ['disc', 'square'])
    assert reference.labels == {5: 'disc', 6: 'square'}
    with pytest.raises(InputError, match='3 names'):
        reference_of_mask(image, tmp_path / 'm.png', ['a', 'b', 'c'])


def test_what_is_drawn_becomes_a_prompt() -> None:
    image, truth = scene(50)
    selection = Selection()
    assert selection.prompt() is None
    selection.release(5, 5)
    selection.exclude(125, 85)
    assert selection.prompt() is None, 'a point beside the target does not say where it is'
    selection.press(75, 75)
    selection.release(25, 25)
    prompt = selection.prompt()
    assert prompt.box == Box(25, 25, 51, 51)
    assert prompt.points == ((125, 85), (50.5, 50.5)) and prompt.on_target == (False, True)
    selection.press(52, 48)
    selection.release(54, 50)
    assert selection.prompt().points == ((125, 85), (52, 48))
    picture = proposal(image, selection, GrabCut())
    changed = np.abs(picture.astype(int) - image).sum(axis=2) > 30
    # the square is not the target, but the help may be written over a part of it
    assert changed[truth == 1].mean() > 0.9 and changed[truth == 2].mean() < 0.4
    for _ in range(2):
        selection.undo()
    assert selection.prompt() is None
    selection.undo()
    selection.undo()
    assert selection.points == []


class Stream(BaseHTTPRequestHandler):
    """An IP camera: JPEGs one after another (multipart/x-mixed-replace), at 50 Hz."""

    def do_GET(self) -> None:  # noqa: N802 -- the base class's name
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
        self.end_headers()
        started = time.monotonic()
        try:
            while (seconds := time.monotonic() - started) < 30:
                image, _ = scene(round(36 + 8 * seconds) % 100)
                code = cv2.imencode('.jpg', image[..., ::-1])[1].tobytes()
                self.wfile.write(b'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: '
                                 + str(len(code)).encode() + b'\r\n\r\n' + code + b'\r\n')
                time.sleep(0.02)
        except OSError:
            return

    def log_message(self, *_words: object) -> None:
        pass


@contextmanager
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(('127.0.0.1', 0), Stream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/stream.mjpg'
    finally:
        server.shutdown()
        server.server_close()


def test_a_camera_gives_the_newest_frame_under_the_clock() -> None:
    with camera() as url:
        source = CameraSource(url)
        frames = iter(source)
        first = next(frames)
        assert abs(first.stamp_ns - time.time_ns()) < 5e9 and first.image.shape == (120, 160, 3)
        time.sleep(1.0)
        following = [next(frames) for _ in range(3)]
        assert source.dropped >= 10, 'what came while nobody asked is passed over'
        stamps = [frame.stamp_ns for frame in (first, *following)]
        assert all(later > earlier for earlier, later in zip(stamps, stamps[1:], strict=False))
        source.pace(0.5)
        assert source.rate == 2
        source.stop()
        assert len(list(frames)) <= 1
    assert not any(thread.name == 'camera' for thread in threading.enumerate())


def test_a_camera_that_is_not_there_says_what_to_look_at(tmp_path, capsys) -> None:
    assert main(['track', '/dev/video63', '--box', '1,1,9,9', '--out', str(tmp_path / 'o')]) == 2
    error = capsys.readouterr().err
    assert '/dev/video63 cannot be opened' in error and 'group video' in error
    # port 9 discards: nothing serves video there
    assert main(['track', 'http://127.0.0.1:9/v.mjpg', '--box', '1,1,9,9', '--out',
                 str(tmp_path / 'o')]) == 2
    assert 'does its server answer' in capsys.readouterr().err


@pytest.mark.parametrize(('text', 'is_one'), [
    ('0', True), ('12', True), ('/dev/video0', True), ('rtsp://cam/1', True),
    ('http://cam/stream.mjpg', True), ('video.mp4', False), ('./0', False), ('frames', False),
    ('/dev/video', False), ('-1', False)])
def test_cameras_are_told_from_files(text: str, is_one: bool) -> None:
    assert is_camera(text) is is_one


@weights_shipped
def test_ctrl_c_ends_a_camera_with_complete_files(tmp_path: Path) -> None:
    """In a process of its own, as a person would run it."""
    out = tmp_path / 'out'
    with camera() as url:
        process = subprocess.Popen(
            [sys.executable, '-m', 'stm_ros.cli.main', 'track', url, '--box', '10,24,60,52',
             '--out', str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1'})
        deadline = time.monotonic() + 120
        while not list(out.rglob('0000[3-9].png')):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, 'no frame was answered'
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        words, _ = process.communicate(timeout=60)
    assert process.returncode == 0, words
    assert 'passed over' in words
    told = json.loads((out / 'predictions.json').read_text())
    assert told['frame_count'] == len(told['frames']) == len(list(out.glob('masks/*.png'))) >= 4
    assert_self_contained((out / 'report.html').read_text())
    capture = cv2.VideoCapture(str(out / 'annotated.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == told['frame_count']


def three_frames(folder: Path) -> Path:
    """Three images of one scene, the last one damaged."""
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f'{index}.png'), scene(36)[0][..., ::-1])
    (folder / '2.png').write_bytes(b'broken')
    return folder


@weights_shipped
def test_a_damaged_image_is_left_out_and_told(tmp_path: Path, capsys) -> None:
    frames, out = three_frames(tmp_path / 'frames'), tmp_path / 'out'
    assert main(['track', str(frames), '--box', '12,26,48,48', '--out', str(out)]) == 0
    assert '1 of 3 images were skipped' in (error := capsys.readouterr().err) and '2.png' in error
    assert '2 frames' in (out / 'report.html').read_text()


@weights_shipped
def test_a_run_that_breaks_off_has_its_report(tmp_path: Path, capsys, monkeypatch) -> None:
    frames, out = three_frames(tmp_path / 'frames'), tmp_path / 'out'
    shutil.copy(frames / '1.png', frames / '2.png')
    step, steps = Tracker.step, []

    def fail_at_last(tracker, *arguments, **named):
        steps.append(1)
        if len(steps) == 3:
            raise InputError('the last frame is refused')
        return step(tracker, *arguments, **named)
    monkeypatch.setattr(Tracker, 'step', fail_at_last)
    assert main(['track', str(frames), '--box', '12,26,48,48', '--out', str(out)]) == 2
    assert 'the last frame is refused' in capsys.readouterr().err
    page = (out / 'report.html').read_text()
    assert_self_contained(page)
    assert '2 frames' in page
