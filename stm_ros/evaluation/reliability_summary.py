# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Clips' scores summed up: each case, the goals, and how sure a share is."""
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from statistics import fmean

from stm_ros.evaluation.reliability import FOUND_WITHIN
from stm_ros.evaluation.reliability import LOST_WITHIN
from stm_ros.evaluation.reliability import ClipScore
from stm_ros.evaluation.uncertainty import Interval
from stm_ros.evaluation.uncertainty import pooled_interval
from stm_ros.evaluation.uncertainty import wilson_interval

MOST_FALSE = 0.02
MOST_MISSED = 0.02
LEAST_GOOD_CLIPS = 0.9
#: the case whose clips are judged by whether the target is kept
TURNING_CASE = 'unseen_sides'


@dataclass(frozen=True)
class Share:
    """A share, 0 to 1, and its 95 % interval: of clips, or of frames with clips drawn anew."""

    value: float
    interval: Interval


def share_of_clips(flags: Sequence[bool]) -> Share | None:
    """Return the share of clips that are so, with Wilson's interval; None for no clip."""
    if not flags:
        return None
    return Share(fmean(flags), wilson_interval(sum(flags), len(flags)))


def share_of_frames(parts: Sequence[tuple[float, int]]) -> Share | None:
    """Return the share of frames of all clips, of each of which (counted, of) is given."""
    total = sum(of for _, of in parts)
    if total == 0:
        return None
    return Share(sum(counted for counted, _ in parts) / total, pooled_interval(parts))


@dataclass(frozen=True)
class _Shares:
    """What is measured on some clips; None where they have nothing to measure it on."""

    lost_in_time: Share | None
    false: Share | None
    all_false: Share | None
    found: Share | None
    no_switch: Share | None
    doubled: Share | None
    missed: Share | None
    kept: Share | None
    wrong: Share | None


def _shares_of(scores: Sequence[ClipScore]) -> _Shares:
    lost = [score.lost_after for score in scores if score.lost_after is not None]
    found = [score.found_after for score in scores if score.found_after is not None]
    return _Shares(
        share_of_clips([frames <= LOST_WITHIN for frames in lost]),
        share_of_frames([(score.false_detections, score.judged_absent) for score in scores]),
        share_of_frames([(score.all_false_detections, score.absent) for score in scores]),
        share_of_clips([frames <= FOUND_WITHIN for frames in found]),
        share_of_clips([score.switched_frames == 0 for score in scores if score.apart_frames]),
        share_of_frames([(score.doubled_frames, score.apart_frames) for score in scores]),
        share_of_frames([((score.missed or 0.0) * score.visible, score.visible)
                         for score in scores]),
        share_of_clips([score.kept for score in scores if score.kept is not None]),
        share_of_frames([(score.wrong * score.frames, score.frames) for score in scores]))


@dataclass(frozen=True)
class CaseSummary:
    """One case over its clips; None where it has nothing to measure.

    lost_after, found_after: the slowest clip's. lost_share, found_share: of clips within five
    frames. kept_share: of clips without a switched frame. followed_share: of clips kept to the
    end, see `ClipScore.kept`. mean_iou: over clips. The rest are of frames. intervals: of the
    shares by their names, 95 %.
    """

    case: str
    clips: int
    lost_after: int | None
    lost_share: float | None
    false_share: float | None
    all_false_share: float | None
    found_after: int | None
    found_share: float | None
    kept_share: float | None
    doubled_share: float | None
    mean_iou: float | None
    missed: float | None
    followed_share: float | None
    wrong: float
    intervals: dict[str, Interval] = field(default_factory=dict)


def summarise_case(case: str, scores: Sequence[ClipScore]) -> CaseSummary:
    """Summarise the clips of a case, of which there is at least one."""
    lost = [score.lost_after for score in scores if score.lost_after is not None]
    found = [score.found_after for score in scores if score.found_after is not None]
    ious = [score.mean_iou for score in scores if score.mean_iou is not None]
    shares = _shares_of(scores)
    named = {'lost_share': shares.lost_in_time, 'false_share': shares.false,
             'all_false_share': shares.all_false, 'found_share': shares.found,
             'kept_share': shares.no_switch, 'doubled_share': shares.doubled,
             'missed': shares.missed, 'followed_share': shares.kept, 'wrong': shares.wrong}
    values = {name: None if share is None else share.value for name, share in named.items()}
    return CaseSummary(
        case, len(scores), max(lost, default=None), values['lost_share'], values['false_share'],
        values['all_false_share'], max(found, default=None), values['found_share'],
        values['kept_share'], values['doubled_share'], fmean(ious) if ious else None,
        values['missed'], values['followed_share'], values['wrong'] or 0.0,
        {name: share.interval for name, share in named.items() if share is not None})


@dataclass(frozen=True)
class Goal:
    """What is wanted, what came out, whether that is enough, how sure; None if not measured."""

    name: str
    wanted: str
    measured: float | None
    is_met: bool | None
    interval: Interval | None = None


def judge_goals(scores: Sequence[ClipScore], turning: Sequence[ClipScore] = ()) -> list[Goal]:
    """
    Judge the goals over the clips of all cases together.

    :param turning: those of them whose target turns to sides that were never shown.
    """
    lost = [score.lost_after for score in scores if score.lost_after is not None]
    slowest = max(lost, default=None)
    shares = _shares_of(scores)
    most, least = f'under {100 * MOST_FALSE:.0f} %', f'at least {100 * LEAST_GOOD_CLIPS:.0f} %'

    def is_frequent(value: float) -> bool:
        return value >= LEAST_GOOD_CLIPS

    return [
        Goal('frames to declare lost, slowest clip', f'at most {LOST_WITHIN}', slowest,
             None if slowest is None else slowest <= LOST_WITHIN),
        _goal(f'false detections while absent, after {LOST_WITHIN} frames', most, shares.false,
              lambda value: value < MOST_FALSE),
        _goal(f'clips in which it is found within {FOUND_WITHIN} frames', least, shares.found,
              is_frequent),
        _goal('look-alike clips without an identity switch', least, shares.no_switch,
              is_frequent),
        _goal('LOST while a quarter of it or more is visible',
              f'at most {100 * MOST_MISSED:.0f} %', shares.missed,
              lambda value: value <= MOST_MISSED),
        _goal('clips kept while it turns to sides never shown', least, _shares_of(turning).kept,
              is_frequent)]


def _goal(name: str, wanted: str, share: Share | None,
          is_enough: Callable[[float], bool]) -> Goal:
    if share is None:
        return Goal(name, wanted, None, None)
    return Goal(name, wanted, share.value, is_enough(share.value), share.interval)
