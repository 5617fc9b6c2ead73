# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The outputs of one stream. What nobody subscribes to is not computed."""
import time
from typing import Any

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import jpeg_message
from stm_ros.node.declarations import DEPTH_OUTPUTS
from stm_ros.node.declarations import LABEL_INFO
from stm_ros.node.declarations import STREAM_OUTPUTS
from stm_ros.node.declarations import TRANSFORMS
from stm_ros.node.label_info import LabelInfoPublisher
from stm_ros.node.messages import context_message
from stm_ros.node.messages import detections_message
from stm_ros.node.messages import features_message
from stm_ros.node.messages import memory_message
from stm_ros.node.messages import targets_message
from stm_ros.node.quality import class_of
from stm_ros.node.quality import is_installed
from stm_ros.node.quality import lifecycle_publisher
from stm_ros.node.quality import unpublished
from stm_ros.tracking import Result
from stm_ros.vision.overlay import contact_sheet
from stm_ros.vision.overlay import draw_overlay
from stm_ros.vision.overlay import heat_map

_TILE = 160


def output_kinds() -> dict[str, type]:
    """The types of a stream's outputs by name, detections where vision_msgs is installed."""
    return {topic.name: class_of(topic) for topic in STREAM_OUTPUTS if is_installed(topic)}


def unpublished_outputs(with_depth: bool, with_transforms: bool) -> str:
    """Which outputs are not published for lack of a package, in words; empty where all are."""
    return unpublished((*STREAM_OUTPUTS, LABEL_INFO, *(DEPTH_OUTPUTS if with_depth else ()),
                        *((TRANSFORMS,) if with_depth and with_transforms else ())))


class StreamPublishers:
    """Publishers of one stream under `~/` or `~/<stream>/`."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """Create the publishers.

        :param prefix: of the topics, such as '~/' or '~/wrist/'.
        """
        self._node = node
        self._labels = LabelInfoPublisher(node, prefix) if is_installed(LABEL_INFO) else None
        self._publishers: dict[str, Any] = {
            topic.name: lifecycle_publisher(node, topic, prefix)
            for topic in STREAM_OUTPUTS if is_installed(topic)}
        self._context_times: dict[int, float] = {}

    def destroy(self) -> None:
        """Take the publishers out of the node."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
        if self._labels is not None:
            self._labels.destroy()
            self._labels = None

    def wanted(self, name: str) -> bool:
        """Whether anybody subscribes to an output."""
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish(self, header: Header, image: np.ndarray, result: Result, context_period: float,
                evidence: int) -> None:
        """Publish a frame's answer, the mask first.

        :param image: H×W×3 uint8 RGB, the source image.
        :param context_period: least seconds between two context messages of a target.
        :param evidence: crops in a context message.
        """
        if self.wanted('mask'):
            self._send('mask', image_message(header, result.label_map, 'mono8'))
        if self.wanted('targets'):
            self._send('targets', targets_message(header, result))
        if self._labels is not None:
            self._labels.update(header, result.targets)
        if self.wanted('detections'):
            self._send('detections', detections_message(header, result.targets))
        if self.wanted('memory'):
            self._send('memory', memory_message(header, result))
        if self.wanted('features') and result.targets:
            self._send('features', features_message(header, result.stream, result.readout()))
        if self.wanted('context'):
            self._publish_context(header, image, result, context_period, evidence)
        if self.wanted('overlay') or self.wanted('overlay/compressed'):
            self._publish_overlay(header, image, result)
        if self.wanted('attention') and result.memory.slots:
            sheet = attention_sheet(result)
            self._send('attention', image_message(header, sheet[..., ::-1], 'bgr8'))

    def _send(self, name: str, message: Any) -> None:
        self._publishers[name].publish(message)

    def _publish_context(self, header: Header, image: np.ndarray, result: Result, period: float,
                         evidence: int) -> None:
        now = time.monotonic()
        self._context_times = {target.id: self._context_times.get(target.id, -np.inf)
                               for target in result.targets}
        for target in result.targets:
            if now - self._context_times[target.id] >= period:
                self._context_times[target.id] = now
                self._send('context', context_message(header, result, target, image, evidence))

    def _publish_overlay(self, header: Header, image: np.ndarray, result: Result) -> None:
        picture = draw_overlay(image, result.label_map, result.targets)
        if self.wanted('overlay'):
            self._send('overlay', image_message(header, picture[..., ::-1], 'bgr8'))
        if self.wanted('overlay/compressed'):
            self._send('overlay/compressed', jpeg_message(header, picture))


def attention_sheet(result: Result) -> np.ndarray:
    """A picture H×W×3 uint8 RGB: a row a target, a heat map a memory frame.

    Each tile is the memory frame's crop of the target, where there is one, beside where the
    attention falls in that frame.
    """
    tiles, titles = [], []
    for target in result.targets[:4]:
        crops = {(item.stamp_ns, item.stream): item.crop
                 for item in result.evidence(target.id, len(result.memory.slots))}
        maps = result.attention_maps(target.id)
        mass = result.memory.attention[target.id]
        chosen = sorted(np.argsort(-mass, kind='stable')[:12])
        for place in chosen:
            slot = result.memory.slots[place]
            heat = maps[place]
            height = round(_TILE * heat.shape[0] / heat.shape[1])
            canvas = heat_map(np.full((height, _TILE, 3), 40, np.uint8), heat)
            crop = crops.get((slot.stamp_ns, slot.stream))
            small = np.full((height, height, 3), 24, np.uint8)
            if crop is not None:
                small = cv2.resize(crop, (height, height), interpolation=cv2.INTER_AREA)
            tiles.append(np.hstack([small, canvas]))
            titles.append(f'{target.id} {slot.kind} {100 * mass[place]:.0f} %')
    return contact_sheet(tiles, titles, columns=4, width=240)
