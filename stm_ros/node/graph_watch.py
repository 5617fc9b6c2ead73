# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Why no image comes, as far as the graph shows: topic, publishers, their types and QoS."""
from difflib import get_close_matches

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from stm_ros.node.intake import ImageIntake

_IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_MOST_NAMED = 6


def why_no_image(node: Node, intake: ImageIntake) -> str:
    """What is subscribed to, who publishes there, and what does not fit, in a line."""
    publishers = node.get_publishers_info_by_topic(intake.topic)
    if not publishers:
        return f'{intake.description}: nobody publishes there{_others(node, intake)}'
    who = '; '.join(_publisher(each) for each in publishers[:_MOST_NAMED])
    return f'{intake.description}, published by {who}: {_mismatch(publishers, intake)}'


def _mismatch(publishers: list[TopicEndpointInfo], intake: ImageIntake) -> str:
    wanted = f'sensor_msgs/msg/{intake.kind.__name__}'
    if all(each.topic_type != wanted for each in publishers):
        return f'another type than {wanted}; see image_transport'
    reliable = intake.reliability == ReliabilityPolicy.RELIABLE
    if reliable and all(each.qos_profile.reliability != ReliabilityPolicy.RELIABLE
                        for each in publishers):
        return 'not reliable, as is asked for; set image_reliability to auto or best_effort'
    return 'they fit, and send nothing, or all of it is lost on the way'


def _publisher(info: TopicEndpointInfo) -> str:
    name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
    reliability = ('reliable' if info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
                   else 'best effort')
    durability = ('transient local'
                  if info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                  else 'volatile')
    return f'{name} ({info.topic_type}, {reliability}, {durability})'


def _others(node: Node, intake: ImageIntake) -> str:
    """The image topics that there are, those with a similar name first."""
    own = f'{node.get_fully_qualified_name()}/'
    topics = {name: types[0] for name, types in node.get_topic_names_and_types()
              if types[0] in _IMAGE_TYPES and not name.startswith(own) and name != intake.topic
              and node.count_publishers(name)}
    if not topics:
        return ', and there is no other image topic'
    near = get_close_matches(intake.topic, topics, _MOST_NAMED, 0.3)
    named = [*near, *sorted(set(topics) - set(near))][:_MOST_NAMED]
    return f'; image topics are {", ".join(f"{name} ({topics[name]})" for name in named)}'


def clock_trouble(node: Node) -> str:
    """Whether time is simulated and nobody says what time it is; empty where all is well."""
    simulated = (node.has_parameter('use_sim_time')
                 and bool(node.get_parameter('use_sim_time').value))
    if simulated and node.get_clock().now().nanoseconds == 0:
        return 'use_sim_time is true and nothing has come on /clock: latencies mean nothing'
    return ''


def name_trouble(node: Node) -> str:
    """Whether another node has the same name; empty where none has."""
    own = (node.get_name(), node.get_namespace())
    if node.get_node_names_and_namespaces().count(own) > 1:
        return (f'another node is named {node.get_fully_qualified_name()}: services and topics '
                'are shared with it; give one of them another name or namespace')
    return ''


def unknown_overrides(node: Node) -> list[str]:
    """Parameters that were given for this node and that it does not have, with what is near."""
    # rclpy keeps them there, and has no public way to ask
    given = getattr(node, '_parameter_overrides', {})
    known = [name for name in node._parameters] if hasattr(node, '_parameters') else []
    said = []
    for name in sorted(given):
        if not node.has_parameter(name):
            near = get_close_matches(name, known, 1, 0.6)
            said.append(f'{name} (did you mean {near[0]}?)' if near else name)
    return said
