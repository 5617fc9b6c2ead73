# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a bag, a video file, or a folder or sequence of images, one at a time."""
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from stm_ros.replay.bag_names import METADATA
from stm_ros.replay.bag_names import is_recording
from stm_ros.replay.bag_names import refuse_recordings_in
from stm_ros.replay.frames import DEFAULT_RATE
from stm_ros.replay.frames import Frame
from stm_ros.replay.frames import FrameSource
from stm_ros.replay.frames import check_rate
from stm_ros.replay.frames import frame_at
from stm_ros.replay.image_sequences import find_images
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES
from stm_ros.vision.image_files import read_image
from stm_ros.vision.pictures import check_pixel_count

_LEAST_READ = 0.95
_MOST_TOLD = 3
_WILDCARDS = '*?[%'


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
        refuse_no_video(Path(path))
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
            raise InputError(f'{self.name} is not a video that OpenCV can read: it is cut short, '
                             'damaged, or of another kind')
        return capture


class ImageSource:
    """Image files, in the order given; stamped like the frames of a video of `rate` Hz."""

    def __init__(self, name: str, paths: list[Path], rate: float = DEFAULT_RATE,
                 notes: tuple[str, ...] = ()) -> None:
        """Take the files; InputError where there is none or the rate is not positive."""
        if not paths:
            raise InputError(f'{name} holds no images ({", ".join(IMAGE_SUFFIXES)})')
        check_rate(rate)
        self.name = name
        self.rate = rate
        self.paths = paths
        self._known = notes
        self.notes = list(notes)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; InputError where the first, which shows the target, cannot be read.

        Further ones that cannot are left out, and counted in `notes`.
        """
        self.notes = list(self._known)
        skipped: list[str] = []
        for index, path in enumerate(self.paths):
            try:
                image = read_image(path)
            except InputError as error:
                if index == 0:
                    raise
                skipped.append(str(error))
                continue
            yield frame_at(image, index, self.rate)
        if skipped:
            told = '; '.join(skipped[:_MOST_TOLD]) + (' ...' if len(skipped) > _MOST_TOLD else '')
            self.notes.append(f'{len(skipped)} of {len(self.paths)} images were skipped: {told}')


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
    is_pattern = not source.exists() and any(each in source.name for each in _WILDCARDS)
    if source.is_dir() or is_pattern:
        images = find_images(source)
        if not images.paths:
            refuse_recordings_in(source)
        return ImageSource(str(path), list(images.paths), rate, images.notes)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(str(path), [source], rate)
    return VideoSource(source)


def refuse_no_video(path: Path) -> None:
    """Say why a path cannot be a video, where that can be told without decoding it.

    :raises InputError: where there is no file, an empty one, or a part of a recording.
    """
    if path.name == METADATA and path.is_file():
        raise InputError(f'{path} tells of a recording: name its folder, {path.parent}')
    if not path.is_file():
        raise InputError(f'{path} does not exist; a video file is needed')
    if path.stat().st_size == 0:
        raise InputError(f'{path} is empty (0 bytes)')


def _checked_range(first: int, last: int | None) -> tuple[int, int | None]:
    if first < 0 or (last is not None and last <= first):
        raise InputError(f'frames {first} to {last} (exclusive) is an empty range')
    return first, last
