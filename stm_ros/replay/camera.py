# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera as a source of frames: whoever reads always gets the newest one."""
from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np

from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.replay.sources import Frame
from stm_ros.vision.errors import InputError

SILENCE_SECONDS = 10.0
_POLL_SECONDS = 0.2
_CAMERA = re.compile(r'\d+|/dev/video\d+|(?:rtsp|https?|udp|tcp)://\S+')


def is_camera(text: str) -> bool:
    """Whether `text` names a camera: a number, /dev/videoN, or the URL of a stream."""
    return _CAMERA.fullmatch(text) is not None


class CameraSource:
    """
    A camera that OpenCV can open, or a stream by its URL (rtsp, http, udp, tcp).

    A thread reads it all the time and keeps only the newest frame, so that a slow reader sees what
    is there now and not what was there seconds ago; `dropped` counts the frames passed over.
    Frames are stamped with the system's clock when they arrive. It can be read once.
    """

    def __init__(self, camera: str) -> None:
        """Open it; InputError where that fails."""
        self.name = camera
        self.dropped = 0
        self.notes: list[str] = []
        self._capture = cv2.VideoCapture(int(camera) if camera.isdigit() else camera)
        if not self._capture.isOpened():
            raise InputError(f'the camera {camera} cannot be opened: ' + (
                'does its server answer, and does it send video?' if '://' in camera else
                'is it there (ls /dev/video*), may you read it (group video), and does no other '
                'program use it?'))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if np.isfinite(rate) and 0 < rate <= 1000 else DEFAULT_RATE
        self._arrived = threading.Condition()
        self._newest: Frame | None = None
        self._ended = False

    def pace(self, seconds: float) -> None:
        """Say how long one frame takes, so that `rate` is what can be followed."""
        self.rate = min(self.rate, 1 / max(seconds, 1e-3))

    def stop(self) -> None:
        """End the frames: whoever waits for the next one waits no longer."""
        self._ended = True

    def __iter__(self) -> Iterator[Frame]:
        """
        Yield the newest frame whenever it is asked for, until `stop` or the camera is gone.

        :raises InputError: where no frame comes within 10 seconds.
        """
        reader = threading.Thread(target=self._read, name='camera', daemon=True)
        reader.start()
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self._ended = True
            # a device that hangs in read must not hang the program
            reader.join(SILENCE_SECONDS)
            if not reader.is_alive():
                self._capture.release()

    def _next(self) -> Frame | None:
        deadline = time.monotonic() + SILENCE_SECONDS
        with self._arrived:
            while self._newest is None:
                if self._ended:
                    return None
                if time.monotonic() > deadline:
                    raise InputError(f'the camera {self.name} has sent no image for '
                                     f'{SILENCE_SECONDS:.0f} s')
                self._arrived.wait(_POLL_SECONDS)
            frame, self._newest = self._newest, None
            return frame

    def _read(self) -> None:
        while not self._ended:
            there, pixels = self._capture.read()
            if not there:
                break
            stamp = time.time_ns()
            frame = Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), stamp, 'camera', stamp)
            with self._arrived:
                self.dropped += self._newest is not None
                self._newest = frame
                self._arrived.notify()
        self._ended = True
