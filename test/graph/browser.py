# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium, headless, and what the tests of the page do with it."""
import base64
import json
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

# a machine with two busy cores takes its time; who waits in vain is told what for
PATIENCE = 90.0
FLAGS = ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync')
SHOTS = Path(__file__).resolve().parents[2] / 'runs' / 'console'


def programs() -> tuple[str, str]:
    """Paths of chromium and chromedriver; skips the test where one is missing."""
    found = [shutil.which(name) for name in ('chromium', 'chromedriver')]
    if not all(found):
        pytest.skip('no chromium and chromedriver here: apt-get install chromium chromium-driver')
    return found[0], found[1]


class Browser:
    """One window on the page at `url`."""

    def __init__(self, url: str, folder: Path, awaits_picture: bool = True) -> None:
        """Open it with a profile of its own in `folder`; the console's page has a picture."""
        chromium, chromedriver = programs()
        options = Options()
        options.binary_location = chromium
        for flag in (*FLAGS, f'--user-data-dir={folder}', '--window-size=1400,1000'):
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'performance': 'ALL', 'browser': 'ALL'})
        self.driver = webdriver.Chrome(options=options, service=Service(chromedriver))
        self.driver.set_script_timeout(PATIENCE)
        if awaits_picture:
            self.open_anew(url)
        else:
            self.driver.get(url)

    def one(self, selector: str):
        """The first element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list:
        """All elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of the first element found, empty where there is none, or none to be seen."""
        return self.driver.execute_script(
            'const e = document.querySelector(arguments[0]);'
            'return e && e.checkVisibility() ? e.innerText : "";', selector)

    def until(self, condition, what: str, seconds: float = PATIENCE):
        """Wait until `condition` gives something true, which is returned."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if value := condition():
                    return value
            except WebDriverException:
                # what is being redrawn is not there for a moment
                pass
            time.sleep(0.1)
        self.shot('failed')
        raise AssertionError(f'waited {seconds:.0f} s for {what}')

    def click(self, mark: str) -> None:
        """Click the control of that mark, when it can be clicked."""
        def try_it() -> bool:
            self.one(f'[data-mark="{mark}"]').click()
            return True
        self.until(try_it, f'the control {mark}')

    def take_tool(self, mark: str) -> None:
        """Choose a tool; the picture knows of it when the server has said so."""
        self.click(mark)
        self.until(lambda: self.all(f'.tool-on[data-mark="{mark}"]'), f'the tool {mark}')

    def open_anew(self, url: str) -> None:
        """Open the page again and wait for its first picture."""
        self.until(lambda: _opened(self.driver, url), 'the page')
        self.until(lambda: self.all('.card .camera') and not self.all('.camera-waiting')
                   and self.view().std() > 20, 'a picture')

    def shot(self, name: str) -> None:
        """Keep a picture of the window under runs/."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(SHOTS / f'{name}.png'))

    def view(self) -> np.ndarray:
        """The picture as it is on the screen, H×W×3 RGB."""
        code = np.frombuffer(self.one('.card .camera canvas').screenshot_as_png, np.uint8)
        return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def tinted(self) -> int:
        """How many pixels of the view have the pure colour of target 1's outline, cyan."""
        view = self.view().astype(int)
        return int((np.abs(view - (0, 255, 255)).max(axis=2) < 30).sum())

    def mask(self) -> np.ndarray:
        """The mask that is being drawn, H×W bool in pixels of the source image."""
        url = self.driver.execute_script(
            'return getElement(+document.querySelector(".card .camera").id.slice(1))'
            '.exportMask();')
        if not url:
            return np.zeros((1, 1), bool)
        code = np.frombuffer(base64.b64decode(url.partition(',')[2]), np.uint8)
        return cv2.imdecode(code, cv2.IMREAD_UNCHANGED)[..., 3] > 127

    def drag(self, size: tuple[int, int], *points: tuple[float, float]) -> None:
        """Drag over the picture through points in pixels of a source of `size` (H, W)."""
        canvas = self.one('.card .camera canvas')
        wide, high = canvas.size['width'], canvas.size['height']
        places = [(round((x / size[1] - 0.5) * wide), round((y / size[0] - 0.5) * high))
                  for x, y in points]
        chain = ActionChains(self.driver, duration=40)
        chain.move_to_element_with_offset(canvas, *places[0]).click_and_hold()
        for place in places[1:]:
            chain.move_to_element_with_offset(canvas, *place)
        chain.release().perform()

    def freeze(self, seconds: float) -> None:
        """Stop all processes of the browser for a while, as a busy machine does."""
        found = _descendants(self.driver.service.process.pid)
        assert found, 'the driver has no browser'
        try:
            for pid in found:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            for pid in found:
                os.kill(pid, signal.SIGCONT)

    def resize(self, width: int, height: int, is_phone: bool = False) -> None:
        """Take the size of another screen."""
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
            'width': width, 'height': height, 'deviceScaleFactor': 2 if is_phone else 1,
            'mobile': is_phone})

    def prefer(self, scheme: str) -> None:
        """Have the system prefer `dark` or `light`."""
        self.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {
            'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})

    def requested(self) -> set[str]:
        """The addresses that were asked for since the last call."""
        found = set()
        for row in self.driver.get_log('performance'):
            message = json.loads(row['message'])['message']
            if message['method'] == 'Network.requestWillBeSent':
                found.add(message['params']['request']['url'])
            if message['method'] == 'Network.webSocketCreated':
                found.add(message['params']['url'])
        return found

    def errors(self) -> list[str]:
        """What the page complained of."""
        return [row['message'] for row in self.driver.get_log('browser')
                if row['level'] == 'SEVERE']


def _opened(driver: webdriver.Chrome, url: str) -> bool:
    driver.get(url)
    return True


def _descendants(pid: int) -> list[int]:
    words = [word for thread in Path(f'/proc/{pid}/task').iterdir()
             for word in (thread / 'children').read_text().split()]
    return [each for child in map(int, words) for each in (child, *_descendants(child))]
