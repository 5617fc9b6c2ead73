# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images out of rosbag2 recordings (sqlite3 and mcap), by the `rosbags` library, without ROS."""
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys.store import Typestore

from stm_ros.interfaces import interface_folder
from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.replay.sources import Frame
from stm_ros.vision.encodings import decode
from stm_ros.vision.encodings import decode_compressed
from stm_ros.vision.errors import InputError

# the one that rosbags itself uses
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RAW_IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_NANOSECONDS = 1_000_000_000
_RATE_MESSAGES = 20


def message_types() -> Typestore:
    """Return the message types of ROS 2 Jazzy and those of this package, for `rosbags`."""
    store = get_typestore(Stores.ROS2_JAZZY)
    own: dict[str, Any] = {}
    for path in sorted((interface_folder() / 'msg').glob('*.msg')):
        own.update(get_types_from_msg(path.read_text(), f'stm_ros/msg/{path.stem}'))
    store.register(own)
    return store


class BagSource:
    """
    The images of one topic of a rosbag2 recording, in the order they were received.

    Also reads files without metadata.yaml, the types' old names (`sensor_msgs/Image`), and
    messages compressed one by one. The rate is that of the first messages' usual distance.
    """

    def __init__(self, path: str | Path, topic: str | None = None) -> None:
        """
        Look into the bag; `topic` may be left out where there is one image topic only.

        :raises InputError: where it cannot be read, or the topic is absent, ambiguous or carries
            no images; the message lists what there is.
        """
        self._path = Path(path)
        if not self._path.exists():
            raise InputError(f'{path} does not exist; a rosbag2 folder or file is needed')
        self._types = get_typestore(Stores.ROS2_JAZZY)
        with _opened(self._path) as reader:
            chosen = _choose(reader.connections, topic, str(path))
            first = islice(_messages(reader, [chosen]), _RATE_MESSAGES)
            received = [recorded for _, recorded, _ in first]
        self.topic = chosen.topic
        self.name = f'{path}:{self.topic}'
        intervals = np.diff(received)
        usual = float(np.median(intervals)) if intervals.size else 0.0
        self.rate = _NANOSECONDS / usual if usual > 0 else DEFAULT_RATE

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; InputError names the first message that cannot be decoded."""
        with _opened(self._path) as reader:
            wanted = [c for c in reader.connections if c.topic == self.topic and _is_image(c)]
            for index, (connection, recorded, data) in enumerate(_messages(reader, wanted)):
                try:
                    yield self._frame(connection, recorded, data)
                except InputError as error:
                    raise InputError(f'{self.name}, message {index}: {error}') from error

    def _frame(self, connection: Connection, recorded: int, data: bytes | memoryview) -> Frame:
        kind = _modern(connection.msgtype)
        message = self._deserialize(data, kind)
        if kind == RAW_IMAGE:
            image = decode(message.encoding, message.data, message.height, message.width,
                           message.step, message.is_bigendian)
        else:
            image = decode_compressed(message.format, message.data)
        stamp = message.header.stamp
        return Frame(image, stamp.sec * _NANOSECONDS + stamp.nanosec, message.header.frame_id,
                     recorded)

    def _deserialize(self, data: bytes | memoryview, kind: str) -> Any:
        try:
            return self._types.deserialize_cdr(_decompressed(data), kind)
        # rosbags lets whatever a cut-off buffer causes pass through
        except Exception as error:
            raise InputError(f'{len(data)} bytes are no {kind}: {error!r}') from error


@contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    try:
        reader = Reader(path)
        reader.open()
    # what a damaged file raises depends on the storage: SQLite's, struct's and rosbags' own errors
    except Exception as error:
        raise InputError(f'{path} cannot be read as a bag: {error!r}') from error
    try:
        yield reader
    finally:
        reader.close()


def _messages(reader: Reader, wanted: list[Connection]
              ) -> Iterator[tuple[Connection, int, bytes | memoryview]]:
    try:
        yield from reader.messages(wanted)
    except ReaderError as error:
        raise InputError(f'{reader.path} is damaged: {error}') from error


def _choose(connections: list[Connection], topic: str | None, path: str) -> Connection:
    images = {c.topic: c for c in connections if _is_image(c)}
    others = sorted({f'{c.topic} ({_modern(c.msgtype)})' for c in connections})
    if not images:
        raise InputError(f'{path} has no image topic; it has {", ".join(others) or "no topic"}')
    if topic is None:
        if len(images) > 1:
            raise InputError(
                f'{path} has several image topics, choose one: {", ".join(sorted(images))}')
        return next(iter(images.values()))
    if topic not in images:
        raise InputError(
            f'{path} has no image topic {topic!r}; it has {", ".join(sorted(images))}')
    return images[topic]


def _is_image(connection: Connection) -> bool:
    return _modern(connection.msgtype) in (RAW_IMAGE, COMPRESSED_IMAGE)


def _modern(type_name: str) -> str:
    """Return `package/msg/Type` also for the old `package/Type`."""
    package, _, rest = type_name.partition('/')
    return type_name if rest.startswith('msg/') else f'{package}/msg/{rest}'


def _decompressed(data: bytes | memoryview) -> bytes | memoryview:
    """Undo a compression that the bag, without its metadata, no longer tells of."""
    if bytes(data[:4]) != _ZSTD_MAGIC:
        return data
    return np.frombuffer(zstd.decompress(data), np.uint8).data
