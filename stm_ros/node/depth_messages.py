# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages about targets in space; each carries the source image's header."""
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from geometry_msgs.msg import Pose
from geometry_msgs.msg import Quaternion
from geometry_msgs.msg import Vector3
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from stm_ros.msg import TargetGeometry
from stm_ros.msg import TargetGeometryArray
from stm_ros.tracking import TargetResult
from stm_ros.vision.camera import Calibration
from stm_ros.vision.depth import TargetPoints
from stm_ros.vision.oriented_box import OrientedBox

_CLOUD_ROW = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4'), ('id', '<u4')])
# clouds carry colours as a float whose bits are 0x00RRGGBB, which viewers know by the name `rgb`
_CLOUD_FIELDS = [
    PointField(name=name, offset=4 * place, count=1,
               datatype=PointField.UINT32 if name == 'id' else PointField.FLOAT32)
    for place, name in enumerate(('x', 'y', 'z', 'rgb', 'id'))]


@dataclass(frozen=True, eq=False)
class PlacedTarget:
    """A target with its points; the box around them is computed when it is asked for."""

    target: TargetResult
    points: TargetPoints

    @cached_property
    def box(self) -> OrientedBox | None:
        """See TargetPoints.box."""
        return self.points.box()


def calibration_of(message: CameraInfo) -> Calibration:
    """What a CameraInfo says, of the image that is published: its crop and binning included."""
    across, down = max(1, message.binning_x), max(1, message.binning_y)
    crop = message.roi
    size = (crop.height or message.height, crop.width or message.width)
    return Calibration(
        (size[0] // down, size[1] // across), message.k, message.p, message.d,
        message.distortion_model, (across, down), (crop.x_offset, crop.y_offset))


def cloud_message(header: Header, image: np.ndarray, placed: Sequence[PlacedTarget],
                  most_points: int) -> PointCloud2:
    """All targets' points with colour and target id, every nth where there would be too many.

    :param image: H×W×3 uint8 RGB.
    """
    total = sum(len(item.points.points) for item in placed)
    stride = max(1, -(-total // most_points))
    parts = [np.zeros(0, _CLOUD_ROW)]
    for item in placed:
        found, chosen = item.points, np.s_[::stride]
        rows = np.empty(len(found.points[chosen]), _CLOUD_ROW)
        rows['x'], rows['y'], rows['z'] = found.points[chosen].T
        colours = image[found.rows[chosen], found.columns[chosen]].astype(np.uint32)
        rows['rgb'] = colours[:, 0] << 16 | colours[:, 1] << 8 | colours[:, 2]
        rows['id'] = item.target.id
        parts.append(rows)
    cloud = np.concatenate(parts)
    data = array('B')
    data.frombytes(cloud.tobytes())
    return PointCloud2(header=header, height=1, width=len(cloud), fields=_CLOUD_FIELDS,
                       is_bigendian=False, point_step=_CLOUD_ROW.itemsize,
                       row_step=cloud.nbytes, data=data, is_dense=True)


def geometry_message(header: Header, stream: str, placed: Sequence[PlacedTarget],
                     depth_offset: float) -> TargetGeometryArray:
    """Centroid and box of each target; `depth_offset`: seconds from image to depth image."""
    return TargetGeometryArray(header=header, stream=stream, depth_offset=depth_offset, targets=[
        _geometry(header, stream, item) for item in placed])


def _geometry(header: Header, stream: str, item: PlacedTarget) -> TargetGeometry:
    message = TargetGeometry(
        header=header, stream=stream, id=item.target.id, label=item.target.label,
        confidence=item.target.confidence, points=len(item.points.points),
        valid_share=item.points.valid_share, rejected_share=item.points.rejected_share,
        margin=item.points.margin)
    if item.box is not None:
        x, y, z = item.points.centroid.tolist()
        message.centroid = [Point(x=x, y=y, z=z)]
        message.box_pose = [_pose(item.box)]
        message.box_size = [_size(item.box)]
    return message


def detections_3d_message(header: Header, placed: Sequence[PlacedTarget]) -> Any:
    """The boxes as vision_msgs/Detection3DArray, which must be installed."""
    from vision_msgs.msg import Detection3D
    from vision_msgs.msg import Detection3DArray
    from vision_msgs.msg import ObjectHypothesisWithPose
    message = Detection3DArray(header=header)
    for item in placed:
        if item.box is None:
            continue
        detection = Detection3D(header=header, id=str(item.target.id))
        detection.bbox.center, detection.bbox.size = _pose(item.box), _size(item.box)
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = item.target.label or f'target {item.target.id}'
        hypothesis.hypothesis.score = item.target.confidence
        hypothesis.pose.pose = _pose(item.box)
        detection.results.append(hypothesis)
        message.detections.append(detection)
    return message


def transforms_message(header: Header, placed: Sequence[PlacedTarget], prefix: str) -> Any:
    """A frame in the middle of each box as tf2_msgs/TFMessage, which must be installed.

    :param prefix: of the frames' names, which end with the target's id.
    """
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage
    message = TFMessage()
    for item in placed:
        if item.box is None:
            continue
        pose = _pose(item.box)
        transform = TransformStamped(header=header, child_frame_id=f'{prefix}{item.target.id}')
        transform.transform.rotation = pose.orientation
        middle = pose.position
        transform.transform.translation = Vector3(x=middle.x, y=middle.y, z=middle.z)
        message.transforms.append(transform)
    return message


def _pose(box: OrientedBox) -> Pose:
    x, y, z = box.centre.tolist()
    qx, qy, qz, qw = box.quaternion
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def _size(box: OrientedBox) -> Vector3:
    x, y, z = box.size.tolist()
    return Vector3(x=x, y=y, z=z)
