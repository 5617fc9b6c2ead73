# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera and a listener in one process: it knows when a frame was sent and when answered."""
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.apps.demo.client import NODE
from stm_ros.apps.demo.client import DemoError
from stm_ros.apps.demo.client import GraphMember
from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.conversion import time_message
from stm_ros.srv import SetReference

_SERVICE_SECONDS = 60.0
_ANSWER_SECONDS = 5.0
_ATTEMPTS = 6
_FIRST_SECONDS = 60.0
_RETRY_SECONDS = 0.2
_DIAGNOSTICS_SECONDS = 10.0
_POLL_SECONDS = 0.01


class GraphProbe(GraphMember):
    """Publishes images on /image as a camera does, and notes when their masks were published.

    Images are sent reliably: best effort loses large ones between busy processes, and it is the
    node that is measured.

    Stamps are wall-clock time at publishing, in ns; the masks' times are DDS source timestamps,
    which their writer sets by the same clock.
    """

    def __init__(self, images: list[np.ndarray]) -> None:
        """Join the graph.

        :param images: H×W×3 uint8 RGB, sent over and over.
        """
        super().__init__('stm_bench')
        camera = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self._node.create_publisher(Image, '/image', camera)
        # Any, because rclpy's types leave out callbacks that want the message's times as well
        on_mask: Any = self._on_mask
        self._node.create_subscription(Image, f'{NODE}/mask', on_mask, 50)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 5)
        self._reference = self._node.create_client(SetReference, f'{NODE}/set_reference')
        self._messages = [image_message(Header(), image[..., ::-1], 'bgr8') for image in images]
        self.sent = 0
        self._diagnostics_stamp = 0
        self._diagnostics: dict[str, str] = {}
        #: ns at which the mask of the image with this stamp was published
        self.answers: dict[int, int] = {}

    def show(self, label_map: np.ndarray, seconds: float, check: Callable[[], None]) -> None:
        """Wait for the node and show it the targets of the first image.

        :param label_map: H×W uint8. :param check: called while waiting; raises where it is in vain.
        :raises DemoError: where the node does not come within `seconds`, or refuses.
        """
        self._wait(self._reference.service_is_ready, seconds, f'the service {NODE}/set_reference',
                   check)
        request = SetReference.Request(
            image=self._messages[0], mask=image_message(Header(), label_map, 'mono8'))
        future = self._reference.call_async(request)
        self._wait(future.done, _SERVICE_SECONDS, f'a reply of {NODE}/set_reference', check)
        reply = future.result()
        if not reply.success:
            raise DemoError(f'{NODE}/set_reference refused: {reply.message}')

    def first_answer(self, check: Callable[[], None]) -> int:
        """Publish again and again until a mask comes; when it was published, ns.

        :raises DemoError: where none comes.
        """
        deadline = time.monotonic() + _FIRST_SECONDS
        while not self.answers:
            check()
            if time.monotonic() > deadline:
                raise DemoError(f'no mask came within {_FIRST_SECONDS:.0f} s')
            self.publish()
            self.spin_until(lambda: bool(self.answers), _RETRY_SECONDS)
        return min(self.answers.values())

    def publish(self) -> int:
        """Publish the next image, stamped now; its stamp in ns."""
        message = self._messages[self.sent % len(self._messages)]
        self.sent += 1
        stamp = time.time_ns()
        message.header.stamp = time_message(stamp)
        self._publisher.publish(message)
        return stamp

    def ask(self) -> int:
        """Publish an image and wait for its mask; the stamp in ns, whose answer is there.

        Where that takes too long the next one is published.

        :raises DemoError: where several are not answered.
        """
        for _ in range(_ATTEMPTS):
            stamp = self.publish()
            if self.spin_until(partial(self.answers.__contains__, stamp), _ANSWER_SECONDS):
                return stamp
        raise DemoError(f'{_ATTEMPTS} images in a row were not answered within '
                        f'{_ANSWER_SECONDS:.0f} s each')

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Receive until `condition` holds, at most for `seconds`; whether it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left, _POLL_SECONDS))
        return True

    def diagnostics(self) -> dict[str, str]:
        """What the node says of its stream from now on, by the names it uses.

        :raises DemoError: where it says nothing.
        """
        now = time.time_ns()
        if not self.spin_until(lambda: self._diagnostics_stamp > now, _DIAGNOSTICS_SECONDS):
            raise DemoError(f'no /diagnostics within {_DIAGNOSTICS_SECONDS:.0f} s')
        return self._diagnostics

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str,
              check: Callable[[], None]) -> None:
        deadline = time.monotonic() + seconds
        while not self.spin_until(condition, _RETRY_SECONDS):
            check()
            if time.monotonic() > deadline:
                raise DemoError(f'waited {seconds:.0f} s for {what}')

    def _on_mask(self, message: Image, info: Any) -> None:
        self.answers[nanoseconds(message.header.stamp)] = info['source_timestamp']

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(': stream camera'):
                self._diagnostics = {pair.key: pair.value for pair in status.values}
                self._diagnostics_stamp = nanoseconds(message.header.stamp)
