# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The frames of one stream that are held: images waiting for their answers, views, thumbnails."""
from collections import OrderedDict
from collections import deque
from types import MappingProxyType

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.console.pictures import thumbnail
from stm_ros.console.snapshots import MemoryView
from stm_ros.console.snapshots import View
from stm_ros.node.conversion import image_of
from stm_ros.vision.errors import InputError

MAX_IMAGES = 60
MAX_IMAGE_BYTES = 64_000_000
MAX_VIEWS = 40
MAX_VIEW_BYTES = 64_000_000
MAX_THUMBNAILS = 128


class ImageRing:
    """The newest images by stamp, at most MAX_IMAGES, and MAX_IMAGE_BYTES unless it is one."""

    def __init__(self) -> None:
        """Start empty."""
        self._images: OrderedDict[int, Image | CompressedImage] = OrderedDict()
        self._bytes = 0

    def add(self, stamp_ns: int, message: Image | CompressedImage) -> None:
        """Keep an image as the newest."""
        previous = self._images.pop(stamp_ns, None)
        self._bytes += len(message.data) - (0 if previous is None else len(previous.data))
        self._images[stamp_ns] = message
        while len(self._images) > 1 and (
                len(self._images) > MAX_IMAGES or self._bytes > MAX_IMAGE_BYTES):
            _, dropped = self._images.popitem(last=False)
            self._bytes -= len(dropped.data)

    def get(self, stamp_ns: int) -> Image | CompressedImage | None:
        """The image of that stamp, while it is held."""
        return self._images.get(stamp_ns)

    def newest(self) -> tuple[int, Image | CompressedImage] | None:
        """The image that came last, with its stamp."""
        if not self._images:
            return None
        stamp_ns = next(reversed(self._images))
        return stamp_ns, self._images[stamp_ns]


class ViewRing:
    """The newest views, at most MAX_VIEWS, and MAX_VIEW_BYTES unless it is two."""

    def __init__(self) -> None:
        """Start empty."""
        self._views: deque[View] = deque()

    def add(self, view: View) -> None:
        """Keep a view as the newest."""
        self._views.append(view)
        while len(self._views) > 2 and (
                len(self._views) > MAX_VIEWS
                or sum(each.bytes for each in self._views) > MAX_VIEW_BYTES):
            self._views.popleft()

    def snapshot(self) -> tuple[View, ...]:
        """The views, oldest first."""
        return tuple(self._views)


class Thumbnails:
    """Small pictures of the memory frames that one stream reads, at most MAX_THUMBNAILS."""

    def __init__(self, stream: str) -> None:
        """Start empty."""
        self._stream = stream
        self._pictures: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._published: MappingProxyType[tuple[str, int], bytes] = MappingProxyType({})

    def keep(self, stamp_ns: int, picture: bytes) -> None:
        """Keep a JPEG for this stream's frame of that stamp."""
        self._keep((self._stream, stamp_ns), picture)

    def keep_crop(self, stream: str, stamp_ns: int, picture: bytes) -> None:
        """Keep a JPEG of a part of a frame, which need not be this stream's, if there is none."""
        if (stream, stamp_ns) not in self._pictures:
            self._keep((stream, stamp_ns), picture)

    def _keep(self, key: tuple[str, int], picture: bytes) -> None:
        self._pictures[key] = picture
        self._pictures.move_to_end(key)
        while len(self._pictures) > MAX_THUMBNAILS:
            self._pictures.popitem(last=False)
        self._published = MappingProxyType(dict(self._pictures))

    def look(self, memory: MemoryView, images: ImageRing) -> None:
        """Make those of memory frames that have none yet and whose image is still held."""
        for slot in memory.slots:
            if slot.stream != self._stream:
                continue
            if slot.key in self._pictures:
                self._pictures.move_to_end(slot.key)
                continue
            message = images.get(slot.stamp_ns)
            if message is not None:
                try:
                    self.keep(slot.stamp_ns, thumbnail(image_of(message)))
                except InputError:
                    continue

    def snapshot(self) -> MappingProxyType[tuple[str, int], bytes]:
        """An immutable copy."""
        return self._published
