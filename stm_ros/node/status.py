# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the worker's thread says of the tracker; other threads read this and nothing else of it."""
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType

from stm_ros.tracking import Result
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking.recovery import Recovery


@dataclass(frozen=True)
class TrackerStatus:
    """
    A tracker after a frame or a request; nothing in it changes.

    states: by stream, of each target in the last frame answered there. reductions: what was given
    up for lack of device memory, oldest first. notes: what else changed by itself.
    """

    network: str
    device: str
    precision: str
    slots_used: int
    slots: int
    memory_bytes: int
    targets: int
    target_room: int
    time_jumps: int
    late_frames: int
    reductions: tuple[str, ...]
    notes: tuple[str, ...]
    states: Mapping[str, Mapping[int, TargetState]] = field(default_factory=dict)


def status_of(tracker: Tracker, recovery: Recovery, before: TrackerStatus | None = None,
              result: Result | None = None) -> TrackerStatus:
    """
    Look at a tracker; only on the thread that uses it.

    :param before: the status that this one follows, whose states go on.
    :param result: of the frame just answered, where there is one.
    """
    bank = tracker.bank
    states: dict[str, Mapping[int, TargetState]] = {} if before is None else dict(before.states)
    if result is not None:
        states[result.stream] = {target.id: target.state for target in result.targets}
    known = {stream: MappingProxyType({target: state for target, state in held.items()
                                       if target in tracker.labels})
             for stream, held in states.items()}
    return TrackerStatus(
        tracker.network.name, str(tracker.device),
        tracker.precision,
        sum(slot is not None for slot in bank.slots), bank.layout.slots, bank.layout.bytes,
        len(tracker.labels), bank.layout.targets, tracker.time_jumps,
        tracker.late_frames,
        tuple(recovery.reductions), tuple(tracker.notes), MappingProxyType(known))
