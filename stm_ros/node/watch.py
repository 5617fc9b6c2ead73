# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at each stream every second, and says once what is wrong and what helps."""
import time
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from stm_ros.node.graph_watch import why_no_image
from stm_ros.node.intake import ImageIntake
from stm_ros.node.streams import SILENT_SECONDS
from stm_ros.node.streams import WINDOW_SECONDS
from stm_ros.node.streams import CameraStream
from stm_ros.node.streams import Counts
from stm_ros.node.streams import StreamFigures

TRANSPORT_PROFILE = Path(__file__).with_name('fast_dds_large_images.xml')
#: losses in the window, and their share, from which they are told
_LEAST_LOST, _LEAST_LOST_SHARE = 3, 0.05
#: answers in the window from which the time of a step can be judged
_LEAST_STEPS = 10
#: a step is slow from so many times what it took at best, and so many seconds more
_SLOW_FACTOR, _SLOW_SECONDS = 2.0, 0.05


class StreamWatch:
    """Watches a stream. missing, slow: what is wrong now, in words; empty where nothing is."""

    def __init__(self, node: Node, intake: ImageIntake, stream: CameraStream) -> None:
        """Watch from now on."""
        self.intake = intake
        self.missing = ''
        self.slow = ''
        self._node = node
        self._stream = stream
        self._opened = time.monotonic()
        self._has_told_losses = False
        self._best_step = float('inf')
        self._targets = 0
        # steps of before say nothing of those with other targets, and without any take no time
        self._judged_since = float('-inf')

    def look(self, targets: int, threads: int) -> None:
        """Look now. targets: that are tracked. threads: of the network."""
        self.intake.adapt()
        figures = self._stream.figures()
        self._look_for_images(figures)
        self._look_for_losses(figures.recent)
        self._look_for_slow_steps(targets, threads)

    def _look_for_images(self, figures: StreamFigures) -> None:
        silence = (time.monotonic() - self._opened if figures.silence is None
                   else figures.silence)
        if silence < SILENT_SECONDS:
            self.missing = ''
            return
        is_news = not self.missing
        self.missing = why_no_image(self._node, self.intake)
        if is_news:
            self._node.get_logger().warning(
                f'stream {self._stream.name!r}: no image for {silence:.0f} s on {self.missing}')

    def _look_for_losses(self, recent: Counts) -> None:
        sent = recent.received + recent.missing
        if (self._has_told_losses or recent.missing < _LEAST_LOST
                or recent.missing < _LEAST_LOST_SHARE * sent):
            return
        self._has_told_losses = True
        self._node.get_logger().warning(
            f'stream {self._stream.name!r}: {recent.missing} of {sent} images were lost on the way '
            f'in {WINDOW_SECONDS:.0f} s{by_what(recent)}. {remedy_for_losses()}')

    def _look_for_slow_steps(self, targets: int, threads: int) -> None:
        if targets != self._targets:
            self._targets, self._best_step, self.slow = targets, float('inf'), ''
            self._judged_since = self._stream.clock()
        steps = self._stream.steps_since(self._judged_since)
        if len(steps) < _LEAST_STEPS:
            return
        step = float(np.median(steps))
        self._best_step = min(self._best_step, step)
        is_slow = (step > _SLOW_FACTOR * self._best_step
                   and step > self._best_step + _SLOW_SECONDS)
        was_slow, self.slow = bool(self.slow), '' if not is_slow else (
            f'a step takes {1000 * step:.0f} ms and took {1000 * self._best_step:.0f} ms')
        if self.slow and not was_slow:
            self._node.get_logger().warning(
                f'stream {self._stream.name!r}: {self.slow}: other processes use the processors, '
                f'or images became larger. The network has {threads} threads; fewer (threads) wait '
                'less for each other, and input_size makes steps shorter')


def by_what(recent: Counts) -> str:
    """Where the middleware told of fewer losses than stamps show, how they are known."""
    return ', by the gaps in their stamps' if recent.skipped > recent.lost else ''


def remedy_for_losses() -> str:
    """What helps where images are lost, in a sentence or two."""
    advice = 'If the driver can publish reliably, let it: image_reliability follows.'
    if 'fastrtps' in get_rmw_implementation_identifier():
        return (f'Start the camera driver and this node with FASTRTPS_DEFAULT_PROFILES_FILE='
                f'{TRANSPORT_PROFILE} (Kilted: FASTDDS_DEFAULT_PROFILES_FILE). {advice}')
    return f"See the middleware's own documents for large messages. {advice}"
