# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The answer to a frame: label map, boxes, states and soft masks, all from one owner a pixel."""
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from torch import Tensor

from stm_ros.inference.judge import Judge
from stm_ros.inference.judge import TrackCues
from stm_ros.inference.runner import Seen
from stm_ros.tracking.association import Decision
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.kinematics import GATE
from stm_ros.tracking.states import next_state
from stm_ros.tracking.stream import Stream
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import prepare_masks


@dataclass(frozen=True)
class Answer:
    """What is said of a frame.

    label_map: H×W uint8, without what is LOST. found: H×W uint8, the owners before anything was
    withheld. targets: by id. soft_masks: N×H'×W' on the device, in the bank's order, of what each
    target owns, LOST or not. cues: by target id, what the judge saw.
    """

    label_map: np.ndarray
    found: np.ndarray
    targets: tuple[TargetResult, ...]
    soft_masks: Tensor
    cues: dict[int, tuple[list[float], TrackCues]]

    @property
    def lost(self) -> set[int]:
        """Targets that are not in this frame."""
        return {target.id for target in self.targets if target.state == TargetState.LOST}


def compose(seen: Seen, decided: Decision, predicted: Stream, order: Sequence[int],
            labels: dict[int, str], judge: Judge, config: TrackerConfig) -> Answer:
    """Say of every target where it is and how sure that is.

    :param order: target ids, in the bank's order. :param predicted: the stream at this frame.
    """
    label_map = decided.label_map.copy()
    results, cues = [], {}
    for target in sorted(order):
        track = predicted.track(target)
        mask = decided.label_map == target
        area = int(np.count_nonzero(mask))
        box = box_of_mask(mask) if area else None
        sight = seen.cues[list(order).index(target)].tolist()
        said = _track_cues(track, area, box, decided.shared.get(target, 0.0))
        cues[target] = sight, said
        confidence = judge(sight, said) if area else 0.0
        state = next_state(track, confidence, area, config)
        if decided.is_met(target) and area and track.state != TargetState.LOST:
            state = TargetState.UNCERTAIN
        if state == TargetState.LOST:
            label_map[mask] = 0
            box, area = None, 0
        results.append(TargetResult(target, labels[target], state, confidence,
                                    judge.is_calibrated, box, area))
    assert predicted.geometry is not None
    soft = owned_soft_masks(seen, decided.label_map, order, predicted.geometry)
    return Answer(label_map, decided.label_map, tuple(results), soft, cues)


def _track_cues(track: Track, area: int, box: Box | None, shared: float) -> TrackCues:
    """What a track says of a mask of `area` pixels in `box`."""
    if not track.area:
        return TrackCues.of_a_stranger(shared)
    return TrackCues(
        surprise=track.motion.surprise(box) if track.motion and box else 0.0,
        age=track.motion.age if track.motion else 0.0,
        growth=float(np.log((area + 1) / (track.area + 1))), shared=shared,
        before=track.confidence, was_lost=float(track.state == TargetState.LOST),
        has_place=float(track.motion is not None))


def owned_soft_masks(seen: Seen, owners: np.ndarray, order: Sequence[int], geometry: Geometry
                     ) -> Tensor:
    """Soft masks N×H'×W' in which what went from one to another is the other's.

    :param owners: H×W uint8, target ids.
    """
    found = np.array([0, *order], np.uint8)[seen.channels]
    moved = found != owners
    if not moved.any():
        return seen.soft_masks
    dtype = seen.soft_masks.dtype
    taken, given = (prepare_masks(np.where(moved, ids, 0), list(order), geometry,
                                  seen.soft_masks.device, dtype) for ids in (found, owners))
    return seen.soft_masks * (1 - taken) + given * (seen.soft_masks * taken).sum(0)


def next_stream(predicted: Stream, answer: Answer, decided: Decision, order: Sequence[int],
                config: TrackerConfig, looked_whole: bool, reached_out: set[int]) -> Stream:
    """The stream after a frame: tracks of what was seen there, and those that coast.

    :param reached_out: targets whose box ends at the edge of where they were looked for.
    """
    tracks = {}
    for target in answer.targets:
        track = predicted.track(target.id)
        mask = answer.soft_masks[list(order).index(target.id)]
        after = _next_track(track, target, mask, decided, target.id in reached_out)
        is_sure = bool(target.area) and target.confidence >= config.lost_below
        tracks[target.id] = replace(after, unsure=0.0) if is_sure else after
    assert predicted.stamp_ns is not None
    return replace(
        predicted, frames=predicted.frames + 1, tracks={**predicted.tracks, **tracks},
        distractors=decided.distractors,
        looked_ns=predicted.stamp_ns if looked_whole else predicted.looked_ns)


def _next_track(track: Track, target: TargetResult, mask: Tensor, decided: Decision,
                reaches_out: bool) -> Track:
    after = track
    if target.box is not None and _is_believed(track, target, decided):
        after = track.believed(target.box, mask, target.area)
    # there may be a double of what is doubted for the first time, which would explain the doubt
    doubted = target.state != TargetState.TRACKING and track.state == TargetState.TRACKING
    return replace(after, state=target.state, confidence=target.confidence,
                   everywhere=reaches_out or doubted)


def _is_believed(track: Track, target: TargetResult, decided: Decision) -> bool:
    """Whether a track goes on from where its target is said to be, instead of coasting."""
    if target.box is None or decided.is_met(target.id):
        return False
    return (target.state == TargetState.TRACKING or track.motion is None
            or track.motion.surprise(target.box) <= GATE)
