# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From declarations to ROS's own: message classes, QoS profiles, publishers."""
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSPolicyKind
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from stm_ros.node.declarations import RELIABLE
from stm_ros.node.declarations import Quality
from stm_ros.node.declarations import Service
from stm_ros.node.declarations import Topic

#: which policies parameters may override
OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
               QoSPolicyKind.DURABILITY)


def class_of(declared: Topic | Service) -> type:
    """The message's or service's class; ImportError where its package is not installed."""
    package, _, name = declared.kind.partition('/')
    part = 'srv' if isinstance(declared, Service) else 'msg'
    found: type = getattr(import_module(f'{package}.{part}'), name)
    return found


def is_installed(topic: Topic) -> bool:
    """Whether there is a topic's message here."""
    try:
        class_of(topic)
    except (ImportError, AttributeError):
        # AttributeError: of an older release, without this message
        return False
    return True


def unpublished(topics: Iterable[Topic]) -> str:
    """Which of some outputs are not there, and what would have to be installed; '' for none."""
    absent: dict[str, list[str]] = {}
    for topic in topics:
        if not is_installed(topic):
            name = topic.name if topic.name.startswith('/') else f'~/{topic.name}'
            absent.setdefault(topic.needs, []).append(name)
    return '; '.join(
        f'{", ".join(names)}: {needs} is not installed (ros-$ROS_DISTRO-{needs.replace("_", "-")})'
        for needs, names in absent.items())


def profile_of(quality: Quality) -> QoSProfile:
    """The profile; best effort where it is as publishers offer."""
    return QoSProfile(
        depth=quality.depth,
        reliability=(ReliabilityPolicy.RELIABLE if quality.reliability == RELIABLE
                     else ReliabilityPolicy.BEST_EFFORT),
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if quality.is_latched
                    else DurabilityPolicy.VOLATILE))


def overridable() -> QoSOverridingOptions:
    """What lets `qos_overrides` parameters change a topic's quality."""
    return QoSOverridingOptions(OVERRIDABLE)


def lifecycle_publisher(node: LifecycleNode, topic: Topic, prefix: str) -> Any:
    """A publisher of an output; `prefix` such as '~/' or '~/wrist/', unless its name is whole."""
    name = topic.name if topic.name.startswith('/') else f'{prefix}{topic.name}'
    return node.create_lifecycle_publisher(class_of(topic), name, profile_of(topic.quality),
                                           qos_overriding_options=overridable())
