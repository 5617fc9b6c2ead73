# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a bag, a video file, or a folder or sequence of images, one at a time."""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES
from stm_ros.vision.image_files import read_image

BAG_SUFFIXES = ('.mcap', '.db3')
DEFAULT_RATE = 25.0
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Frame:
    """
    One image of a source.

    image: H×W×3 uint8 RGB. stamp_ns: the header's stamp. frame_id: the header's coordinate frame.
    recorded_ns: when a bag received it; the stamp where there is no bag.
    """

    image: np.ndarray
    stamp_ns: int
    frame_id: str
    recorded_ns: int


class FrameSource(Protocol):
    """What replay reads: a name for people, frames per second, and the frames in their order."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float: ...

    def __iter__(self) -> Iterator[Frame]: ...


class VideoSource:
    """
    A video file, read by OpenCV.

    Frame i is stamped (i + 1) / rate seconds, since a stamp of 0 means "none" in ROS. `first` and
    `last` (exclusive, None for the end) choose a part.
    """

    def __init__(self, path: str | Path, first: int = 0, last: int | None = None) -> None:
        """Open once to see that it can be read; InputError where it cannot."""
        self.name = str(path)
        self._range = _checked_range(first, last)
        if not Path(path).is_file():
            raise InputError(f'{path} does not exist; a video file is needed')
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
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
                    yield _frame_at(image, index, self.rate)
                index += 1
        finally:
            capture.release()
        if index <= first:
            raise InputError(f'{self.name} has {index} frames; none is left from frame {first} on')

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            raise InputError(f'{self.name} is not a video that OpenCV can read')
        return capture


class ImageSource:
    """Image files, in the order given; stamped like the frames of a video of `rate` Hz."""

    def __init__(self, name: str, paths: list[Path], rate: float = DEFAULT_RATE) -> None:
        """Take the files; InputError where there is none or the rate is not positive."""
        if not paths:
            raise InputError(f'{name} holds no images ({", ".join(IMAGE_SUFFIXES)})')
        if not rate > 0:
            raise InputError(f'a rate of {rate} frames per second is not positive')
        self.name = name
        self.rate = rate
        self.paths = paths

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; InputError names the first that cannot be read."""
        for index, path in enumerate(self.paths):
            yield _frame_at(read_image(path), index, self.rate)


class ArraySource:
    """Images that are in memory already; stamped like the frames of a video of `rate` Hz."""

    def __init__(self, name: str, images: list[np.ndarray], rate: float = DEFAULT_RATE) -> None:
        """Take the images (H×W×3 uint8 RGB each)."""
        self.name = name
        self.rate = rate
        self._images = images

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images in their order."""
        for index, image in enumerate(self._images):
            yield _frame_at(image, index, self.rate)


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
    if source.suffix in BAG_SUFFIXES or (source / 'metadata.yaml').is_file():
        # rosbags is needed for bags only
        from stm_ros.replay.bags import BagSource
        return BagSource(source, topic)
    if topic is not None:
        raise InputError(f'{path} is no bag, so it has no topic {topic!r}')
    if source.is_dir():
        return ImageSource(str(path), _images_in(source), rate)
    if '*' in source.name or '%' in source.name:
        return ImageSource(str(path), _images_matching(source), rate)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(str(path), [source], rate)
    return VideoSource(source)


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _images_matching(pattern: Path) -> list[Path]:
    if '%' not in pattern.name:
        return sorted(path for path in pattern.parent.glob(pattern.name)
                      if path.suffix.lower() in IMAGE_SUFFIXES)
    try:
        numbered = [pattern.parent / (pattern.name % index) for index in (0, 1)]
    except (TypeError, ValueError) as error:
        raise InputError(
            f'{pattern} has no single number in its name, such as %05d: {error}') from error
    index = 0 if numbered[0].is_file() else 1
    paths = []
    while (path := pattern.parent / (pattern.name % index)).is_file():
        paths.append(path)
        index += 1
    return paths


def _frame_at(image: np.ndarray, index: int, rate: float) -> Frame:
    stamp = round((index + 1) * _NANOSECONDS / rate)
    return Frame(image, stamp, 'camera', stamp)


def _checked_range(first: int, last: int | None) -> tuple[int, int | None]:
    if first < 0 or (last is not None and last <= first):
        raise InputError(f'frames {first} to {last} (exclusive) is an empty range')
    return first, last
