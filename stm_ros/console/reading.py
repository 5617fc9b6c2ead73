# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From the node's messages to plain data."""
from types import MappingProxyType
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from stm_ros.console.snapshots import STATES
from stm_ros.console.snapshots import ContextView
from stm_ros.console.snapshots import EvidenceView
from stm_ros.console.snapshots import MemoryView
from stm_ros.console.snapshots import SlotView
from stm_ros.console.snapshots import TargetView
from stm_ros.msg import MemoryReadout
from stm_ros.msg import TargetArray
from stm_ros.msg import TargetContext
from stm_ros.node.conversion import nanoseconds

_LEVELS = ('OK', 'WARN', 'ERROR', 'STALE')


def read_targets(message: TargetArray) -> tuple[TargetView, ...]:
    """All targets of a frame."""
    return tuple(TargetView(each.id, each.label, _state(each.state), each.confidence,
                            _box(each.box), each.area) for each in message.targets)


def read_memory(message: MemoryReadout) -> MemoryView:
    """The slots and each target's attention on them."""
    slots = tuple(SlotView(nanoseconds(slot.header.stamp), slot.stream, slot.kind,
                           slot.confidence, slot.usage) for slot in message.slots)
    attention = {each.id: tuple(each.attention) for each in message.targets}
    return MemoryView(nanoseconds(message.header.stamp), slots, MappingProxyType(attention))


def read_context(message: TargetContext) -> ContextView:
    """A target's crop now and its evidence."""
    evidence = tuple(EvidenceView(nanoseconds(each.header.stamp), each.stream, each.kind,
                                  each.weight, bytes(each.crop.data))
                     for each in message.evidence)
    crop = bytes(message.crop[0].data) if message.crop else b''
    return ContextView(nanoseconds(message.header.stamp), _state(message.state),
                       message.sentence, crop, evidence)


def read_diagnostics(message: DiagnosticArray, tracker: str) -> dict[str, dict[str, str]]:
    """What `tracker` says of itself, by the end of each status' name: memory, stream camera."""
    found = {}
    for status in message.status:
        owner, _, subject = status.name.rpartition(': ')
        if owner == tracker:
            # rclpy gives a byte field as bytes
            level = _LEVELS[min(ord(status.level), len(_LEVELS) - 1)]
            values = {pair.key: pair.value for pair in status.values}
            found[subject] = {'level': level, 'message': status.message, **values}
    return found


def _state(value: int) -> str:
    return STATES[value] if value < len(STATES) else 'LOST'


def _box(boxes: Any) -> tuple[float, float, float, float] | None:
    if not boxes:
        return None
    box = boxes[0]
    return box.x_min, box.y_min, box.width, box.height
