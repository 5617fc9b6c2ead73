# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One stream as it comes from the graph, put together into what the page shows."""
import time
from collections import deque
from types import MappingProxyType
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.console.frames import ImageRing
from stm_ros.console.frames import Thumbnails
from stm_ros.console.frames import ViewRing
from stm_ros.console.graph import ImageSource
from stm_ros.console.graph import is_offered_reliably
from stm_ros.console.graph import no_image
from stm_ros.console.history import Timelines
from stm_ros.console.pictures import pack
from stm_ros.console.pictures import thumbnail
from stm_ros.console.reading import read_context
from stm_ros.console.reading import read_memory
from stm_ros.console.reading import read_targets
from stm_ros.console.snapshots import ContextView
from stm_ros.console.snapshots import Fault
from stm_ros.console.snapshots import Figures
from stm_ros.console.snapshots import MemoryView
from stm_ros.console.snapshots import StreamView
from stm_ros.console.snapshots import TargetView
from stm_ros.console.snapshots import View
from stm_ros.msg import MemoryReadout
from stm_ros.msg import TargetArray
from stm_ros.msg import TargetContext
from stm_ros.node.conversion import image_of
from stm_ros.node.conversion import mask_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.vision.errors import InputError

#: without an image, or an answer, for so many seconds the page says so
SILENT_SECONDS = 3.0
#: how long after the last request of a browser the pictures are still subscribed to
WATCH_SECONDS = 10.0
#: a slow node gets more than that, at most this
MOST_PATIENCE = 10.0
_WINDOW_SECONDS = 5.0
_DEPTH = 5
_MAX_WAITING = 8
_MAX_TIMES = 400
_MAX_DELAYS = 15


class StreamFeed:
    """Subscribes to a stream's topics. Every method belongs to the ROS thread.

    Targets and memory are always listened to; images, masks and contexts, which cost the node and
    this process more, only while somebody looks.
    """

    def __init__(self, node: Node, tracker: str, name: str, prefix: str) -> None:
        """Listen to the outputs of `tracker` below `prefix`, such as /stm_tracker/wrist."""
        self.name = name
        self._node = node
        self._tracker = tracker
        self._prefix = prefix
        self._images, self._views = ImageRing(), ViewRing()
        self._thumbnails, self._timelines = Thumbnails(name), Timelines()
        self._source: ImageSource | None = None
        self._is_reliable = False
        self._watched_since: float | None = None
        self._targets: tuple[TargetView, ...] = ()
        self._memory = MemoryView()
        self._contexts: dict[int, ContextView] = {}
        # by stamp, while one of the two is still to come
        self._waiting_masks: dict[int, Image] = {}
        self._waiting_targets: dict[int, tuple[TargetView, ...]] = {}
        self._answer: tuple[int, Image, tuple[TargetView, ...]] | None = None
        self._sequence = 0
        self._shown_stamp: int | None = None
        self._image_times: deque[tuple[float, int]] = deque(maxlen=_MAX_TIMES)
        self._answer_times: deque[float] = deque(maxlen=_MAX_TIMES)
        self._delays: deque[float] = deque(maxlen=_MAX_DELAYS)
        self._decode_fault: Fault | None = None
        self._fault: Fault | None = None
        self._light = [
            node.create_subscription(TargetArray, f'{prefix}/targets', self._on_targets, _DEPTH),
            node.create_subscription(MemoryReadout, f'{prefix}/memory', self._on_memory, _DEPTH)]
        self._heavy: list[Any] = []

    def destroy(self) -> None:
        """Stop listening."""
        self._unwatch()
        for subscription in self._light:
            self._node.destroy_subscription(subscription)
        self._light.clear()

    def look_around(self, source: ImageSource | None, last_watched: float) -> None:
        """Once a second: follow the image topic and whoever looks; find out what is wrong."""
        now = time.monotonic()
        is_reliable = source is not None and is_offered_reliably(self._node, source.topic)
        if (source, is_reliable) != (self._source, self._is_reliable):
            self._unwatch()
            self._source, self._is_reliable = source, is_reliable
        if source is None or now - last_watched > WATCH_SECONDS:
            self._unwatch()
        elif not self._heavy:
            self._watch(source)
        self._fault = self._find_fault(now)

    def compose(self) -> None:
        """Make a view of the newest answer; of the newest image where no answer comes."""
        newest = self._newest_frame()
        if newest is None or newest[0] == self._shown_stamp:
            return
        stamp_ns, message, mask, targets = newest
        self._shown_stamp = stamp_ns
        try:
            pixels = image_of(message)
            label_map = None if mask is None else mask_of(mask)
        except InputError as error:
            topic = '' if self._source is None else f'Topic {self._source.topic}'
            self._decode_fault = Fault('The image cannot be read', (topic, f'{error}.'))
            return
        self._decode_fault = None
        if label_map is not None and label_map.shape != pixels.shape[:2]:
            label_map = None
        self._sequence += 1
        # others read it while this thread goes on
        pixels.setflags(write=False)
        self._views.add(View(
            self._sequence, stamp_ns, message.header.frame_id, pixels, label_map, targets,
            pack(pixels, label_map, targets, self._sequence, stamp_ns)))

    def keep_thumbnail(self, view: View) -> None:
        """Keep a small picture of a view that becomes a reference."""
        self._thumbnails.keep(view.stamp_ns, thumbnail(view.pixels))

    def snapshot(self, diagnostics: dict[str, str]) -> StreamView:
        """What the page shows of this stream now."""
        return StreamView(
            self.name, self._views.snapshot(), self._targets, self._memory,
            MappingProxyType(dict(self._contexts)), self._timelines.snapshot(),
            self._thumbnails.snapshot(), self._figures(), MappingProxyType(diagnostics),
            self._fault)

    def _watch(self, source: ImageSource) -> None:
        kind = Image if source.kind.endswith('/Image') else CompressedImage
        reliability = (ReliabilityPolicy.RELIABLE if self._is_reliable
                       else ReliabilityPolicy.BEST_EFFORT)
        make = self._node.create_subscription
        self._heavy = [
            make(kind, source.topic, self._on_image, QoSProfile(depth=1, reliability=reliability)),
            make(Image, f'{self._prefix}/mask', self._on_mask, _DEPTH),
            make(TargetContext, f'{self._prefix}/context', self._on_context, _DEPTH)]
        self._watched_since = time.monotonic()

    def _unwatch(self) -> None:
        for subscription in self._heavy:
            self._node.destroy_subscription(subscription)
        self._heavy.clear()
        self._watched_since = None

    def _newest_frame(self) -> tuple[int, Any, Image | None, tuple[TargetView, ...]] | None:
        if self._answer is not None:
            stamp_ns, mask, targets = self._answer
            message = self._images.get(stamp_ns)
            is_recent = time.monotonic() - self._answer_times[-1] < self._patience()
            if message is not None and is_recent:
                return stamp_ns, message, mask, targets
            if is_recent:
                return None
        newest = self._images.newest()
        return None if newest is None else (*newest, None, ())

    def _patience(self) -> float:
        """Seconds after which an answer is overdue, as this node goes."""
        lately = list(self._answer_times)[-6:]
        interval = (lately[-1] - lately[0]) / (len(lately) - 1) if len(lately) > 1 else 0.0
        return min(MOST_PATIENCE, max(SILENT_SECONDS, 3 * interval))

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp_ns = nanoseconds(message.header.stamp)
        self._images.add(stamp_ns, message)
        self._image_times.append((time.monotonic(), stamp_ns))

    def _on_mask(self, message: Image) -> None:
        self._pair(nanoseconds(message.header.stamp), message, None)

    def _on_targets(self, message: TargetArray) -> None:
        now, stamp_ns = time.monotonic(), nanoseconds(message.header.stamp)
        self._targets = read_targets(message)
        self._timelines.add(now, self._targets)
        self._contexts = {target.id: self._contexts[target.id] for target in self._targets
                          if target.id in self._contexts}
        self._answer_times.append(now)
        arrival = next((time for time, stamp in reversed(self._image_times)
                        if stamp == stamp_ns), None)
        if arrival is not None:
            self._delays.append(now - arrival)
        if self._heavy:
            self._pair(stamp_ns, None, self._targets)

    def _pair(self, stamp_ns: int, mask: Image | None,
              targets: tuple[TargetView, ...] | None) -> None:
        """Put mask and targets of one stamp together, whichever comes first."""
        if mask is not None:
            self._waiting_masks[stamp_ns] = mask
        if targets is not None:
            self._waiting_targets[stamp_ns] = targets
        if stamp_ns in self._waiting_masks and stamp_ns in self._waiting_targets:
            self._answer = (stamp_ns, self._waiting_masks.pop(stamp_ns),
                            self._waiting_targets.pop(stamp_ns))
        for waiting in (self._waiting_masks, self._waiting_targets):
            while len(waiting) > _MAX_WAITING:
                del waiting[next(iter(waiting))]

    def _on_memory(self, message: MemoryReadout) -> None:
        self._memory = read_memory(message)
        self._thumbnails.look(self._memory, self._images)

    def _on_context(self, message: TargetContext) -> None:
        context = self._contexts[message.target_id] = read_context(message)
        # frames from before this process have no other picture
        for item in context.evidence:
            self._thumbnails.keep_crop(item.stream, item.stamp_ns, item.jpeg)

    def _figures(self) -> Figures:
        now = time.monotonic()
        images = [time for time, _ in self._image_times]
        return Figures(
            _rate(images, now), _rate(self._answer_times, now),
            float(np.median(self._delays)) if self._delays else None,
            now - images[-1] if images else None,
            now - self._answer_times[-1] if self._answer_times else None)

    def _find_fault(self, now: float) -> Fault | None:
        source, since = self._source, self._watched_since
        if source is None or since is None or now - since < SILENT_SECONDS:
            return None
        silence = now - self._image_times[-1][0] if self._image_times else None
        if silence is None or silence > SILENT_SECONDS:
            # the node may hear what this process misses
            if not self._answer_times or now - self._answer_times[-1] > self._patience():
                return no_image(self._node, self._tracker, source, silence)
            return Fault('No picture here', (
                f'The node answers images of {source.topic}, but none reaches this page.',
                'Large images are lost between processes: use the Fast DDS profile of '
                'docs/performance.md for camera, node and console.'))
        if self._decode_fault is not None:
            return self._decode_fault
        if not self._answer_times or now - self._answer_times[-1] > 2 * self._patience():
            return Fault('The node does not answer', (
                f'Images come on {source.topic}, but nothing on {self._prefix}/targets.',
                'See its diagnostics and its log.'))
        return None


def _rate(times: Any, now: float) -> float:
    """Events a second in the last seconds; it falls when they stop, 0 for less than two."""
    lately = [time for time in times if now - time < _WINDOW_SECONDS]
    if len(lately) < 2:
        return 0.0
    period = (lately[-1] - lately[0]) / (len(lately) - 1)
    # the next one is late
    return (len(lately) - 1) / max(lately[-1] - lately[0], now - lately[0] - 2 * period)
