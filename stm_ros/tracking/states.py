# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From confidence to states: two thresholds, and how long it must be below the lower one."""
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track


def next_state(track: Track, confidence: float, area: int, config: TrackerConfig) -> TargetState:
    """The state of a track after a frame with this confidence and mask area in pixels.

    A target whose mask has been in doubt for less than `doubt_seconds` is UNCERTAIN: what moves or
    turns quickly is soon recognised again. States rise only past a threshold by the hysteresis,
    wherever the target is: LOST is left as UNCERTAIN is.
    """
    if not area:
        return TargetState.LOST
    uncertain, lost = config.uncertain_below, config.lost_below
    if track.state != TargetState.TRACKING:
        uncertain += config.hysteresis
    if track.state == TargetState.LOST:
        lost += config.hysteresis
    if confidence >= uncertain:
        return TargetState.TRACKING
    is_held = track.state != TargetState.LOST and track.unsure <= config.doubt_seconds
    return TargetState.UNCERTAIN if confidence >= lost or is_held else TargetState.LOST
