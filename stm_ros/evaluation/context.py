# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a view is spoiled, does the context of a target hold a clean view of the same object?

Stretches of a video are blurred, darkened and deformed in turn, with clean stretches before and
between. In each spoiled frame in which the target is there, the views that `~/context` would carry
are judged by the truth of the frames that they come from.
"""
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.sequences import Sequence as Video
from stm_ros.synthetic.reliability_clips import ReliabilityClip
from stm_ros.tracking import Evidence
from stm_ros.tracking import Result
from stm_ros.tracking import Tracker
from stm_ros.tracking.clean_evidence import MOST_CLEAN
from stm_ros.tracking.clean_evidence import clean_evidence

SPOILERS = ('motion_blur', 'dark', 'deformation')
STRETCH = 10
SAME_IOU = 0.5
_FRAME_NS = 40_000_000

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class JudgedView:
    """A view that a context carries: is it of the same object, and of a frame left clean?"""

    is_same: bool
    is_clean: bool
    is_reference: bool

    @property
    def helps(self) -> bool:
        """Whether it shows the object as it is."""
        return self.is_same and self.is_clean


@dataclass(frozen=True)
class SpoiledFrame:
    """A target in a spoiled frame. chosen: what the context carries, by falling attention.

    by_attention: as many views as attention alone would have chosen.
    """

    spoiler: str
    chosen: tuple[JudgedView, ...]
    by_attention: tuple[JudgedView, ...]


@dataclass(frozen=True)
class ContextScore:
    """Shares of spoiled frames, or of their views.

    held: a view of the same object, clean. first: the one with most attention is. beside_reference:
    there is one that is no reference. by_attention: as held, were views chosen by attention alone.
    wrong: of all views, those of something else. spoiled: of all views, those of spoiled frames.
    """

    frames: int
    held: float
    first: float
    beside_reference: float
    by_attention: float
    wrong: float
    spoiled: float


def clip_frames(clip: ReliabilityClip) -> Iterator[Pair]:
    """The images and label maps (0, 1) of a generated clip."""
    for frame in clip.frames():
        yield frame.image, frame.truth.astype(np.uint8)


def video_frames(video: Video) -> Iterator[Pair]:
    """The images and label maps of a video up to its first frame without annotation."""
    for index, frame in enumerate(video.frames):
        if frame.annotation_path is None:
            return
        yield frame.read_image(), video.read_annotation(index)


def spoiler_of(index: int, strength: int, seed: int = 0) -> Perturbation | None:
    """What is done to frame `index`: nothing in even stretches of frames, one spoiler in odd."""
    stretch = index // STRETCH
    if stretch % 2 == 0:
        return None
    return Perturbation(SPOILERS[stretch // 2 % len(SPOILERS)], strength, seed)


def measure_context(tracker: Tracker, name: str, frames: Iterable[Pair], strength: int = 3,
                    seed: int = 0) -> list[SpoiledFrame]:
    """Show the first frame's objects, step through the rest, and judge every spoiled frame.

    :param frames: images H×W×3 uint8 RGB with their label maps H×W uint8.
    :param strength: of the spoilers, 1 to 3.
    """
    tracker.reset()
    overlaps: dict[int, dict[int, float]] = {}
    judged = []
    for index, (image, truth) in enumerate(frames):
        stamp = (index + 1) * _FRAME_NS
        if index == 0:
            ids = tracker.add_reference(image, truth, stamp_ns=stamp)
            overlaps[0] = dict.fromkeys(ids, 1.0)
            continue
        spoiler = spoiler_of(index, strength, seed)
        if spoiler is not None:
            image, spoiled_truth = spoiler.apply(image, truth, name, index)
            truth = truth if spoiled_truth is None else spoiled_truth
        result = tracker.step(image, stamp_ns=stamp)
        overlaps[index] = {target.id: _iou(result.label_map == target.id, truth == target.id)
                           for target in result.targets}
        if spoiler is None:
            continue
        judged += [_judge(result, target.id, spoiler.name, overlaps)
                   for target in result.targets if (truth == target.id).any()]
    return judged


def _judge(result: Result, target_id: int, spoiler: str,
           overlaps: dict[int, dict[int, float]]) -> SpoiledFrame:
    def judge(view: Evidence) -> JudgedView:
        index = view.stamp_ns // _FRAME_NS - 1
        return JudgedView(overlaps[index].get(target_id, 0.0) >= SAME_IOU,
                          spoiler_of(index, 1) is None, view.kind == 'reference')
    return SpoiledFrame(spoiler, tuple(map(judge, clean_evidence(result, target_id))),
                        tuple(map(judge, result.evidence(target_id, MOST_CLEAN))))


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 0.0


def score_context(frames: Sequence[SpoiledFrame]) -> ContextScore | None:
    """The shares over some frames; None where there are none."""
    if not frames:
        return None
    views = [view for frame in frames for view in frame.chosen]
    return ContextScore(
        frames=len(frames), held=_share(any(view.helps for view in frame.chosen)
                                        for frame in frames),
        first=_share(bool(frame.chosen) and frame.chosen[0].helps for frame in frames),
        beside_reference=_share(any(view.helps and not view.is_reference
                                    for view in frame.chosen) for frame in frames),
        by_attention=_share(any(view.helps for view in frame.by_attention) for frame in frames),
        wrong=_share(not view.is_same for view in views),
        spoiled=_share(not view.is_clean for view in views))


def _share(flags: Iterable[bool]) -> float:
    listed = list(flags)
    return sum(listed) / len(listed) if listed else 0.0


def as_text(rows: Sequence[tuple[str, ContextScore]]) -> str:
    """A table of scores by name, shares in per cent."""
    head = ('', 'frames', 'held', 'first', 'beside reference', 'by attention', 'wrong', 'spoiled')
    cells = [head, *((name, str(score.frames), *(f'{100 * value:.1f}' for value in (
        score.held, score.first, score.beside_reference, score.by_attention, score.wrong,
        score.spoiled))) for name, score in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    return '\n'.join('  '.join([row[0].ljust(widths[0]), *(
        cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in cells)
