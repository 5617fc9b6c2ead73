# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a tracker honest? How soon it says that a target is gone, finds it again, and mixes it up."""
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from stm_ros.synthetic.clips import TARGET_ID
from stm_ros.synthetic.reliability_clips import VISIBLE_SHARE
from stm_ros.synthetic.reliability_clips import ClipFrame
from stm_ros.synthetic.reliability_clips import View
from stm_ros.synthetic.reliability_clips import are_apart
from stm_ros.tracking import Result
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker

LOST_WITHIN = 5
FOUND_WITHIN = 5
FOUND_IOU = 0.5
#: a clip is kept where at most this share of its visible frames is LOST, and each of the last few
#: is on the target
_MOST_LOST_IF_KEPT, _LAST = 0.1, 5


class Clip(Protocol):
    """A clip of known truth: composed of photographs, or rendered."""

    @property
    def case(self) -> str:
        """What happens in it."""

    @property
    def number(self) -> int:
        """Which one of the case's."""

    @property
    def seed(self) -> int:
        """Which ones of all."""

    @property
    def description(self) -> str:
        """Who plays where."""

    def __len__(self) -> int:
        """How many frames it has."""

    def frames(self) -> Iterator[ClipFrame]:
        """Make one frame after the other."""


@dataclass(frozen=True)
class Record:
    """What a tracker said of one frame, beside the truth.

    iou: of the reported mask with the truth, None where nothing of the target is in view.
    apart: whether a look-alike is in view too, and does not touch the target.
    on_target, on_look_alike: pixels of the mask on either; covers_look_alike: their share of it.
    """

    view: View
    state: TargetState
    confidence: float
    iou: float | None
    apart: bool = False
    on_target: int = 0
    on_look_alike: int = 0
    covers_look_alike: float = 0.0

    @property
    def is_switched(self) -> bool:
        """Whether the mask is more on a look-alike that stands apart than on the target."""
        return self.apart and self.on_look_alike > self.on_target

    @property
    def is_confidently_wrong(self) -> bool:
        """Whether the tracker says TRACKING, and the mask is not on the target."""
        return (self.state == TargetState.TRACKING and self.view != View.PARTIAL
                and (self.iou or 0.0) < FOUND_IOU)


@dataclass(frozen=True)
class ClipScore:
    """The measures of one clip; None where a clip has nothing to measure it on.

    lost_after: frames of absence until the first that is LOST, 1 where the first one is; the
    length of the absence and one more where none is. false_detections: of `judged_absent` frames
    of absence past the first five, those not LOST. all_false_detections: of `absent` frames, all
    of them. found_after: frames since the target is back in view until it is tracked, 1 at the
    first; one more than there are where never. switched_frames, apart_frames: see Record.
    doubled_frames: of the frames apart, those whose mask covers half of the look-alike too.
    mean_iou, missed: over the `visible` frames; the share of them that is LOST. wrong: share of
    all `frames` that are confidently wrong. kept: whether at most a tenth of the visible frames is
    LOST, and the last five have an IoU above 0.5.
    """

    lost_after: int | None
    false_detections: int
    judged_absent: int
    all_false_detections: int
    absent: int
    found_after: int | None
    switched_frames: int
    doubled_frames: int
    apart_frames: int
    mean_iou: float | None
    missed: float | None
    wrong: float
    visible: int
    frames: int
    kept: bool | None


@dataclass(frozen=True)
class ClipOutcome:
    """A clip, its records from the second frame on, and its score."""

    clip: Clip
    records: tuple[Record, ...]
    score: ClipScore


def measure_clip(tracker: Tracker, clip: Clip,
                 watch: Callable[[int, ClipFrame, Result], None] = lambda *_: None
                 ) -> ClipOutcome:
    """Show the target in the clip's first frame, and step through the others.

    :param watch: called with each frame's index, the frame and the tracker's answer.
    """
    tracker.reset()
    records = []
    whole = 0
    for index, frame in enumerate(clip.frames()):
        if index == 0:
            whole = int(frame.truth.sum())
            tracker.add_reference(frame.image, frame.truth.astype(np.uint8) * TARGET_ID)
            continue
        result = tracker.step(frame.image)
        records.append(judge(frame, result, whole))
        watch(index, frame, result)
    return ClipOutcome(clip, tuple(records), score_clip(records))


def judge(frame: ClipFrame, result: Result, whole: int) -> Record:
    """Compare an answer with the truth; `whole`: the target's pixels in the first frame."""
    target = next(item for item in result.targets if item.id == TARGET_ID)
    mask = result.label_map == TARGET_ID
    on_target = int((mask & frame.truth).sum())
    union = int((mask | frame.truth).sum())
    iou = on_target / union if frame.truth.any() else None
    if frame.look_alike is None:
        return Record(frame.view, target.state, target.confidence, iou, on_target=on_target)
    size = int(frame.look_alike.sum())
    on_look_alike = int((mask & frame.look_alike).sum())
    is_seen = frame.view == View.VISIBLE and size >= VISIBLE_SHARE * whole
    return Record(frame.view, target.state, target.confidence, iou,
                  is_seen and are_apart(frame.truth, frame.look_alike), on_target, on_look_alike,
                  on_look_alike / max(1, size))


def score_clip(records: Sequence[Record]) -> ClipScore:
    """Measure a clip by the records of its frames in order."""
    visible = [record for record in records if record.view == View.VISIBLE]
    absent = [record for record in records if record.view == View.ABSENT]
    found = [record.state != TargetState.LOST for record in absent]
    apart = [record for record in records if record.apart]
    return ClipScore(
        lost_after=_first([not is_found for is_found in found]) if found else None,
        false_detections=sum(found[LOST_WITHIN:]), judged_absent=len(found[LOST_WITHIN:]),
        all_false_detections=sum(found), absent=len(found), found_after=_found_after(records),
        switched_frames=sum(record.is_switched for record in apart),
        doubled_frames=sum(not record.is_switched and record.covers_look_alike >= 0.5
                           for record in apart),
        apart_frames=len(apart),
        mean_iou=fmean(record.iou or 0.0 for record in visible) if visible else None,
        missed=(fmean(record.state == TargetState.LOST for record in visible)
                if visible else None),
        wrong=fmean(record.is_confidently_wrong for record in records) if records else 0.0,
        visible=len(visible), frames=len(records), kept=_is_kept(visible))


def _is_kept(visible: Sequence[Record]) -> bool | None:
    """Whether the target was followed to the end; None where it is never in view."""
    if not visible:
        return None
    lost = fmean(record.state == TargetState.LOST for record in visible)
    on_target = [record.state != TargetState.LOST and (record.iou or 0.0) > FOUND_IOU
                 for record in visible[-_LAST:]]
    return lost <= _MOST_LOST_IF_KEPT and all(on_target)


def _found_after(records: Sequence[Record]) -> int | None:
    """Frames since the target is in view again, after it could not be seen for the last time."""
    unseen = [index for index, record in enumerate(records)
              if record.view in (View.ABSENT, View.DARK)]
    if not unseen:
        return None
    back = [record for record in records[unseen[-1] + 1:] if record.view == View.VISIBLE]
    if not back:
        return None
    return _first([record.state == TargetState.TRACKING and (record.iou or 0.0) > FOUND_IOU
                   for record in back])


def _first(flags: Sequence[bool]) -> int:
    """1 for the first that is true, and so on; one more than there are where none is."""
    return flags.index(True) + 1 if True in flags else len(flags) + 1
