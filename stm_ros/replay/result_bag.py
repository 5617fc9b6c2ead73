# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The result bag: what the node would have published, written by `rosbags`, without ROS."""
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from typing import Literal

import numpy as np
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

from stm_ros.replay.frames import Frame
from stm_ros.replay.viewing import COMPRESSED
from stm_ros.replay.viewing import DETECTIONS
from stm_ros.replay.viewing import detections_of
from stm_ros.replay.viewing import jpeg_of
from stm_ros.replay.viewing import result_types
from stm_ros.tracking import Result
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.overlay import draw_overlay

_NANOSECONDS = 1_000_000_000
# the newest version that Jazzy's rosbag2 knows
_BAG_VERSION: Literal[8] = 8
_STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


class ResultBagWriter:
    """
    A rosbag2 recording of what the node would have published.

    ~/mask, ~/targets and ~/memory, and for those who look at it ~/detections, ~/overlay/compressed
    and, if asked for, the images as ~/image/compressed. Header stamps and frames are those of the
    source; the times of receipt too.
    """

    def __init__(self, path: str | Path, storage: str = 'mcap',
                 node_name: str = '/stm_tracker', with_images: bool = False) -> None:
        """Create the recording; InputError where the storage is unknown, OSError if it exists."""
        if storage not in _STORAGES:
            raise InputError(f'storage {storage!r} is unknown; known are {", ".join(_STORAGES)}')
        if Path(path).exists():
            raise OSError(f'{path} exists already; result bags are not overwritten')
        self._types = result_types()
        # rosbags makes a URI of the path, in which # ? and % mean something else: a link without
        self._alias = TemporaryDirectory(prefix='stm_bag_')
        parent = Path(self._alias.name) / 'parent'
        parent.symlink_to(Path(path).parent.resolve())
        self._writer = Writer(parent / Path(path).name, version=_BAG_VERSION,
                              storage_plugin=_STORAGES[storage])
        self._writer.open()
        self._connections = {
            topic: self._writer.add_connection(f'{node_name}/{topic}', kind, typestore=self._types)
            for topic, kind in (('mask', 'sensor_msgs/msg/Image'),
                                ('targets', 'stm_ros/msg/TargetArray'),
                                ('memory', 'stm_ros/msg/MemoryReadout'),
                                ('detections', DETECTIONS), ('overlay/compressed', COMPRESSED),
                                *([('image/compressed', COMPRESSED)] if with_images else []))}

    def write(self, frame: Frame, result: Result) -> None:
        """Append the messages of a frame."""
        header = self._header(frame.stamp_ns, frame.frame_id)
        picture = draw_overlay(frame.image, result.label_map, result.targets)
        messages = {'mask': self._mask(header, result.label_map),
                    'targets': self._targets(header, result),
                    'memory': self._memory(header, result),
                    'detections': detections_of(self._types, header, result),
                    'overlay/compressed': jpeg_of(self._types, header, picture)}
        if 'image/compressed' in self._connections:
            messages['image/compressed'] = jpeg_of(self._types, header, frame.image)
        for topic, message in messages.items():
            connection = self._connections[topic]
            data = self._types.serialize_cdr(message, connection.msgtype)
            self._writer.write(connection, frame.recorded_ns, data)

    def close(self) -> None:
        """Finish the recording."""
        self._writer.close()
        self._alias.cleanup()

    def _make(self, name: str, **fields: Any) -> Any:
        return self._types.types[name](**fields)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        stamp = self._make('builtin_interfaces/msg/Time', sec=stamp_ns // _NANOSECONDS,
                           nanosec=stamp_ns % _NANOSECONDS)
        return self._make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)

    def _mask(self, header: Any, label_map: np.ndarray) -> Any:
        height, width = label_map.shape
        return self._make('sensor_msgs/msg/Image', header=header, height=height, width=width,
                          encoding='mono8', is_bigendian=0, step=width,
                          data=np.ascontiguousarray(label_map).reshape(-1))

    def _targets(self, header: Any, result: Result) -> Any:
        targets = [self._make(
            'stm_ros/msg/Target', header=header, stream=result.stream, id=target.id,
            label=target.label, state=int(target.state), confidence=target.confidence,
            confidence_calibrated=target.confidence_calibrated,
            box=[] if target.box is None else [self._box(target.box)], area=target.area)
            for target in result.targets]
        return self._make('stm_ros/msg/TargetArray', header=header, stream=result.stream,
                          targets=targets)

    def _box(self, box: Box) -> Any:
        return self._make('stm_ros/msg/Box', x_min=box.x_min, y_min=box.y_min, width=box.width,
                          height=box.height)

    def _memory(self, header: Any, result: Result) -> Any:
        slots = [self._make(
            'stm_ros/msg/MemorySlot', header=self._header(slot.stamp_ns, header.frame_id),
            stream=slot.stream, kind=slot.kind, confidence=slot.confidence, usage=slot.usage)
            for slot in result.memory.slots]
        confidences = {target.id: target.confidence for target in result.targets}
        targets = [self._make(
            'stm_ros/msg/TargetAttention', header=header, stream=result.stream, id=target_id,
            confidence=confidences[target_id], attention=np.asarray(mass, np.float32),
            entropy=result.memory.entropy[target_id])
            for target_id, mass in sorted(result.memory.attention.items())]
        return self._make('stm_ros/msg/MemoryReadout', header=header, stream=result.stream,
                          slots=slots, targets=targets)
