# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A real node in its own process, and a client that only knows messages and topic names."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image
from stm_ros.msg import MemoryReadout
from stm_ros.msg import TargetArray

from stm_ros import srv

SIZE = (240, 320)
PATIENCE = 60.0
_HANDSHAKE = 3.0
_ACQUAINTANCE = 0.3
# with the default profile, best effort loses large images between busy processes
RELIABLE = 'qos_overrides./{}.subscription.reliability:=reliable'


def image_message(pixels: np.ndarray, encoding: str, stamp: int = 0, frame_id: str = 'lens'
                  ) -> Image:
    """A message of tightly packed pixels; stamp in nanoseconds."""
    pixels = np.ascontiguousarray(pixels)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                    step=pixels.strides[0])
    message.data.frombytes(pixels.tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10 ** 9)
    message.header.frame_id = frame_id
    return message


class NodeProcess:
    """The node, as `stm_tracker` starts it, with its log in a file."""

    def __init__(self, folder: Path, *parameters: str, topics: tuple[str, ...] = ('image',),
                 program: tuple[str, ...] = ('-m', 'stm_ros.node.main'),
                 remappings: tuple[str, ...] = ()) -> None:
        """
        Start it with `name:=value` parameters, `from:=to` remappings.

        :param topics: that are read reliably, whatever publishers offer.
        :param program: what the interpreter runs.
        """
        self.log_path = folder / f'node_{time.monotonic_ns()}.log'
        settings = [RELIABLE.format(topic) for topic in topics] + [
            f'snapshot_dir:={folder / "snapshots"}', *parameters]
        words = [word for setting in settings for word in ('-p', setting)]
        words += [word for mapping in remappings for word in ('-r', mapping)]
        with self.log_path.open('wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, '--ros-args', *words],
                stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))

    @property
    def log(self) -> str:
        """What it has printed."""
        return self.log_path.read_text()

    def resident_megabytes(self) -> float:
        """Its resident memory."""
        text = Path(f'/proc/{self.process.pid}/status').read_text()
        line = next(row for row in text.splitlines() if row.startswith('VmRSS'))
        return int(line.split()[1]) / 1024

    def stop(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Signal it and wait; its exit code and the seconds it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return code, time.monotonic() - began


class Client(Node):
    """Subscribes, calls services and waits; spun by whoever waits."""

    def __init__(self) -> None:
        """Make a client that knows nothing yet."""
        super().__init__('client')
        self.received: dict[str, list] = {}
        self._image_publishers: dict[str, object] = {}
        self._service_clients: dict[str, object] = {}

    def listen(self, kind: type, topic: str) -> None:
        """Collect the messages of a topic."""
        self.received[topic] = []
        self.create_subscription(kind, topic, self.received[topic].append, 50)

    def wait_until(self, condition, what: str, seconds: float = PATIENCE) -> None:
        """Spin until `condition` holds; fail with `what` was waited for."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f'waited {seconds:.0f} s for {what}'
            rclpy.spin_once(self, timeout_sec=0.02)

    def call(self, kind: type, service: str, **fields):
        """Call a service with a request of these fields; its response."""
        is_new = service not in self._service_clients
        if is_new:
            self._service_clients[service] = self.create_client(kind, service)
        client = self._service_clients[service]
        self.wait_until(client.service_is_ready, f'service {service}')
        if is_new:
            # DDS drops an answer for whose reader the server has not heard of yet
            time.sleep(_ACQUAINTANCE)
        future = client.call_async(kind.Request(**fields))
        self.wait_until(future.done, f'an answer of {service}')
        return future.result()

    def tracker(self, service: str, **fields):
        """Call a service of the tracker by its short name."""
        kind = getattr(srv, ''.join(word.title() for word in service.split('_')))
        return self.call(kind, f'/stm_tracker/{service}', **fields)

    def set_parameter(self, name: str, value):
        """Set a parameter of the tracker; (successful, reason)."""
        from rclpy.parameter import Parameter as Value
        parameter: Parameter = Value(name, value=value).to_parameter_msg()
        assert parameter_value_to_python(parameter.value) == value
        response = self.call(SetParameters, '/stm_tracker/set_parameters',
                             parameters=[parameter])
        return response.results[0].successful, response.results[0].reason

    def publish(self, message, topic: str = '/image') -> None:
        """Publish an image when the tracker listens."""
        if topic not in self._image_publishers:
            self._image_publishers[topic] = self.create_publisher(type(message), topic, 5)
        publisher = self._image_publishers[topic]
        self.wait_until(lambda: publisher.get_subscription_count() > 0, f'a reader of {topic}')
        publisher.publish(message)

    def ask(self, message, topic: str = '/image', prefix: str = '/stm_tracker'):
        """Publish an image and wait for its mask, targets and memory, in that order.

        The first one is sent until it is answered: the tracker may not have discovered this
        client's subscriptions yet, which nobody but the tracker can see.
        """
        topics = [f'{prefix}/{name}' for name in ('mask', 'targets', 'memory')]
        counts = [len(self.received[name]) for name in topics]
        self.publish(message, topic)
        for _ in range(int(PATIENCE / _HANDSHAKE) if not any(counts) else 0):
            if self._hears_answer(topics):
                break
            self.publish(message, topic)
        self.wait_until(lambda: all(len(self.received[name]) > count for name, count
                                    in zip(topics, counts, strict=True)), f'answers of {prefix}')
        return [self.received[name][-1] for name in topics]

    def _hears_answer(self, topics: list[str]) -> bool:
        """Spin until all of `topics` have been heard, or for some seconds."""
        try:
            self.wait_until(lambda: all(self.received[name] for name in topics), 'an answer',
                            _HANDSHAKE)
        except AssertionError:
            return False
        return True

    def listen_to_answers(self, prefix: str = '/stm_tracker') -> None:
        """Collect masks, targets and memory readouts, once the tracker offers them."""
        for kind, name in ((Image, 'mask'), (TargetArray, 'targets'), (MemoryReadout, 'memory')):
            topic = f'{prefix}/{name}'
            self.listen(kind, topic)
            self.wait_until(lambda topic=topic: self.count_publishers(topic) > 0, topic)


def mask_pixels(message: Image) -> np.ndarray:
    """H×W uint8 of a mono8 message."""
    assert message.encoding == 'mono8'
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
