# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Listens to a camera topic for a while and prints what it saw as a line of JSON.

`python -m stm_ros.node.topic_probe TOPIC SECONDS`; `stm doctor --topic` runs it in a process of its
own.
"""
from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.node.conversion import image_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.vision.errors import InputError

#: who is missed when this starts is heard of at the next announcement, every 3 s with Fast DDS
DISCOVERY_SECONDS = 5.0
MOST_AGES = 1000
TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
PREFIX = 'TOPIC '


@dataclass
class TopicReport:
    """
    What was seen of a topic.

    publishers: node, type, reliability and durability of each. image_topics: the names of all
    topics of image types. received, lost: messages in `seconds`. stamps: how many had one.
    age: seconds between the stamp of a message and its arrival, the median; None without stamps.
    refused: why an image cannot be decoded.
    """

    topic: str
    publishers: list[dict[str, str]] = field(default_factory=list)
    image_topics: list[str] = field(default_factory=list)
    received: int = 0
    lost: int = 0
    stamps: int = 0
    age: float | None = None
    seconds: float = 0.0
    encoding: str = ''
    size: tuple[int, int] = (0, 0)
    bytes: int = 0
    refused: str = ''


class Probe:
    """Subscribes to a topic as the node does: best effort."""

    def __init__(self, node: Node, topic: str) -> None:
        """Take a node of its own, and the topic's name as a person types it."""
        self._node = node
        self.report = TopicReport(node.resolve_topic_name(topic))
        self._ages: list[float] = []
        self._last_arrival = 0.0
        self._first_arrival = 0.0

    def discover(self) -> None:
        """Look who publishes what."""
        report = self.report
        report.publishers = [
            {'node': f'{info.node_namespace.rstrip("/")}/{info.node_name}',
             'type': info.topic_type, 'reliability': info.qos_profile.reliability.name,
             'durability': info.qos_profile.durability.name}
            for info in self._node.get_publishers_info_by_topic(report.topic)]
        report.image_topics = sorted(
            name for name, types in self._node.get_topic_names_and_types()
            if set(types) & set(TYPES) and self._node.count_publishers(name))

    def kind(self) -> type[Any] | None:
        """The message class to subscribe with, None where nobody publishes images."""
        for publisher in self.report.publishers:
            if publisher['type'] in TYPES:
                return TYPES[publisher['type']]
        return None

    def subscribe(self, kind: type[Any]) -> None:
        """Start counting."""
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(
            kind, self.report.topic, self._receive, quality,
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._lose))

    def _receive(self, message: Any) -> None:
        report = self.report
        self._last_arrival = time.monotonic()
        if not report.received:
            self._first_arrival = self._last_arrival
            self._describe(message)
        report.received += 1
        stamp = nanoseconds(message.header.stamp)
        report.stamps += stamp != 0
        if stamp and len(self._ages) < MOST_AGES:
            self._ages.append((self._node.get_clock().now().nanoseconds - stamp) / 1e9)

    def _describe(self, message: Any) -> None:
        report = self.report
        report.encoding = getattr(message, 'encoding', None) or message.format
        report.bytes = len(message.data)
        try:
            height, width = image_of(message).shape[:2]
        except InputError as error:
            report.refused = str(error)
        else:
            report.size = (width, height)

    def _lose(self, event: Any) -> None:
        self.report.lost += event.total_count_change

    def finish(self) -> TopicReport:
        """The report, with what follows from all messages."""
        if self._ages:
            self.report.age = sorted(self._ages)[len(self._ages) // 2]
        self.report.seconds = self._last_arrival - self._first_arrival
        return self.report


def probe(topic: str, seconds: float) -> TopicReport:
    """Listen to `topic` for `seconds`, after at most DISCOVERY_SECONDS to find who publishes."""
    rclpy.init()
    node = rclpy.create_node('stm_doctor')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    found = Probe(node, topic)
    deadline = time.monotonic() + DISCOVERY_SECONDS
    while time.monotonic() < deadline and found.kind() is None:
        executor.spin_once(timeout_sec=0.1)
        found.discover()
    kind = found.kind()
    if kind is not None:
        found.subscribe(kind)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        found.discover()
    report = found.finish()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return report


def main() -> int:
    """Print the report of the topic that the command line names."""
    print(PREFIX + json.dumps(asdict(probe(sys.argv[1], float(sys.argv[2])))), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
