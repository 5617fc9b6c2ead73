# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings onto a live graph: images at the pace they were recorded, and /clock."""
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import time_message
from stm_ros.replay.several import merged
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.vision.errors import InputError

READER_SECONDS = 10.0
_CLOCK_SECONDS = 0.025
_AFTER_SECONDS = 1.0
_DEPTH = 5
# a reader that comes late, or went over to another reliability, sees the first image too
_HOLD_PERIOD = 0.5


@dataclass(frozen=True)
class PlaybackSummary:
    """What was published: frames by stream, and the seconds it took."""

    frames: dict[str, int]
    seconds: float


class Playback:
    """A node that publishes `image`, or `<stream>/image` of each of several streams, and /clock."""

    def __init__(self, streams: Iterable[str]) -> None:
        """Create the node in the default context, which must be initialised."""
        names = list(streams)
        self.node = Node('stm_replay')
        self._images = {name: self.node.create_publisher(
            Image, 'image' if len(names) == 1 else f'{name}/image', _DEPTH) for name in names}
        self._clock = self.node.create_publisher(Clock, '/clock', 1)

    def wait_for_readers(self, seconds: float = READER_SECONDS) -> list[str]:
        """Wait until every image topic has a reader; the topics that have none."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and rclpy.ok():
            if all(one.get_subscription_count() for one in self._images.values()):
                return []
            time.sleep(0.05)
        return [one.topic_name for one in self._images.values()
                if not one.get_subscription_count()]

    def play(self, frames: Iterable[tuple[str, Frame]], speed: float, hold: float = 0.0
             ) -> PlaybackSummary:
        """
        Publish frames as they were received, `speed` times as fast.

        :param hold: seconds to stay at the first, which is published again and again; time on
            /clock stands still.
        """
        counts = dict.fromkeys(self._images, 0)
        began = time.monotonic()
        first = now = None
        for name, frame in frames:
            if not rclpy.ok():
                break
            first = frame.recorded_ns if first is None else first
            now = frame.recorded_ns if now is None else now
            due = began + (frame.recorded_ns - first) / 1e9 / speed
            while (left := due - time.monotonic()) > 0 and rclpy.ok():
                time.sleep(min(left, _CLOCK_SECONDS))
                passed = first + int((time.monotonic() - began) * 1e9 * speed)
                now = max(now, min(passed, frame.recorded_ns))
                self._tick(now)
            now = max(now, frame.recorded_ns)
            self._tick(now)
            header = Header(stamp=time_message(frame.stamp_ns), frame_id=frame.frame_id)
            message = image_message(header, frame.image, 'rgb8')
            self._images[name].publish(message)
            if hold and not any(counts.values()):
                self._hold(name, message, now, began + hold)
                began = time.monotonic()
            counts[name] += 1
        return PlaybackSummary(counts, time.monotonic() - began)

    def _hold(self, name: str, message: Image, now: int, end: float) -> None:
        print(f'at the first image for {end - time.monotonic():.0f} s: show a target now',
              flush=True)
        while (left := end - time.monotonic()) > 0 and rclpy.ok():
            time.sleep(min(left, _HOLD_PERIOD))
            self._tick(now)
            self._images[name].publish(message)

    def _tick(self, now: int) -> None:
        self._clock.publish(Clock(clock=time_message(now)))


def play(sources: dict[str, FrameSource], speed: float, limit: int | None = None,
         hold: float = 0.0) -> PlaybackSummary:
    """
    Publish recordings until they end or ROS is shut down.

    :param sources: by stream; a stream alone is published on `image`, others on `<stream>/image`,
        where a node with these `streams` listens.
    :param limit: the most frames, of all streams together.
    :param hold: seconds to stay at the first image.
    :raises InputError: where nobody reads the images, or a source cannot be read.
    """
    rclpy.init()
    playback = Playback(sources)
    try:
        unread = playback.wait_for_readers()
        if unread:
            raise InputError(f'nobody subscribes to {", ".join(unread)} after '
                             f'{READER_SECONDS:.0f} s; start the node first, with the same streams '
                             'and ROS_DOMAIN_ID')
        said = playback.play(islice(merged(sources), limit), speed, hold)
        # the last images are on their way still
        time.sleep(_AFTER_SECONDS)
        return said
    except (KeyboardInterrupt, ExternalShutdownException):
        return PlaybackSummary({}, 0.0)
    finally:
        # SIGINT may have shut ROS down in the same moment, which rclpy takes for an error
        with suppress(RuntimeError):
            playback.node.destroy_node()
            rclpy.try_shutdown()
