# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a result bag holds for those who look at it in Foxglove or rviz: pictures and boxes."""
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from stm_ros.replay.bags import message_types
from stm_ros.tracking import Result

DETECTIONS = 'vision_msgs/msg/Detection2DArray'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_QUALITY = 90
# the structure of vision_msgs 4, which neither `rosbags` nor every ROS brings
_VISION_MESSAGES = {
    'Point2D': 'float64 x\nfloat64 y',
    'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'ObjectHypothesis': 'string class_id\nfloat64 score',
    'ObjectHypothesisWithPose': 'vision_msgs/ObjectHypothesis hypothesis\n'
                                'geometry_msgs/PoseWithCovariance pose',
    'Detection2D': 'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
                   'vision_msgs/BoundingBox2D bbox\nstring id',
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections'}


def result_types() -> Typestore:
    """The types of `message_types`, and those of vision_msgs that results need."""
    store = message_types()
    missing: dict[str, Any] = {}
    for name, text in _VISION_MESSAGES.items():
        if f'vision_msgs/msg/{name}' not in store.types:
            missing.update(get_types_from_msg(text, f'vision_msgs/msg/{name}'))
    store.register(missing)
    return store


def jpeg_of(types: Typestore, header: Any, picture: np.ndarray) -> Any:
    """A sensor_msgs/CompressedImage of H×W×3 uint8 RGB."""
    _, code = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return types.types[COMPRESSED](header=header, format='jpeg', data=code.reshape(-1))


def detections_of(types: Typestore, header: Any, result: Result) -> Any:
    """The targets in view as vision_msgs/Detection2DArray."""
    make = types.types

    def named(name: str, **fields: Any) -> Any:
        return make[f'vision_msgs/msg/{name}'](**fields)
    origin = make['geometry_msgs/msg/PoseWithCovariance'](
        pose=make['geometry_msgs/msg/Pose'](
            position=make['geometry_msgs/msg/Point'](x=0.0, y=0.0, z=0.0),
            orientation=make['geometry_msgs/msg/Quaternion'](x=0.0, y=0.0, z=0.0, w=1.0)),
        covariance=np.zeros(36))
    found = []
    for target in result.targets:
        if target.box is None:
            continue
        box = target.box
        center = named('Pose2D', theta=0.0, position=named(
            'Point2D', x=box.x_min + box.width / 2, y=box.y_min + box.height / 2))
        hypothesis = named('ObjectHypothesis', class_id=target.label or f'target {target.id}',
                           score=target.confidence)
        found.append(named(
            'Detection2D', header=header, id=str(target.id),
            bbox=named('BoundingBox2D', center=center, size_x=box.width, size_y=box.height),
            results=[named('ObjectHypothesisWithPose', hypothesis=hypothesis, pose=origin)]))
    return named('Detection2DArray', header=header, detections=found)
