# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`~/label_info`: which ids mean what, for those who read the label map or come late."""
from collections.abc import Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from stm_ros.node.declarations import LABEL_INFO
from stm_ros.node.quality import lifecycle_publisher
from stm_ros.tracking import TargetResult


class LabelInfoPublisher:
    """Publishes vision_msgs/LabelInfo, which must be installed, whenever ids or labels change."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """Create the publisher; `prefix` of its topic, such as '~/'."""
        self._node = node
        self._publisher: Any = lifecycle_publisher(node, LABEL_INFO, prefix)
        self._said: dict[int, str] | None = None

    def destroy(self) -> None:
        """Take the publisher out of the node."""
        self._node.destroy_lifecycle_publisher(self._publisher)

    def update(self, header: Header, targets: Sequence[TargetResult]) -> None:
        """Publish where the targets are not those that were published last."""
        labels = {target.id: target.label or f'target {target.id}' for target in targets}
        if labels == self._said or not self._publisher.is_activated:
            return
        from vision_msgs.msg import LabelInfo
        from vision_msgs.msg import VisionClass
        self._said = labels
        self._publisher.publish(LabelInfo(
            header=header, threshold=self._node.get_parameter('confidence.lost_below').value,
            class_map=[VisionClass(class_id=number, class_name=name)
                       for number, name in sorted(labels.items())]))
