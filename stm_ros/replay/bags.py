# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images out of rosbag2 recordings (sqlite3 and mcap), without ROS."""
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rosbags.typesys import Stores
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys.store import Typestore

from stm_ros.interfaces import interface_folder
from stm_ros.replay.bag_files import ReadyFile
from stm_ros.replay.bag_files import find_files
from stm_ros.replay.bag_files import make_ready
from stm_ros.replay.frames import DEFAULT_RATE
from stm_ros.replay.frames import LEAST_RATE
from stm_ros.replay.frames import MOST_RATE
from stm_ros.replay.frames import NANOSECONDS
from stm_ros.replay.frames import Frame
from stm_ros.replay.storage import Stored
from stm_ros.replay.storage import Topic
from stm_ros.vision.encodings import decode
from stm_ros.vision.encodings import decode_compressed
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import check_image

# the one that rosbags itself uses
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RAW_IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_RATE_MESSAGES = 20
_MOST_TOLD = 3
# bytes of a message: 64 million pixels of four channels of 16 bits, and what is around them
_MOST_UNPACKED = 64_000_000 * 8 + 1_000_000


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

    Also reads files without metadata.yaml, those whose recorder was killed, the types' old names
    (`sensor_msgs/Image`), and recordings compressed as files or message by message. Images that
    cannot be decoded are skipped and counted in `notes`. The rate is that of the first messages'
    usual distance.
    """

    def __init__(self, path: str | Path, topic: str | None = None) -> None:
        """
        Look into the bag; `topic` may be left out where there is one image topic only.

        :raises InputError: where it cannot be read, or the topic is absent, ambiguous or carries
            no images; the message lists what there is.
        """
        files = find_files(Path(path))
        # of copies, where there must be some; removed with this source
        self._scratch = TemporaryDirectory(prefix='stm_bag_')
        self._files: list[ReadyFile] = []
        self._known = list(files.notes)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self.notes: list[str] = []
        topics = self._look_into(files.paths)
        try:
            self.topic = _choose(topics, topic, str(path))
        except InputError as error:
            # what is damaged may have held the topic
            raise InputError('; '.join([str(error), *self._known])) from error
        self.name = f'{path}:{self.topic}'
        first = [message.recorded for message in islice(self._messages(), _RATE_MESSAGES)]
        intervals = np.diff(first)
        usual = float(np.median(intervals)) if intervals.size else 0.0
        rate = NANOSECONDS / usual if usual > 0 else DEFAULT_RATE
        self.rate = min(max(rate, LEAST_RATE), MOST_RATE)
        self.notes = list(self._known)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; InputError where there are messages and none can be decoded."""
        self.notes = list(self._known)
        skipped: list[str] = []
        count = index = 0
        for index, stored in enumerate(self._messages(), start=1):
            try:
                frame = self._frame(stored)
            except InputError as error:
                skipped.append(f'message {index - 1}: {error}')
                continue
            count += 1
            yield frame
        if skipped and not count:
            raise InputError(f'{self.name}: none of {index} images can be decoded; {skipped[0]}')
        if skipped:
            told = '; '.join(skipped[:_MOST_TOLD]) + (' ...' if len(skipped) > _MOST_TOLD else '')
            self.notes.append(f'{self.name}: {len(skipped)} of {index} images were skipped: {told}')

    def _look_into(self, paths: tuple[Path, ...]) -> list[Topic]:
        """The topics of all files; those that cannot be read at all are left out with a note."""
        topics: list[Topic] = []
        problem: InputError | None = None
        for path in paths:
            try:
                ready = make_ready(path, Path(self._scratch.name))
                with ready.opened() as storage:
                    topics += storage.topics()
                    self._known += [*ready.notes, *storage.notes]
                self._files.append(ready)
            except InputError as error:
                problem = error
                self._known.append(f'left out: {error}')
        if problem is not None and not self._files:
            raise problem
        return topics

    def _messages(self) -> Iterator[Stored]:
        for ready in self._files:
            with ready.opened() as storage:
                before = len(storage.notes)
                yield from storage.messages(self.topic)
                self.notes += storage.notes[before:]

    def _frame(self, stored: Stored) -> Frame:
        # topics of two types are rare, and each message tells which it is
        if stored.kind not in (RAW_IMAGE, COMPRESSED_IMAGE):
            raise InputError(f'it is a {stored.kind}, no image')
        message = self._deserialize(stored)
        if stored.kind == RAW_IMAGE:
            image = decode(message.encoding, message.data, message.height, message.width,
                           message.step, message.is_bigendian)
        else:
            image = decode_compressed(message.format, message.data)
        stamp = message.header.stamp
        return Frame(check_image(image), stamp.sec * NANOSECONDS + stamp.nanosec,
                     message.header.frame_id, stored.recorded)

    def _deserialize(self, stored: Stored) -> Any:
        try:
            return self._types.deserialize_cdr(_decompressed(stored.data), stored.kind)
        except InputError:
            raise
        # rosbags lets whatever a cut-off buffer causes pass through
        except Exception as error:  # noqa: BLE001
            raise InputError(f'{len(stored.data)} bytes are no {stored.kind}: {error!r}'
                             ) from error


def _choose(topics: list[Topic], wanted: str | None, path: str) -> str:
    images = {topic.name for topic in topics
              if topic.is_cdr and topic.kind in (RAW_IMAGE, COMPRESSED_IMAGE)}
    others = sorted({f'{topic.name} ({topic.kind}'
                     + ('' if topic.is_cdr else f' as {topic.encoding or "nothing"}') + ')'
                     for topic in topics})
    if not images:
        raise InputError(f'{path} has no image topic; it has {", ".join(others) or "no topic"}')
    if wanted is None:
        if len(images) > 1:
            raise InputError(
                f'{path} has several image topics, choose one: {", ".join(sorted(images))}')
        return next(iter(images))
    if wanted not in images:
        raise InputError(
            f'{path} has no image topic {wanted!r}; it has {", ".join(sorted(images))}')
    return wanted


def _decompressed(data: bytes) -> bytes | memoryview:
    """Undo a compression that the bag, without its metadata, no longer tells of."""
    if data[:4] != _ZSTD_MAGIC:
        return data
    unpacker = zstd.ZstdDecompressor()
    plain = unpacker.decompress(data, max_length=_MOST_UNPACKED)
    if not unpacker.eof and not unpacker.needs_input:
        raise InputError(f'{len(data)} bytes unpack to more than {_MOST_UNPACKED / 1e6:.0f} MB')
    if not unpacker.eof:
        raise InputError(f'{len(data)} compressed bytes are cut short')
    return np.frombuffer(plain, np.uint8).data
