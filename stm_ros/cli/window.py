# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A window of OpenCV, where there is a display: to watch a run, and to click on a target."""
from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from textwrap import wrap

import cv2
import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.overlay import printable
from stm_ros.vision.overlay import target_colour
from stm_ros.vision.prompts import Point
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter

TITLE = 'stm track'
HELP = 'drag: box | click: on it | right click: not it | backspace: undo | enter: go | esc: stop'
_ENTER, _ESCAPE, _BACKSPACE = (13, 10), 27, (8, 127)
_LEAST_DRAG = 5
_WAIT_MS = 20
_LETTER_WIDTH = 9
_MOST_LINES = 6


def why_no_window() -> str | None:
    """Say in a sentence why no window can be opened here; None where one can."""
    found = re.search(r'GUI:\s*(\S+)', cv2.getBuildInformation())
    if found is None or found.group(1) == 'NONE':
        return ('this OpenCV is built without windows (opencv-python-headless); '
                '`pip install opencv-python` in its place brings them')
    if sys.platform.startswith('linux') and not (
            os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return 'there is no display (DISPLAY and WAYLAND_DISPLAY are not set)'
    return None


@dataclass
class Selection:
    """What was drawn so far; each event changes it, `prompt` is what it comes to."""

    box: Box | None = None
    points: list[tuple[Point, bool]] = field(default_factory=list)
    _pressed: Point | None = None
    _order: list[str] = field(default_factory=list)

    def press(self, x: int, y: int) -> None:
        """The left button goes down: a click or a box begins."""
        self._pressed = (x, y)

    def release(self, x: int, y: int) -> None:
        """It goes up: a point where it went down, a box where it is elsewhere."""
        if self._pressed is None:
            return
        (left, top), self._pressed = self._pressed, None
        if max(abs(x - left), abs(y - top)) < _LEAST_DRAG:
            self._add_point(left, top, True)
        else:
            self.box = Box(min(x, left), min(y, top), abs(x - left) + 1, abs(y - top) + 1)
            self._order.append('box')

    def exclude(self, x: int, y: int) -> None:
        """The right button: a point that is not on the target."""
        self._add_point(x, y, False)

    def _add_point(self, x: float, y: float, on_target: bool) -> None:
        self.points.append(((x, y), on_target))
        self._order.append('point')

    def undo(self) -> None:
        """Take back the last box or point."""
        last = self._order.pop() if self._order else None
        if last == 'box':
            self.box = None
        elif last == 'point':
            self.points.pop()

    def prompt(self) -> Prompt | None:
        """What was drawn; None where that does not say yet where the target is."""
        if self.box is None and not any(on for _, on in self.points):
            return None
        # a box and points beside the target alone: its middle is a point on it
        points = list(self.points)
        if self.box is not None and points and not any(on for _, on in points):
            middle = (self.box.x_min + self.box.width / 2, self.box.y_min + self.box.height / 2)
            points.append((middle, True))
        return Prompt(self.box, tuple(point for point, _ in points),
                      tuple(on for _, on in points))


class Window:
    """One window; closing it, `q` or Escape says that the person has seen enough."""

    def __init__(self) -> None:
        """Open it; InputError where there can be none."""
        if (reason := why_no_window()) is not None:
            raise InputError(f'no window: {reason}')
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)

    def show(self, picture: np.ndarray) -> bool:
        """Show H×W×3 uint8 RGB; returns False when the person wants to stop."""
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord('q'), _ESCAPE) and self._is_open()

    def choose(self, image: np.ndarray, segmenter: Segmenter) -> Prompt:
        """
        Let a person draw a target in `image` (H×W×3 uint8 RGB), and see the mask it makes.

        :raises InputError: where nothing was chosen.
        """
        selection = Selection()
        cv2.setMouseCallback(TITLE, partial(_on_mouse, selection))
        shown: Prompt | None = None
        picture = proposal(image, selection, segmenter)
        while True:
            cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            key = cv2.waitKey(_WAIT_MS) & 0xFF
            if key == _ESCAPE or not self._is_open():
                raise InputError('no target was chosen')
            if key in _BACKSPACE:
                selection.undo()
            prompt = selection.prompt()
            if prompt != shown:
                shown, picture = prompt, proposal(image, selection, segmenter)
            if key in _ENTER and prompt is not None:
                cv2.setMouseCallback(TITLE, _ignore)
                return prompt

    def close(self) -> None:
        """Close it."""
        cv2.destroyAllWindows()

    @staticmethod
    def _is_open() -> bool:
        return bool(cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1)


def proposal(image: np.ndarray, selection: Selection, segmenter: Segmenter) -> np.ndarray:
    """The image with what was drawn, and with the mask it makes or the reason why it makes none."""
    picture = image.copy()
    words = HELP
    prompt = selection.prompt()
    if prompt is not None:
        try:
            mask = segmenter.segment(image, prompt).mask
            picture[mask] = np.rint(0.5 * picture[mask] + 0.5 * np.array(target_colour(1)))
        except InputError as error:
            words = str(error)
    if selection.box is not None:
        box = selection.box
        corner = (round(box.x_min + box.width) - 1, round(box.y_min + box.height) - 1)
        cv2.rectangle(picture, (round(box.x_min), round(box.y_min)), corner, target_colour(1), 2)
    for (x, y), on_target in selection.points:
        cv2.circle(picture, (round(x), round(y)), 4, (0, 200, 0) if on_target else (220, 0, 0),
                   cv2.FILLED)
    lines = wrap(printable(words), max(10, image.shape[1] // _LETTER_WIDTH))
    for number, line in enumerate(lines[:_MOST_LINES]):
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(picture, line, (6, 18 * (number + 1)), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                        colour, width)
    return picture


def _on_mouse(selection: Selection, event: int, x: int, y: int, *_more: object) -> None:
    if event == cv2.EVENT_LBUTTONDOWN:
        selection.press(x, y)
    elif event == cv2.EVENT_LBUTTONUP:
        selection.release(x, y)
    elif event == cv2.EVENT_RBUTTONDOWN:
        selection.exclude(x, y)


def _ignore(*_event: object) -> None:
    """The choice is made; the mouse means nothing any more."""
