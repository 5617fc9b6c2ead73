# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From mask and aligned depth to where a gripper may close on a target.

Does by itself what the tracker's `depth.enabled` does, so that it can be changed: masks and depth
images of one stamp are brought together, the target's points are cut out, and a pose in the middle
of their box is published. The gripper closes along the pose's y axis; z points away from the
camera. Nothing is published while the target is not trusted or too wide for the gripper.

    python3 examples/grasp_region.py --ros-args -p target_id:=1 -r depth:=/camera/depth/image_raw \
        -r camera_info:=/camera/camera_info
"""
import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from stm_ros.msg import Target
from stm_ros.msg import TargetArray

from stm_ros.node.conversion import mask_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.depth_messages import calibration_of
from stm_ros.vision.camera import camera_of
from stm_ros.vision.depth import decode_depth
from stm_ros.vision.depth import target_points
from stm_ros.vision.oriented_box import OrientedBox
from stm_ros.vision.oriented_box import quaternion_of

MOST_HELD = 30
PARTS = ('mask', 'targets', 'depth')


class GraspRegion(Node):
    def __init__(self) -> None:
        super().__init__('grasp_region')
        self.target_id = self.declare_parameter('target_id', 1).value
        self.opening = self.declare_parameter('opening', 0.12).value  # metres
        self.edge = self.declare_parameter('edge', 3).value  # pixels that masks are cut back by
        tracker = self.declare_parameter('tracker', '/stm_tracker').value
        self.frames: dict[int, dict] = {}
        self.info: CameraInfo | None = None
        self.grasps = self.create_publisher(PoseStamped, '~/pose', 5)
        for kind, topic, part in ((Image, f'{tracker}/mask', 'mask'), (Image, 'depth', 'depth'),
                                  (TargetArray, f'{tracker}/targets', 'targets')):
            self.create_subscription(kind, topic, lambda message, part=part: self.add(
                part, message), qos_profile_sensor_data)
        self.create_subscription(CameraInfo, 'camera_info', lambda message: setattr(
            self, 'info', message), qos_profile_sensor_data)

    def add(self, part: str, message: Image | TargetArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        frame = self.frames.setdefault(stamp, {})
        frame[part] = message
        if all(name in frame for name in PARTS) and self.info is not None:
            del self.frames[stamp]
            self.grasp(**frame)
        while len(self.frames) > MOST_HELD:
            del self.frames[next(iter(self.frames))]

    def grasp(self, mask: Image, targets: TargetArray, depth: Image) -> None:
        target = next((one for one in targets.targets if one.id == self.target_id), None)
        if target is None or target.state != Target.TRACKING:
            return
        label_map = mask_of(mask)
        metres = decode_depth(depth.encoding, depth.data, height=depth.height, width=depth.width,
                              step=depth.step, is_bigendian=depth.is_bigendian)
        box = target_points(
            label_map == target.id, metres, camera_of(calibration_of(self.info), label_map.shape),
            confidence=target.confidence, edge=self.edge).box()
        if box is None:
            return
        rotation, width = closing_along_y(box)
        if width > self.opening:
            self.get_logger().info(f'{1000 * width:.0f} mm are too wide for the gripper',
                                   throttle_duration_sec=5)
            return
        pose = PoseStamped(header=mask.header)
        position, turn = pose.pose.position, pose.pose.orientation
        position.x, position.y, position.z = box.centre.tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion_of(rotation)
        self.grasps.publish(pose)


def closing_along_y(box: OrientedBox) -> tuple[np.ndarray, float]:
    """Axes with y across the box, at a right angle to the view, and the extent along y, metres."""
    away = int(np.abs(box.axes[2]).argmax())
    across = min((place for place in range(3) if place != away), key=lambda place: box.size[place])
    z = box.axes[:, away] * np.sign(box.axes[2, away])
    y = box.axes[:, across]
    return np.stack((np.cross(y, z), y, z), axis=1), float(box.size[across])


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(GraspRegion())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # SIGINT may come while rclpy waits, which then says so in this way
        if rclpy.ok():
            raise


if __name__ == '__main__':
    main()
