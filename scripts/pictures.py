# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Makes the pictures of the documentation with the tool itself: `make pictures`.

The clip is composed of photographs in the public domain (stm_ros' synthetic clips say of which).
The pictures of the report and of the console need a Chromium; without one they stay as they are.
"""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import console_pictures
import cv2

from stm_ros.cli.main import main as stm
from stm_ros.cli.window import Selection
from stm_ros.cli.window import proposal
from stm_ros.inference.prompting import segmenter_for
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import write_image
from stm_ros.vision.overlay import contact_sheet

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / 'docs' / 'images'
OUT = ROOT / 'runs' / 'tutorial'
#: as the tutorial tells it
BOX = (75, 100, 195, 175)
SHOWN = (0, 10, 20, 30, 40, 55)
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


def frames_of(video: Path) -> list:
    """All frames of a video, H×W×3 uint8 RGB."""
    capture = cv2.VideoCapture(str(video))
    frames = []
    while True:
        there, pixels = capture.read()
        if not there:
            return frames
        frames.append(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def screenshot(page: Path, path: Path, size: str = '1100,1150') -> None:
    """Picture of a page in a browser without a window."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f'no {BROWSERS[0]}: {path.name} stays as it is')
        return
    whole = OUT / 'screenshot.png'
    subprocess.run([browser, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
                    f'--user-data-dir={OUT / "browser"}', f'--window-size={size}',
                    f'--screenshot={whole}', page.as_uri()], check=True, capture_output=True)
    cv2.imwrite(str(path), cv2.imread(str(whole)),
                [cv2.IMWRITE_JPEG_QUALITY, console_pictures.QUALITY])


def main() -> int:
    """Follow the tutorial and keep what it shows."""
    stm(['track', 'demo', '--first-frame', str(OUT / 'first.png')])
    first = read_image(OUT / 'first.png')
    selection = Selection()
    left, top, width, height = BOX
    selection.press(left, top)
    selection.release(left + width - 1, top + height - 1)
    write_image(IMAGES / 'tutorial_box.jpg', proposal(first, selection, segmenter_for()))
    box = ','.join(map(str, BOX))
    status = stm(['track', 'demo', '--box', box, '--label', 'cup', '--out', str(OUT / 'cup')])
    if status:
        return status
    frames = frames_of(OUT / 'cup' / 'annotated.mp4')
    write_image(IMAGES / 'tutorial_frames.jpg', contact_sheet(
        [frames[index] for index in SHOWN], [f'frame {index}' for index in SHOWN], columns=3))
    screenshot(OUT / 'cup' / 'report.html', IMAGES / 'report.jpg')
    if missing := console_pictures.what_is_missing():
        print(f'no {missing}: the pictures of the console stay as they are')
    else:
        console_pictures.make(IMAGES)
    return 0


if __name__ == '__main__':
    sys.exit(main())
