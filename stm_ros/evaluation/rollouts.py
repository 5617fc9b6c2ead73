# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Roll-outs of the tracker over sequences with known truth: what the judge is fitted on."""
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from stm_ros.evaluation.measures import region_similarity
from stm_ros.evaluation.perturbations import PERTURBATIONS
from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.reliability_clips import CASES
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import Result
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.training.sources import Pair

#: cases of generated clips, long ones left out: a thousand frames alike say no more than ten
ROLL_OUT_CASES = tuple(case for case in CASES if case != 'leave_1000')
#: clips of this seed are judged by nobody else
CLIP_SEED = 1000
#: frames of a video that are rolled out, and its longer side in pixels
MOST_FRAMES = 48
LONGEST_SIDE = 640
#: nothing is withheld, so that the judge sees what it has to refuse
BELIEVING = TrackerConfig(uncertain_below=0.0, lost_below=0.0, hysteresis=0.0)
#: frames of a video before it cuts to another one (half of a short one), and of the other one
CUT_AFTER = 18
CUT_FRAMES = 10
#: of so many videos one is cut too. With all of them cut, the judge doubts whatever changes at
#: once, as when a bird takes off: the ablation in docs/notes/accuracy.md
CUT_EVERY = 3
#: what happens to the images of videos: all that changes how things look
SPOILS = tuple(name for name in PERTURBATIONS if name != 'frame_drop')
_FRAME_NS = 40_000_000
_LEAST_PIXELS = 100


class Observation(NamedTuple):
    """One mask that the tracker gave: its cues, C float, and its IoU with the truth.

    group: of the sequence, for leaving sequences out.
    """

    cues: np.ndarray
    iou: float
    group: str


class Frame(NamedTuple):
    """An image H×W×3 uint8 RGB and its true label map H×W uint8."""

    image: np.ndarray
    truth: np.ndarray


def roll_out(tracker: Tracker, frames: Iterable[Frame], group: str) -> Iterator[Observation]:
    """Show the targets of the first frame, follow them, and yield every mask that was found."""
    tracker.reset()
    for time, frame in enumerate(frames):
        if time == 0:
            if not frame.truth.any():
                return
            tracker.add_reference(frame.image, frame.truth)
            continue
        yield from _observe(tracker.step(frame.image, stamp_ns=time * _FRAME_NS), frame.truth,
                            group)


def _observe(result: Result, truth: np.ndarray, group: str) -> Iterator[Observation]:
    for target in result.targets:
        found = result.found == target.id
        if found.any():
            sight, track = result.cues[target.id]
            yield Observation(np.array([*sight, *track.values()]),
                              region_similarity(found, truth == target.id), group)


def video_frames(pairs: list[Pair], most: int = MOST_FRAMES) -> list[Frame]:
    """The first frames of a video whose first one shows targets large enough to follow.

    Areas that are not known (255) count as background.
    """
    frames: list[Frame] = []
    for pair in pairs:
        image, labels = pair.load(LONGEST_SIDE)
        labels = np.where(labels == 255, 0, labels).astype(np.uint8)
        if not frames:
            ids, counts = np.unique(labels[labels > 0], return_counts=True)
            kept = ids[counts >= _LEAST_PIXELS][:4]
            if not len(kept):
                continue
        frames.append(Frame(image, np.where(np.isin(labels, kept), labels, 0).astype(np.uint8)))
        if len(frames) == most:
            break
    return frames


def with_cut(frames: Sequence[Frame], other: Sequence[Frame]) -> list[Frame]:
    """The frames of a video that cuts to `other`, where none of its targets is, and comes back.

    What has changed since it was shown, and what is something else, are told apart only by a
    judge that has seen both in one sequence.
    """
    height, width = frames[0].truth.shape
    after = min(CUT_AFTER, len(frames) // 2)
    foreign = [Frame(cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA),
                     np.zeros((height, width), np.uint8)) for frame in other[:CUT_FRAMES]]
    return [*frames[:after], *foreign, *frames[after:]]


def spoiled(frames: Sequence[Frame], number: int) -> list[Frame]:
    """The frames of a video that get worse: at once, or after a while, as its `number` says.

    Blur, noise and darkness look as little like a reference as another thing does, and are not.
    """
    # of mild and clear damage, each kind in turn
    kind = SPOILS[number % len(SPOILS)]
    damage = Perturbation(kind, 1 + number // len(SPOILS) % 2, seed=number)
    begins = 1 + number % 2 * min(CUT_AFTER, len(frames) // 2)
    after = (damage.apply(frame.image, frame.truth, '', begins + index)
             for index, frame in enumerate(frames[begins:]))
    return [*frames[:begins], *(Frame(image, frame.truth if truth is None else truth)
                                for (image, truth), frame in zip(after, frames[begins:],
                                                                 strict=True))]


def clip_frames(clip: ReliabilityClip) -> Iterator[Frame]:
    """The frames of a generated clip."""
    for frame in clip.frames():
        yield Frame(frame.image, frame.truth.astype(np.uint8) * TARGET_ID)


def clips(count: int, size: tuple[int, int], seed: int = CLIP_SEED) -> Iterator[ReliabilityClip]:
    """`count` generated clips of every case in which targets leave, hide or have doubles."""
    return (ReliabilityClip(case, number, size, seed)
            for number in range(count) for case in ROLL_OUT_CASES)


def observe_all(network: SpaceTimeNetwork, config: TrackerConfig, videos: Sequence[list[Pair]],
                count: int, size: tuple[int, int], quiet: bool = False) -> list[Observation]:
    """
    Roll a network out over videos, each as it is and spoiled, some with a cut to another one, and
    over `count` generated clips of each case.
    """
    tracker = Tracker(network, config)
    found: list[Observation] = []
    for number, pairs in enumerate(tqdm(videos, 'videos', disable=quiet)):
        frames = video_frames(pairs)
        if len(frames) <= 2:
            continue
        group = f'video {number}'
        found.extend(roll_out(tracker, frames, group))
        if number % CUT_EVERY == 0 and len(videos) > 1:
            # half a list away: neighbours are often parts of one recording
            other = video_frames(videos[(number + len(videos) // 2) % len(videos)], CUT_FRAMES)
            if other:
                found.extend(roll_out(tracker, with_cut(frames, other), group))
        found.extend(roll_out(tracker, spoiled(frames, number), group))
    made = list(clips(count, size))
    for clip in tqdm(made, 'generated clips', disable=quiet):
        found.extend(roll_out(tracker, clip_frames(clip), f'{clip.case} {clip.number}'))
    return found
