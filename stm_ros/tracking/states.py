# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From confidence to states: two thresholds."""
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.targets import TargetState


def next_state(state: TargetState, confidence: float, area: int, config: TrackerConfig
               ) -> TargetState:
    """The state after a frame with this confidence and mask area in pixels.

    It falls as soon as confidence does, and rises again only past the threshold by the hysteresis,
    wherever the target is: LOST is left as UNCERTAIN is.
    """
    if not area:
        return TargetState.LOST
    uncertain, lost = config.uncertain_below, config.lost_below
    if state != TargetState.TRACKING:
        uncertain += config.hysteresis
    if state == TargetState.LOST:
        lost += config.hysteresis
    if confidence >= uncertain:
        return TargetState.TRACKING
    return TargetState.UNCERTAIN if confidence >= lost else TargetState.LOST
