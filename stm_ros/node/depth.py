# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets in space: aligned depth images are matched to answers, and points published."""
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import TypeAlias

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.node.conversion import nanoseconds
from stm_ros.node.declarations import CAMERA_INFO
from stm_ros.node.declarations import COMPRESSED_DEPTH
from stm_ros.node.declarations import DEPTH
from stm_ros.node.declarations import DEPTH_OUTPUTS
from stm_ros.node.declarations import TRANSFORMS
from stm_ros.node.depth_messages import PlacedTarget
from stm_ros.node.depth_messages import calibration_of
from stm_ros.node.depth_messages import cloud_message
from stm_ros.node.depth_messages import detections_3d_message
from stm_ros.node.depth_messages import geometry_message
from stm_ros.node.depth_messages import transforms_message
from stm_ros.node.intake import compressed_topic
from stm_ros.node.quality import class_of
from stm_ros.node.quality import is_installed
from stm_ros.node.quality import lifecycle_publisher
from stm_ros.node.quality import overridable
from stm_ros.node.quality import profile_of
from stm_ros.node.settings import NodeSettings
from stm_ros.node.worker import WorkerStoppedError
from stm_ros.tracking import TargetResult
from stm_ros.vision.camera import camera_of
from stm_ros.vision.compressed_depth import decode_compressed_depth
from stm_ros.vision.depth import decode_depth
from stm_ros.vision.depth import edge_width
from stm_ros.vision.depth import target_points
from stm_ros.vision.errors import InputError

#: depth images held of each stream, and the seconds after which one is too old to match anything
MOST_HELD = 30
HELD_SECONDS = 2.0
#: answers that wait for their depth image
MOST_WAITING = 3
_WARN_SECONDS = 5.0


DepthImage: TypeAlias = Image | CompressedImage


@dataclass(frozen=True, eq=False)
class Answer:
    """What is known of a frame when its masks are: all that is needed of it later.

    input_size: shorter side that the network saw, 0 where the image was left as it is.
    """

    header: Header
    image: np.ndarray
    label_map: np.ndarray
    targets: tuple[TargetResult, ...]
    input_size: int

    @property
    def stamp_ns(self) -> int:
        """The image's stamp."""
        return nanoseconds(self.header.stamp)


class DepthMatcher:
    """Brings answers and depth images of one stream together, whichever comes first.

    Thread-safe. An answer takes the depth image of nearest stamp within the tolerance; where there
    is none yet it waits for the first that fits.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._held: deque[DepthImage] = deque(maxlen=MOST_HELD)
        self._waiting: deque[Answer] = deque()
        self.matched = 0
        self.unmatched = 0

    def add_depth(self, depth: DepthImage, tolerance: float) -> list[Answer]:
        """Hold a depth image; the answers that have waited for it."""
        stamp = nanoseconds(depth.header.stamp)
        with self._lock:
            # an old stamp after a jump back in time is as far away as a new one
            self._held = deque((image for image in self._held if abs(
                nanoseconds(image.header.stamp) - stamp) < HELD_SECONDS * 1e9), MOST_HELD)
            self._held.append(depth)
            ready = [answer for answer in self._waiting
                     if abs(answer.stamp_ns - stamp) <= tolerance * 1e9]
            self._waiting = deque(answer for answer in self._waiting if answer not in ready)
            self.matched += len(ready)
        return ready

    def add_answer(self, answer: Answer, tolerance: float) -> DepthImage | None:
        """The depth image of an answer; None where it has to wait for one."""
        with self._lock:
            nearest = min(self._held, default=None, key=lambda image: abs(
                nanoseconds(image.header.stamp) - answer.stamp_ns))
            if nearest is not None and abs(
                    nanoseconds(nearest.header.stamp) - answer.stamp_ns) <= tolerance * 1e9:
                self.matched += 1
                return nearest
            self._waiting.append(answer)
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self.unmatched += 1
        return None

    def clear(self) -> None:
        """Forget what is held and what waits."""
        with self._lock:
            self._held.clear()
            self._waiting.clear()


class _DepthStream:
    """Depth of one stream: subscriptions, matching, publishers."""

    def __init__(self, node: LifecycleNode, name: str, is_alone: bool) -> None:
        self.name = name
        self.matcher = DepthMatcher()
        self.info: CameraInfo | None = None
        self.last_error = ''
        self.topics = tuple(topic if is_alone else f'{name}/{topic}'
                            for topic in (DEPTH.name, CAMERA_INFO.name))
        self.depth_topic = self.topics[0]
        prefix = '~/' if is_alone else f'~/{name}/'
        self.publishers: dict[str, Any] = {
            topic.name: lifecycle_publisher(node, topic, prefix)
            for topic in DEPTH_OUTPUTS if is_installed(topic)}
        self.subscriptions: list[Any] = []

    def wanted(self) -> set[str]:
        """The outputs that somebody subscribes to."""
        return {topic for topic, publisher in self.publishers.items()
                if publisher.get_subscription_count() > 0}


class DepthOutputs:
    """What the node has of depth; it does nothing unless `depth.enabled` is true."""

    def __init__(self, node: LifecycleNode, submit: Callable[[Callable[[], None]], Future]) -> None:
        """Belong to `node`; `submit` runs something on the worker's thread."""
        self._node = node
        self._submit = submit
        self._settings: Callable[[], NodeSettings] = NodeSettings
        self._streams: dict[str, _DepthStream] = {}
        self._transforms: Any = None

    def configure(self, settings: Callable[[], NodeSettings]) -> None:
        """Create the publishers; `settings` gives the present ones."""
        self._settings = settings
        values = settings()
        if not values.depth_enabled:
            return
        names = list(values.streams)
        self._streams = {name: _DepthStream(self._node, name, len(names) == 1) for name in names}
        if not values.depth_tf:
            return
        if not is_installed(TRANSFORMS):
            self._node.get_logger().error(
                'depth.tf is true, but tf2_msgs is not installed: no frames are published. '
                'Install ros-$ROS_DISTRO-tf2-msgs')
            return
        self._transforms = lifecycle_publisher(self._node, TRANSFORMS, '')

    def activate(self, group: CallbackGroup) -> None:
        """Subscribe to depth and camera info."""
        for stream in self._streams.values():
            depth, info = stream.topics
            transport = self._settings().depth_transport
            declared = DEPTH
            if transport != 'raw':
                declared = COMPRESSED_DEPTH
                depth = stream.depth_topic = compressed_topic(self._node, depth, transport)
            stream.subscriptions = [
                self._node.create_subscription(
                    class_of(topic), name, action, profile_of(topic.quality),
                    callback_group=group, qos_overriding_options=overridable())
                for topic, name, action in (
                    (declared, depth, partial(self._receive, stream)),
                    (CAMERA_INFO, info, partial(setattr, stream, 'info')))]

    @property
    def topics(self) -> tuple[str, ...]:
        """What is read, resolved; nothing where depth is not enabled."""
        return tuple(self._resolved(topic) for stream in self._streams.values()
                     for topic in (stream.depth_topic, stream.topics[1]))

    def deactivate(self) -> None:
        """Stop listening."""
        for stream in self._streams.values():
            while stream.subscriptions:
                self._node.destroy_subscription(stream.subscriptions.pop())
            stream.matcher.clear()

    def release(self) -> None:
        """Take the publishers out of the node."""
        self.deactivate()
        for stream in self._streams.values():
            for publisher in stream.publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)
        if self._transforms is not None:
            self._node.destroy_lifecycle_publisher(self._transforms)
        self._streams, self._transforms = {}, None

    def answered(self, name: str, answer: Answer) -> None:
        """Publish where the targets of an answer are, now or when its depth image comes.

        Runs on the worker's thread.
        """
        stream = self._streams.get(name)
        if stream is None or not (stream.wanted() or self._transforms is not None):
            return
        matcher = stream.matcher
        unmatched = matcher.unmatched
        depth = matcher.add_answer(answer, self._settings().depth_tolerance)
        if depth is not None:
            self._publish(stream, answer, depth)
        elif matcher.unmatched > unmatched:
            self._warn(stream, self._why_unmatched(stream))

    def figures(self, name: str) -> dict[str, str]:
        """What diagnostics say of a stream; empty where depth is not enabled."""
        stream = self._streams.get(name)
        if stream is None:
            return {}
        return {'answers with depth': str(stream.matcher.matched),
                'answers without depth': str(stream.matcher.unmatched),
                'last trouble with depth': stream.last_error}

    def _receive(self, stream: _DepthStream, depth: DepthImage) -> None:
        for answer in stream.matcher.add_depth(depth, self._settings().depth_tolerance):
            job = self._submit(partial(self._publish, stream, answer, depth))
            job.add_done_callback(partial(self._report, stream))

    def _report(self, stream: _DepthStream, job: Future) -> None:
        error = None if job.cancelled() else job.exception()
        if error is not None and not isinstance(error, WorkerStoppedError):
            self._warn(stream, f'depth of stream {stream.name!r} failed: {error!r}')

    def _publish(self, stream: _DepthStream, answer: Answer, depth: DepthImage) -> None:
        try:
            placed = self._place(stream, answer, depth)
        except InputError as error:
            self._warn(stream, f'depth of stream {stream.name!r} is not usable: {error}')
            return
        header, wanted = answer.header, stream.wanted()
        if 'target_cloud' in wanted:
            stream.publishers['target_cloud'].publish(cloud_message(
                header, answer.image, placed, self._settings().depth_max_points))
        if 'target_geometry' in wanted:
            offset = (nanoseconds(depth.header.stamp) - answer.stamp_ns) / 1e9
            stream.publishers['target_geometry'].publish(
                geometry_message(header, stream.name, placed, offset))
        if 'detections_3d' in wanted:
            stream.publishers['detections_3d'].publish(detections_3d_message(header, placed))
        if self._transforms is not None:
            self._transforms.publish(transforms_message(header, placed, self._frame_prefix(stream)))

    def _place(self, stream: _DepthStream, answer: Answer, depth: DepthImage
               ) -> list[PlacedTarget]:
        if stream.info is None:
            raise InputError(f'no CameraInfo has come on {self._resolved(stream.topics[1])}')
        settings, size = self._settings(), answer.label_map.shape
        camera = camera_of(calibration_of(stream.info), size, settings.depth_rectified)
        metres = metres_of(depth, settings.max_megapixels)
        edge = settings.depth_margin
        if edge < 0:
            edge = edge_width(min(size), answer.input_size)
        return [PlacedTarget(target, target_points(
            answer.label_map == target.id, metres, camera, confidence=target.confidence, edge=edge))
            for target in answer.targets if target.box is not None]

    def _frame_prefix(self, stream: _DepthStream) -> str:
        namespace = self._node.get_namespace().strip('/')
        return f'{namespace}/{stream.name}_target_' if namespace else f'{stream.name}_target_'

    def _why_unmatched(self, stream: _DepthStream) -> str:
        topic = self._resolved(stream.depth_topic)
        count = stream.matcher.unmatched
        return (f'{count} images of stream {stream.name!r} had no depth image on {topic} within '
                f'depth.tolerance ({self._settings().depth_tolerance:g} s) of their stamp; '
                f'publishers there: {self._node.count_publishers(topic)}')

    def _resolved(self, topic: str) -> str:
        return self._node.resolve_topic_name(topic)

    def _warn(self, stream: _DepthStream, text: str) -> None:
        stream.last_error = text
        self._node.get_logger().warning(text, throttle_duration_sec=_WARN_SECONDS)


def metres_of(depth: DepthImage, max_megapixels: float) -> np.ndarray:
    """
    A depth message in metres: H×W float32, NaN where nothing was measured.

    :raises InputError: where it is not what REP 118 or compressedDepth has.
    """
    if isinstance(depth, CompressedImage):
        return decode_compressed_depth(depth.format, depth.data, max_megapixels)
    return decode_depth(depth.encoding, depth.data, height=depth.height, width=depth.width,
                        step=depth.step, is_bigendian=depth.is_bigendian)
