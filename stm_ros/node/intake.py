# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The subscription of one stream: to the right topic, as its publishers offer it."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.node.declarations import COMPRESSED_IMAGE
from stm_ros.node.declarations import IMAGE
from stm_ros.node.quality import class_of
from stm_ros.node.quality import profile_of
from stm_ros.vision.errors import InputError

#: which of a subscription's policies parameters may override; reliability is handled here
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY)
_RELIABILITIES = {'reliable': ReliabilityPolicy.RELIABLE,
                  'best_effort': ReliabilityPolicy.BEST_EFFORT}
AUTO = 'auto'


@dataclass(frozen=True)
class IntakeSettings:
    """How a stream is subscribed to. transport: raw or compressed; reliability: or auto."""

    stream: str
    topic: str
    transport: str
    reliability: str


class ImageIntake:
    """Subscribes to a stream's images, reliably where all who publish them offer that."""

    def __init__(self, node: Node, settings: IntakeSettings, group: CallbackGroup,
                 on_image: Callable[[Image | CompressedImage], None],
                 on_lost: Callable[[int], None]) -> None:
        """
        Prepare; open() subscribes.

        :param on_image: called with each message. :param on_lost: with how many were lost.
        """
        self._node = node
        self._group = group
        self._on_image = on_image
        self._on_lost = on_lost
        self._subscription: Any = None
        self.stream = settings.stream
        self._declared = COMPRESSED_IMAGE if settings.transport == 'compressed' else IMAGE
        self.kind = class_of(self._declared)
        self.topic = (compressed_topic(node, settings.topic) if self.kind is CompressedImage
                      else node.resolve_topic_name(settings.topic))
        self._wanted = self._overridden() or settings.reliability
        self.reliability = (ReliabilityPolicy.BEST_EFFORT if self._wanted == AUTO
                            else _RELIABILITIES[self._wanted])

    @property
    def description(self) -> str:
        """Topic, type and reliability, in words."""
        kind = f'sensor_msgs/{self.kind.__name__}'
        matched = ', as its publishers offer' if self._wanted == AUTO else ''
        return f'{self.topic} ({kind}, {_name(self.reliability)}{matched})'

    def open(self) -> None:
        """Subscribe."""
        if self._wanted == AUTO:
            self.reliability = self._offered()
        self._subscribe()

    def close(self) -> None:
        """Subscribe no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def adapt(self) -> None:
        """Subscribe again where publishers offer something else than they did."""
        if self._subscription is None or self._wanted != AUTO:
            return
        offered = self._offered()
        if offered != self.reliability:
            self.close()
            self.reliability = offered
            self._subscribe()
            self._node.get_logger().info(
                f'stream {self.stream!r}: {self.topic} is now read {_name(offered)}, '
                'as its publishers offer')

    def _offered(self) -> ReliabilityPolicy:
        """Reliable, where there is a publisher and every one is; one that is not would be lost."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        offered = {each.qos_profile.reliability for each in publishers
                   if each.topic_type == f'sensor_msgs/msg/{self.kind.__name__}'}
        return (ReliabilityPolicy.RELIABLE if offered == {ReliabilityPolicy.RELIABLE}
                else ReliabilityPolicy.BEST_EFFORT)

    def _overridden(self) -> str:
        """What qos_overrides say of reliability; empty where they say nothing."""
        name = f'qos_overrides.{self.topic}.subscription.reliability'
        if not self._node.has_parameter(name):
            self._node.declare_parameter(name, '', ParameterDescriptor(
                read_only=True, description='reliable or best_effort; empty: image_reliability'))
        said = str(self._node.get_parameter(name).value).lower()
        if said not in ('', *_RELIABILITIES):
            raise InputError(f'{name} is {said!r}; accepted are {", ".join(_RELIABILITIES)}')
        return said

    def _subscribe(self) -> None:
        quality = profile_of(self._declared.quality)
        quality.reliability = self.reliability
        options = QoSOverridingOptions(_OVERRIDABLE)
        events = SubscriptionEventCallbacks(message_lost=self._count_lost)
        for callbacks in (events, None):
            try:
                self._subscription = self._node.create_subscription(
                    self.kind, self.topic, self._on_image, quality, callback_group=self._group,
                    event_callbacks=callbacks, qos_overriding_options=options)
                return
            except UnsupportedEventTypeError:
                # another middleware; without the event nobody counts what is lost
                continue

    def _count_lost(self, event: Any) -> None:
        self._on_lost(event.total_count_change)


def compressed_topic(node: Node, image_topic: str, transport: str = 'compressed') -> str:
    """
    Where the compressed images of a topic are: beside it, wherever that is remapped to.

    A remapping of <image>/<transport> itself counts more.
    """
    beside = f'{image_topic}/{transport}'
    resolved = node.resolve_topic_name(beside)
    if resolved != node.resolve_topic_name(beside, only_expand=True):
        return resolved
    return f'{node.resolve_topic_name(image_topic)}/{transport}'


def _name(reliability: ReliabilityPolicy) -> str:
    return 'reliable' if reliability == ReliabilityPolicy.RELIABLE else 'best effort'
