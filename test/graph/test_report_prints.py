# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A report in a real browser: it prints on white whatever the system prefers, and fits a phone."""
import base64
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from stm_ros.report.tracking import TrackReport
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig

if find_spec('selenium') is None:
    pytest.skip('selenium is not installed: requirements/browser.txt', allow_module_level=True)

from browser import Browser  # noqa: E402
from browser import programs  # noqa: E402

A4_POINTS = (595, 842)


@pytest.fixture(scope='module')
def report(clip, tmp_path_factory) -> Path:
    """The page about a real tracker on the clip."""
    programs()
    tracker = Tracker.from_pretrained(config=TrackerConfig(input_size=120))
    tracker.add_reference(clip[0][0], clip[0][1], labels={1: 'cup'})
    watched = TrackReport('Tracking', {'source': 'the clip'})
    for number, (image, _) in enumerate(clip):
        watched.add(image, tracker.step(image, stamp_ns=number * 10 ** 8), 0.01 * (number + 1))
    path = tmp_path_factory.mktemp('report') / 'report.html'
    watched.write(path)
    return path


@pytest.fixture(scope='module')
def page(report, tmp_path_factory):
    window = Browser(report.as_uri(), tmp_path_factory.mktemp('profile'), awaits_picture=False)
    yield window
    window.driver.quit()


def ground(page: Browser) -> int:
    """How light the page is behind everything, 0 to 255."""
    return np.mean(page.driver.execute_script(
        'return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)'
        '.slice(0, 3)'))


def test_dark_on_the_screen_and_white_on_paper(page):
    page.prefer('dark')
    assert ground(page) < 60
    for media, least in (('print', 254), ('screen', 0)):
        page.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {
            'media': media, 'features': [{'name': 'prefers-color-scheme', 'value': 'dark'}]})
        assert ground(page) >= least
    page.prefer('light')
    assert ground(page) > 250


def test_it_fits_paper_and_phone(page):
    for width, is_phone in ((390, True), (794, False)):
        page.resize(width, 1000, is_phone)
        assert page.driver.execute_script('return document.documentElement.scrollWidth') <= width
    document = base64.b64decode(page.driver.execute_cdp_cmd('Page.printToPDF', {
        'paperWidth': 8.27, 'paperHeight': 11.69, 'printBackground': False})['data'])
    pages = re.findall(rb'/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]', document)
    assert 2 <= len(pages) <= 6
    assert all(abs(float(side) - wanted) < 2 for found in pages
               for side, wanted in zip(found, A4_POINTS, strict=True))


def test_every_picture_and_chart_is_drawn(page):
    page.resize(1100, 20000)
    page.until(lambda: page.driver.execute_script(
        'return [...document.images].every(image => image.complete && image.naturalWidth > 0)'),
        'the pictures')
    small = page.driver.execute_script(
        'return [...document.querySelectorAll("img, svg")].filter('
        'each => each.getBoundingClientRect().width < 50).length')
    assert small == 0
    assert page.errors() == []
