# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the node finds out about itself and its streams every second, and says in /diagnostics."""
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.lifecycle import LifecycleNode

from stm_ros.node.declarations import DIAGNOSTICS
from stm_ros.node.diagnostics import INACTIVE
from stm_ros.node.diagnostics import StreamReport
from stm_ros.node.diagnostics import diagnostics_message
from stm_ros.node.graph_watch import clock_trouble
from stm_ros.node.graph_watch import name_trouble
from stm_ros.node.intake import ImageIntake
from stm_ros.node.quality import class_of
from stm_ros.node.quality import overridable
from stm_ros.node.quality import profile_of
from stm_ros.node.status import TrackerStatus
from stm_ros.node.streams import CameraStream
from stm_ros.node.watch import StreamWatch
from stm_ros.node.watch import remedy_for_losses

_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Vitals:
    """
    What the node says of itself.

    resting: why no image is looked at on purpose, empty where they are. autosave: why the last
    one failed, empty where it did not. depth: what diagnostics say of the depth of a stream.
    """

    status: TrackerStatus
    streams: tuple[CameraStream, ...]
    resting: str
    autosave: str
    depth: Callable[[str], Mapping[str, str]]


class NodeHealth:
    """Watches streams, clock and name, and publishes diagnostics, by wall time."""

    def __init__(self, node: LifecycleNode, vitals: Callable[[], Vitals | None]) -> None:
        """
        Watch from now on.

        :param vitals: of now; None where the node is not configured.
        """
        self._node = node
        self._vitals = vitals
        self._watches: dict[str, StreamWatch] = {}
        self._troubles: tuple[str, ...] = ()
        self._unpublished = ''
        self._publisher: Any = None
        self._timer: Any = None
        # of wall time: without /clock, a simulated clock would keep silent about itself
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._group = MutuallyExclusiveCallbackGroup()
        self.on_every_second(self._look)

    def on_every_second(self, action: Callable[[], None]) -> None:
        """Do something every second of wall time, never while the others do."""
        self._node.create_timer(_WATCH_SECONDS, action, self._group, self._steady)

    @property
    def is_listening(self) -> bool:
        """Whether streams are subscribed to."""
        return bool(self._watches)

    @property
    def topics(self) -> str:
        """What is read, in words."""
        return ', '.join(watch.intake.description for watch in self._watches.values())

    def configure(self, period: float, unpublished: str) -> None:
        """Publish diagnostics every `period` seconds; what is `unpublished` is told there."""
        self._unpublished = unpublished
        self._publisher = self._node.create_publisher(
            class_of(DIAGNOSTICS), DIAGNOSTICS.name, profile_of(DIAGNOSTICS.quality),
            qos_overriding_options=overridable())
        self._timer = self._node.create_timer(period, self._publish, self._group, self._steady)

    def release(self) -> None:
        """Publish no more."""
        publisher, timer, self._publisher, self._timer = self._publisher, self._timer, None, None
        if publisher is not None:
            self._node.destroy_timer(timer)
            self._node.destroy_publisher(publisher)

    def listen(self, intake: ImageIntake, stream: CameraStream) -> None:
        """Open a stream's subscription, and watch it."""
        intake.open()
        self._watches[stream.name] = StreamWatch(self._node, intake, stream)

    def stop_listening(self) -> None:
        """Close what is subscribed to."""
        while self._watches:
            self._watches.popitem()[1].intake.close()

    def _look(self) -> None:
        vitals = self._vitals()
        if vitals is None:
            return
        for watch in list(self._watches.values()):
            watch.look(vitals.status.targets, torch.get_num_threads())
        troubles = (name_trouble(self._node), clock_trouble(self._node),
                    f'autosave failed: {vitals.autosave}' if vitals.autosave else '')
        for trouble in troubles:
            if trouble and trouble not in self._troubles:
                self._node.get_logger().warning(trouble)
        self._troubles = troubles

    def _publish(self) -> None:
        vitals, publisher = self._vitals(), self._publisher
        if vitals is None or publisher is None:
            return
        publisher.publish(diagnostics_message(
            self._node.get_clock().now(), self._node.get_fully_qualified_name(), vitals.status,
            [self._report(stream, vitals) for stream in vitals.streams], self._troubles,
            self._unpublished))

    def _report(self, stream: CameraStream, vitals: Vitals) -> StreamReport:
        watch = self._watches.get(stream.name)
        if watch is None:
            return StreamReport(stream.name, stream.figures(), INACTIVE)
        return StreamReport(stream.name, stream.figures(), vitals.resting,
                            watch.intake.description, watch.missing, watch.slow,
                            remedy_for_losses(), vitals.depth(stream.name))
