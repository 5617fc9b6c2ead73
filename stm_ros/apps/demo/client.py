# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A plain client of the node's topics and services; it knows nothing of the node's inside."""
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from typing import TypeVar

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.msg import TargetArray
from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import mask_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.conversion import time_message
from stm_ros.replay.sources import Frame
from stm_ros.srv import Reset
from stm_ros.srv import SetReference
from stm_ros.tracking import TargetState
from stm_ros.vision.boxes import Box

NODE = '/stm_tracker'
_ANSWER_SECONDS = 20.0
_SERVICE_SECONDS = 60.0
_ATTEMPTS = 3


class DemoError(RuntimeError):
    """The graph did not do what it should; the message says what was waited for."""


@dataclass(frozen=True)
class ReceivedTarget:
    """One target as the node published it; `box` in pixels, None where it is lost."""

    id: int
    label: str
    state: TargetState
    confidence: float
    box: Box | None
    area: int


@dataclass(frozen=True)
class Answer:
    """
    What the node published for a frame.

    label_map: H×W uint8. latency: seconds from publishing the image to receiving the mask.
    attempts: how often the image had to be published.
    """

    label_map: np.ndarray
    targets: tuple[ReceivedTarget, ...]
    latency: float
    attempts: int


MemberT = TypeVar('MemberT', bound='GraphMember')


class GraphMember:
    """A node of its own in the graph, spun by whoever waits, until the `with` block ends."""

    def __init__(self, name: str) -> None:
        """Join the graph as `name`."""
        # Ctrl-C stays what it is in Python
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)

    def __enter__(self: MemberT) -> MemberT:
        """Stay in the graph."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()


class DemoClient(GraphMember):
    """Publishes images on /image, one at a time, and waits for each one's mask and targets."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__('stm_demo')
        camera = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._images = self._node.create_publisher(Image, '/image', camera)
        self._node.create_subscription(Image, f'{NODE}/mask', self._on_mask, 5)
        self._node.create_subscription(TargetArray, f'{NODE}/targets', self._on_targets, 5)
        self._set_reference = self._node.create_client(SetReference, f'{NODE}/set_reference')
        self._reset = self._node.create_client(Reset, f'{NODE}/reset')
        self._awaited = 0
        self._mask: Image | None = None
        self._mask_time = 0.0
        self._targets: TargetArray | None = None

    def wait_for_node(self, seconds: float, check: Callable[[], None]) -> None:
        """
        Wait until the node is active: its services answer, and it listens to /image.

        `check` is called again and again, and raises where waiting is in vain.

        :raises DemoError: after `seconds`, saying what was still missing.
        """
        def missing() -> list[str]:
            return [what for what, there in (
                (f'the service {NODE}/set_reference', self._set_reference.service_is_ready()),
                ('a subscriber of /image', self._images.get_subscription_count() > 0),
                (f'a publisher of {NODE}/mask', self._node.count_publishers(f'{NODE}/mask') > 0),
            ) if not there]

        deadline = time.monotonic() + seconds
        while absent := missing():
            check()
            if time.monotonic() > deadline:
                raise DemoError(f'after {seconds:.0f} s the graph still lacks '
                                f'{" and ".join(absent)}')
            self._executor.spin_once(timeout_sec=0.1)

    def show(self, frame: Frame, label_map: np.ndarray, labels: dict[int, str]) -> str:
        """
        Call ~/set_reference with an image and its label map; returns the node's message.

        :raises DemoError: where the node refuses or does not reply.
        """
        header = _header(frame)
        request = SetReference.Request(
            image=image_message(header, frame.image, 'rgb8'),
            mask=image_message(header, label_map, 'mono8'),
            label_ids=list(labels), labels=list(labels.values()))
        return self._call(self._set_reference, request, 'set_reference')

    def reset(self) -> str:
        """Call ~/reset; returns the node's message. DemoError where that fails."""
        return self._call(self._reset, Reset.Request(), 'reset')

    def track(self, frame: Frame) -> Answer:
        """
        Publish one image and wait for its mask and targets.

        A best-effort image may be lost on the way; it is published again after a while.

        :raises DemoError: where no answer comes.
        """
        message = image_message(_header(frame), frame.image, 'rgb8')
        for attempt in range(1, _ATTEMPTS + 1):
            self._awaited, self._mask, self._targets = frame.stamp_ns, None, None
            published = time.monotonic()
            self._images.publish(message)
            while time.monotonic() < published + _ANSWER_SECONDS:
                self._executor.spin_once(timeout_sec=0.1)
                if self._mask is not None and self._targets is not None:
                    return Answer(mask_of(self._mask), _received(self._targets),
                                  self._mask_time - published, attempt)
        raise DemoError(f'the image stamped {frame.stamp_ns / 1e9:.3f} s was published '
                        f'{_ATTEMPTS} times and not answered within {_ANSWER_SECONDS:.0f} s each')

    def _on_mask(self, message: Image) -> None:
        if nanoseconds(message.header.stamp) == self._awaited and self._mask is None:
            self._mask, self._mask_time = message, time.monotonic()

    def _on_targets(self, message: TargetArray) -> None:
        if nanoseconds(message.header.stamp) == self._awaited:
            self._targets = message

    def _call(self, client: Any, request: Any, name: str) -> str:
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=_SERVICE_SECONDS)
        if not future.done():
            raise DemoError(f'{NODE}/{name} did not reply within {_SERVICE_SECONDS:.0f} s')
        reply = future.result()
        if not reply.success:
            raise DemoError(f'{NODE}/{name} refused: {reply.message}')
        return str(reply.message)


def _header(frame: Frame) -> Header:
    return Header(stamp=time_message(frame.stamp_ns), frame_id=frame.frame_id)


def _received(message: TargetArray) -> tuple[ReceivedTarget, ...]:
    return tuple(
        ReceivedTarget(
            target.id, target.label, TargetState(target.state), target.confidence,
            Box(box.x_min, box.y_min, box.width, box.height) if (
                box := next(iter(target.box), None)) is not None else None, target.area)
        for target in message.targets)
