# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The storage files of rosbag2, sqlite3 and mcap: what topics they have, and their messages.

What is damaged or cut short is read as far as it is whole, and told in `notes`.
"""
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from typing import Any
from typing import NamedTuple
from typing import Protocol

from mcap.reader import SeekingReader
from mcap.records import Channel
from mcap.records import Chunk
from mcap.records import Header
from mcap.records import Message
from mcap.records import Schema
from mcap.stream_reader import StreamReader
from mcap.stream_reader import breakup_chunk

from stm_ros.vision.errors import InputError

_CDR = 'cdr'
#: a damaged file may spoil the very message of sqlite's error
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


@dataclass(frozen=True)
class Topic:
    """A topic of a storage file: its name, message type as `package/msg/Type`, and encoding."""

    name: str
    kind: str
    encoding: str

    @property
    def is_cdr(self) -> bool:
        """Whether its messages are ROS 2's own serialization."""
        return self.encoding == _CDR


class Stored(NamedTuple):
    """A message: when it was received in nanoseconds, its bytes, and its type."""

    recorded: int
    data: bytes
    kind: str


class Storage(Protocol):
    """A storage file that is open."""

    notes: list[str]

    def topics(self) -> list[Topic]: ...

    def messages(self, topic: str) -> Iterator[Stored]: ...


class SqliteStorage:
    """A `.db3` file; nothing beside it is written or locked."""

    def __init__(self, path: Path, name: str) -> None:
        """Open it; InputError where it is no recording. `name` is for people."""
        self.notes: list[str] = []
        self._name = name
        # as_uri quotes what a path may hold, such as # and ?
        self._database = sqlite3.connect(f'{path.absolute().as_uri()}?immutable=1', uri=True)
        try:
            self._topics = [Topic(str(topic), modern_type(str(kind)), str(encoding)) for
                            topic, kind, encoding in self._database.execute(
                                'SELECT name, type, serialization_format FROM topics')]
            self._database.execute('SELECT timestamp, data, topic_id FROM messages LIMIT 1')
        except SQLITE_ERRORS as error:
            self.close()
            raise InputError(f'{name} cannot be read as an sqlite3 recording: {error}') from error

    def topics(self) -> list[Topic]:
        """All topics."""
        return self._topics

    def messages(self, topic: str) -> Iterator[Stored]:
        """The messages of a topic, in the order of receipt."""
        count = odd = 0
        try:
            for recorded, data, kind in self._database.execute(
                    'SELECT timestamp, data, type FROM messages '
                    'JOIN topics ON topics.id = topic_id '
                    'WHERE name = ? ORDER BY timestamp, messages.id', (topic,)):
                # sqlite holds any type in any column, and a damaged file does
                if isinstance(recorded, int) and isinstance(data, bytes):
                    count += 1
                    yield Stored(recorded, data, modern_type(str(kind)))
                else:
                    odd += 1
        except SQLITE_ERRORS as error:
            self.notes.append(
                f'{self._name} is damaged ({error}): {count} messages of {topic} were read; '
                f'`sqlite3 FILE .recover | sqlite3 MENDED.db3` may bring back more')

        if odd:
            self.notes.append(f'{self._name} is damaged: {odd} rows of {topic} hold no message')

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class McapStorage:
    """A `.mcap` file, whole or cut short."""

    def __init__(self, path: Path, name: str) -> None:
        """Open it; InputError where it is no recording. `name` is for people."""
        self.notes: list[str] = []
        self._name = name
        self._file = path.open('rb')
        self._topics: list[Topic] = []
        self._counts: dict[str, int] = {}
        try:
            self._is_whole = self._read_summary()
            if not self._is_whole:
                self._topics = self._scan_topics()
        except InputError:
            self.close()
            raise

    def topics(self) -> list[Topic]:
        """All topics."""
        return self._topics

    def messages(self, topic: str) -> Iterator[Stored]:
        """The messages of a topic, in the order of receipt."""
        if not self._is_whole:
            yield from self._scan_messages(topic)
            return
        count = 0
        try:
            for schema, channel, message in _reader(self._file).iter_messages(topics=[topic]):
                if channel.message_encoding == _CDR:
                    count += 1
                    yield Stored(message.log_time, message.data, _kind_of(schema))
        # a damaged chunk raises what its decompression does
        except Exception as error:  # noqa: BLE001
            self.notes.append(
                f'{self._name} is damaged ({_reason(error)}): {count} of {self._counts[topic]} '
                f'messages of {topic} were read; `mcap recover FILE -o MENDED.mcap` may bring '
                'back more')

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_summary(self) -> bool:
        """Read the index at the end; whether there is one."""
        try:
            header = _reader(self._file).get_header()
            self._check_profile(header)
            summary = _reader(self._file).get_summary()
        except InputError:
            raise
        except Exception:  # noqa: BLE001
            return False
        if summary is None or not summary.chunk_indexes or summary.statistics is None:
            return False
        counts = summary.statistics.channel_message_counts
        for channel in summary.channels.values():
            self._counts[channel.topic] = (
                self._counts.get(channel.topic, 0) + counts.get(channel.id, 0))
            self._topics.append(_topic(channel, summary.schemas))
        return True

    def _scan_topics(self) -> list[Topic]:
        schemas: dict[int, Schema] = {}
        topics: dict[int, Topic] = {}
        for record in self._scan(with_notes=True):
            if isinstance(record, Header):
                self._check_profile(record)
            elif isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                topics[record.id] = _topic(record, schemas)
        return list(dict.fromkeys(topics.values()))

    def _scan_messages(self, topic: str) -> Iterator[Stored]:
        schemas: dict[int, Schema] = {}
        kinds: dict[int, str] = {}
        for record in self._scan():
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel) and record.topic == topic:
                kinds[record.id] = _kind_of(schemas.get(record.schema_id))
            elif isinstance(record, Message) and record.channel_id in kinds:
                yield Stored(record.log_time, record.data, kinds[record.channel_id])

    def _scan(self, with_notes: bool = False) -> Iterator[Any]:
        """All whole records in the order of the file, those inside chunks by time."""
        self._file.seek(0)
        messages = damaged = 0
        end = 'it has no index'
        try:
            for record in StreamReader(self._file, emit_chunks=True).records:
                inside = [record]
                if isinstance(record, Chunk):
                    try:
                        inside = breakup_chunk(record, validate_crc=True)
                    except Exception:  # noqa: BLE001
                        damaged += 1
                        continue
                # stable: what is no message stays before those that need it
                inside.sort(key=lambda each: each.log_time if isinstance(each, Message) else 0)
                messages += sum(isinstance(each, Message) for each in inside)
                yield from inside
        # a file that was cut ends in the middle of a record
        except Exception as error:  # noqa: BLE001
            if not messages and not self._file.tell() > 8:
                raise InputError(f'{self._name} cannot be read as an mcap recording: '
                                 f'{_reason(error)}') from error
            end = f'it is cut short: {_reason(error) or "the file ends"}'
        if with_notes:
            lost = f', {damaged} damaged chunks were left out' if damaged else ''
            self.notes.append(f'{self._name}: {end}; {messages} messages are whole{lost}. '
                              '`mcap recover FILE -o MENDED.mcap` mends it')

    def _check_profile(self, header: Header) -> None:
        if header.profile == 'ros1':
            raise InputError(f'{self._name} is a recording of ROS 1; convert it: '
                             '`mcap convert` writes ROS 2 from a ROS 1 bag')


def modern_type(name: str) -> str:
    """Return `package/msg/Type` also for the old `package/Type`."""
    package, _, rest = name.partition('/')
    return name if rest.startswith('msg/') else f'{package}/msg/{rest}'


def _reader(file: IO[bytes]) -> SeekingReader:
    file.seek(0)
    return SeekingReader(file, validate_crcs=True)


def _topic(channel: Channel, schemas: dict[int, Schema]) -> Topic:
    return Topic(channel.topic, _kind_of(schemas.get(channel.schema_id)), channel.message_encoding)


def _kind_of(schema: Schema | None) -> str:
    return 'without a type' if schema is None else modern_type(schema.name)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
