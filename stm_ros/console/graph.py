# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the ROS graph says of a tracker: where it is, what it listens to, who publishes that."""
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

from stm_ros.console.snapshots import Fault

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
TARGETS_TYPE = 'stm_ros/msg/TargetArray'
_MAX_LISTED = 6


@dataclass(frozen=True)
class ImageSource:
    """The image topic that the tracker reads for a stream, as it is after remapping."""

    topic: str
    kind: str


def split_name(full_name: str) -> tuple[str, str]:
    """A node's name and its namespace."""
    namespace, _, name = full_name.rpartition('/')
    return name, namespace or '/'


def is_present(node: Node, tracker: str) -> bool:
    """Whether a node of that full name is in the graph."""
    return split_name(tracker) in node.get_node_names_and_namespaces()


def find_trackers(node: Node) -> list[str]:
    """Full names of the nodes that publish targets, sorted."""
    found = set()
    for topic, kinds in node.get_topic_names_and_types():
        if TARGETS_TYPE in kinds:
            for end in node.get_publishers_info_by_topic(topic):
                found.add(_full_name(end))
    return sorted(found)


def find_sources(node: Node, tracker: str, streams: Sequence[str]) -> dict[str, ImageSource]:
    """The image topics that the tracker subscribes to, by stream; none while it is inactive.

    With several streams a topic belongs to the stream that it is named after; one that was
    remapped to something else is found by elimination where a single one is left.
    """
    name, namespace = split_name(tracker)
    try:
        listed = node.get_subscriber_names_and_types_by_node(name, namespace)
    except RuntimeError:
        return {}
    left = [ImageSource(topic, kind) for topic, kinds in listed for kind in kinds
            if kind in IMAGE_TYPES]
    if len(streams) == 1:
        return {streams[0]: left[0]} if left else {}
    found = {}
    for stream in streams:
        named = [each for each in left
                 if each.topic.removesuffix('/compressed').endswith(f'/{stream}/image')]
        if named:
            found[stream] = named[0]
            left.remove(named[0])
    missing = [stream for stream in streams if stream not in found]
    if len(missing) == len(left) == 1:
        found[missing[0]] = left[0]
    return found


def is_offered_reliably(node: Node, topic: str) -> bool:
    """Whether there are publishers and all of them are reliable."""
    ends = node.get_publishers_info_by_topic(topic)
    return bool(ends) and all(
        end.qos_profile.reliability == ReliabilityPolicy.RELIABLE for end in ends)


def no_tracker(wanted: str, others: Sequence[str]) -> Fault:
    """The tracker is not in the graph."""
    lines = [f'Nothing of the name {wanted} answers in ROS domain '
             f'{os.environ.get("ROS_DOMAIN_ID", "0")}.']
    if others:
        lines.append(f'There are {", ".join(others)}: stm console --node {others[0]}')
    else:
        lines.append('Start it with stm_tracker, or with ros2 launch stm_ros stm.launch.py.')
    return Fault('No tracker', tuple(lines))


def not_active(tracker: str) -> Fault:
    """The tracker is there and reads no image."""
    return Fault('The tracker is not active', (
        f'{tracker} subscribes to no image.',
        f'Activate it: ros2 lifecycle set {tracker} activate'))


def no_image(node: Node, tracker: str, source: ImageSource, silence: float | None) -> Fault:
    """No image comes: the topic, its type, what is asked for and what is offered."""
    title = ('No image has come yet' if silence is None
             else f'No image for {silence:.0f} s')
    wanted = [end for end in node.get_subscriptions_info_by_topic(source.topic)
              if _full_name(end) == tracker]
    asked = describe_quality(wanted[0].qos_profile) if wanted else 'unknown'
    lines = [f'Topic {source.topic}', f'Type {source.kind}', f'The node asks for {asked}.']
    offers = node.get_publishers_info_by_topic(source.topic)
    if not offers:
        lines.append('Nobody publishes there. Is the camera running, is the topic right?')
    for end in offers[:_MAX_LISTED]:
        lines.append(f'{_full_name(end)} offers {describe_quality(end.qos_profile)}'
                     + _objection(source, wanted, end) + '.')
    return Fault(title, tuple(lines))


def describe_quality(quality: QoSProfile) -> str:
    """A QoS profile in words; the depth is left out where discovery does not tell it."""
    words = [quality.reliability.name.lower().replace('_', ' '),
             quality.durability.name.lower().replace('_', ' ')]
    if quality.depth:
        words.append(f'depth {quality.depth}')
    return ', '.join(words)


def _objection(source: ImageSource, wanted: Sequence[Any], end: Any) -> str:
    if end.topic_type != source.kind:
        return f', but as {end.topic_type}, another type'
    asks_reliable = any(each.qos_profile.reliability == ReliabilityPolicy.RELIABLE
                        for each in wanted)
    if asks_reliable and end.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
        return ', which a reliable subscription refuses'
    return ', and sends nothing'


def _full_name(end: Any) -> str:
    return f'{end.node_namespace.rstrip("/")}/{end.node_name}'
