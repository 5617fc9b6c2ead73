# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From what the network saw to what is said of each target: mask, state, confidence, box."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.engine import Prediction
from stm_ros.tracking.look_alikes import MOST_SHARED
from stm_ros.tracking.streams import StreamState
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.targets import doubtful
from stm_ros.tracking.targets import next_state
from stm_ros.vision.boxes import box_of_mask


class Assessment(NamedTuple):
    """Label map H×W uint8, without lost targets, and what is said of each target, by id.

    taken: H×W uint8, the ids of targets whose pixels belong to a look-alike. given: H×W uint8, the
    ids of targets that got such pixels, since the look-alike is a target itself.
    """

    label_map: np.ndarray
    targets: tuple[TargetResult, ...]
    taken: np.ndarray
    given: np.ndarray


def assess(state: StreamState, order: Sequence[int], labels: dict[int, str],
           prediction: Prediction, config: TrackerConfig, follows: bool) -> Assessment:
    """Judge each target of a prediction, going on from `state`, whose states and look-alikes it
    changes.

    :param order: the targets' ids, in the prediction's order.
    :param follows: whether look-alikes are told apart.
    """
    label_map = np.array([0, *order], np.uint8)[prediction.channels]
    taken, given = np.zeros_like(label_map), np.zeros_like(label_map)
    shared = dict.fromkeys(order, 0.0)
    for target in order if follows else ():
        found = label_map == target
        own, shared[target] = state.tell_apart(target, found,
                                               prediction.alike[order.index(target)])
        if own is not found:
            taken[found & ~own] = target
    label_map[taken > 0] = 0
    if len(order) > 1 and taken.any():
        given = state.owners(order, taken)
        label_map[given > 0] = given[given > 0]
    results = []
    for target in sorted(order):
        mask = label_map == target
        place = order.index(target)
        result = _judge(state, target, labels[target], mask, shared[target],
                        prediction.confidence[place], prediction.is_calibrated, config)
        state.states[target] = result.state
        if result.state == TargetState.LOST:
            label_map[mask] = 0
        results.append(result)
    return Assessment(label_map, tuple(results), taken, given)


def _judge(state: StreamState, target: int, label: str, mask: np.ndarray, shared: float,
           confidence: float, is_calibrated: bool, config: TrackerConfig) -> TargetResult:
    """What is said of a target with a mask H×W bool; shared: see StreamState.tell_apart."""
    before = state.state_of(target)
    area = int(np.count_nonzero(mask))
    box = box_of_mask(mask)
    # where two have met, so much of what is seen may be the other
    confidence = confidence * (1 - shared) if area else 0.0
    if shared > MOST_SHARED:
        after = doubtful(before, area)
    else:
        after = next_state(before, confidence, area, state.expects(target, box), config)
        if (after == TargetState.LOST and box is not None
                and state.is_only_confused(target, box)):
            after = doubtful(before, area)
    if after == TargetState.LOST:
        box, area = None, 0
    return TargetResult(target, label, after, confidence, is_calibrated, box, area)
