# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Makes the pictures of the console: a real node, camera and console, and a browser without a window.

It drives the page as the test in test/graph does, whose helpers it uses. Needs ROS,
requirements/console.txt, requirements/browser.txt, chromium and chromedriver.
"""
from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.boxes import box_of_mask

ROOT = Path(__file__).resolve().parent.parent
HELPERS = ROOT / 'test' / 'graph'
SIZE, FRAMES, SHOWN = (360, 480), 60, 22
#: long enough for a timeline and a few memory frames
FOLLOW_SECONDS = 20.0
QUALITY = 85


def what_is_missing() -> str:
    """What has to be installed first, empty where nothing has."""
    words = [name for name in ('rclpy', 'nicegui', 'selenium') if find_spec(name) is None]
    return ', '.join(words + [name for name in ('chromium', 'chromedriver')
                              if shutil.which(name) is None])


def make(images: Path) -> None:
    """Write console.jpg and console_phone.jpg into `images`."""
    sys.path.append(str(HELPERS))
    from graph_client import NodeProcess
    clip = generate_clip('occlusion', FRAMES, SIZE)[:SHOWN]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / 'frames.npy', np.stack([image for image, _ in clip]))
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        node = NodeProcess(folder, 'diagnostics_period:=1.0')
        others = [_started(folder, 'camera', str(HELPERS / 'camera_process.py'),
                           str(folder / 'frames.npy'), str(folder / 'go')),
                  _started(folder, 'console', '-m', 'stm_ros.cli.main', 'console', '--port',
                           str(port))]
        try:
            _photograph(f'http://127.0.0.1:{port}/', folder, clip[0][1] == 1, images)
        finally:
            for process in (*others, node.process):
                process.send_signal(signal.SIGINT)
                process.wait(20)


def _started(folder: Path, name: str, *words: str) -> subprocess.Popen:
    with (folder / f'{name}.log').open('wb') as log:
        return subprocess.Popen([sys.executable, *words], stdout=log, stderr=subprocess.STDOUT,
                                env=dict(os.environ))


def _photograph(url: str, folder: Path, truth: np.ndarray, images: Path) -> None:
    from browser import Browser
    page = Browser(url, folder / 'profile')
    try:
        box = box_of_mask(truth)
        page.take_tool('box')
        page.drag(SIZE, (box.x_min - 4, box.y_min - 4), (box.x_min + 20, box.y_min + 20),
                  (box.x_min + box.width + 4, box.y_min + box.height + 4))
        page.until(lambda: 'Proposed' in page.text('.draft-text'), 'a proposal')
        page.one('.draft-name input').send_keys('cup')
        page.one('.accept').click()
        page.until(lambda: page.all('.state-TRACKING'), 'TRACKING')
        (folder / 'go').touch()
        time.sleep(FOLLOW_SECONDS)
        page.resize(1400, 1090)
        time.sleep(1)
        _keep(page, images / 'console.jpg')
        page.prefer('dark')
        page.resize(390, 844, is_phone=True)
        time.sleep(2)
        _keep(page, images / 'console_phone.jpg')
    finally:
        page.driver.quit()


def _keep(page, path: Path) -> None:
    code = np.frombuffer(page.driver.get_screenshot_as_png(), np.uint8)
    cv2.imwrite(str(path), cv2.imdecode(code, cv2.IMREAD_COLOR),
                [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
