# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a bag, a video file, or a folder or sequence of images, one at a time."""
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from stm_ros.replay.bag_names import is_recording
from stm_ros.replay.frames import DEFAULT_RATE
from stm_ros.replay.frames import Frame
from stm_ros.replay.frames import FrameSource
from stm_ros.replay.frames import frame_at
from stm_ros.replay.image_sequences import find_images
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES
from stm_ros.vision.image_files import read_image
from stm_ros.vision.pictures import check_pixel_count

_LEAST_READ = 0.95


class VideoSource:
    """
    A video file, read by OpenCV.

    Frame i is stamped (i + 1) / rate seconds, since a stamp of 0 means "none" in ROS. `first` and
    `last` (exclusive, None for the end) choose a part.
    """

    def __init__(self, path: str | Path, first: int = 0, last: int | None = None) -> None:
        """Open once to see that it can be read; InputError where it cannot."""
        self.name = str(path)
        self.notes: list[str] = []
        self._range = _checked_range(first, last)
        if not Path(path).is_file():
            raise InputError(f'{path} does not exist; a video file is needed')
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH,
                                                             cv2.CAP_PROP_FRAME_HEIGHT))
        self._announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        check_pixel_count(width, height, self.name)
        self.rate = rate if np.isfinite(rate) and rate > 0 else DEFAULT_RATE

    def __iter__(self) -> Iterator[Frame]:
        """Yield the chosen frames; InputError where the file holds none of them."""
        first, last = self._range
        capture = self._open()
        index = 0
        try:
            while last is None or index < last:
                more, pixels = capture.read()
                if not more:
                    break
                if index >= first:
                    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                    yield frame_at(image, index, self.rate)
                index += 1
        finally:
            capture.release()
        # containers estimate the number, by a few frames at most
        if last is None and 0 < index < _LEAST_READ * self._announced:
            self.notes = [f'{self.name} is cut short or damaged: {index} of {self._announced} '
                          'frames could be read']
        if index <= first:
            raise InputError(f'{self.name} has {index} frames; none is left from frame {first} on')

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            raise InputError(f'{self.name} is not a video that OpenCV can read')
        return capture


class ImageSource:
    """Image files, in the order given; stamped like the frames of a video of `rate` Hz."""

    def __init__(self, name: str, paths: list[Path], rate: float = DEFAULT_RATE,
                 notes: tuple[str, ...] = ()) -> None:
        """Take the files; InputError where there is none or the rate is not positive."""
        if not paths:
            raise InputError(f'{name} holds no images ({", ".join(IMAGE_SUFFIXES)})')
        if not rate > 0:
            raise InputError(f'a rate of {rate} frames per second is not positive')
        self.name = name
        self.rate = rate
        self.paths = paths
        self.notes = list(notes)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; InputError names the first that cannot be read."""
        for index, path in enumerate(self.paths):
            yield frame_at(read_image(path), index, self.rate)


class ArraySource:
    """Images that are in memory already; stamped like the frames of a video of `rate` Hz."""

    def __init__(self, name: str, images: list[np.ndarray], rate: float = DEFAULT_RATE) -> None:
        """Take the images (H×W×3 uint8 RGB each)."""
        self.name = name
        self.rate = rate
        self._images = images
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images in their order."""
        for index, image in enumerate(self._images):
            yield frame_at(image, index, self.rate)


def open_source(path: str | Path, topic: str | None = None,
                rate: float = DEFAULT_RATE) -> FrameSource:
    """
    Open whatever `path` names.

    A rosbag2 folder or file (.mcap, .db3), an image, a folder of images, a pattern of image files
    (`frames/*.png`, `frames/%05d.png`), or a video file.

    :param topic: the image topic of a bag; needed only where it has several.
    :param rate: frames per second of images, which tell no time themselves.
    :raises InputError: where there is no such thing, or it cannot be read.
    """
    source = Path(path)
    if is_recording(source):
        # rosbags and mcap are needed for bags only
        from stm_ros.replay.bags import BagSource
        return BagSource(source, topic)
    if topic is not None:
        raise InputError(f'{path} is no bag, so it has no topic {topic!r}')
    is_pattern = not source.exists() and ('*' in source.name or '%' in source.name)
    if source.is_dir() or is_pattern:
        images = find_images(source)
        return ImageSource(str(path), list(images.paths), rate, images.notes)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(str(path), [source], rate)
    return VideoSource(source)


def _checked_range(first: int, last: int | None) -> tuple[int, int | None]:
    if first < 0 or (last is not None and last <= first):
        raise InputError(f'frames {first} to {last} (exclusive) is an empty range')
    return first, last
