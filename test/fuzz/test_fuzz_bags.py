# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes a recording consists of: its whole images, or a refusal; the files unchanged."""
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fuzz_settings import FUZZ
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

from stm_ros.replay.bags import message_types
from stm_ros.replay.sources import open_source
from stm_ros.vision.errors import InputError

TYPES = message_types()


def recorded(storage: str) -> tuple[dict[str, bytes], str]:
    """The files of a small recording, and the name of the one with the messages."""
    make = TYPES.types
    with TemporaryDirectory() as folder:
        bag = Path(folder) / 'bag'
        with Writer(bag, version=8, storage_plugin=StoragePlugin[storage]) as writer:
            raw, packed = (writer.add_connection(f'/{kind}', f'sensor_msgs/msg/{kind}',
                                                 typestore=TYPES)
                           for kind in ('Image', 'CompressedImage'))
            for index in range(4):
                header = make['std_msgs/msg/Header'](
                    stamp=make['builtin_interfaces/msg/Time'](sec=index, nanosec=5), frame_id='c')
                for connection, fields in (
                        (raw, {'height': 4, 'width': 6, 'encoding': 'rgb8', 'is_bigendian': 0,
                               'step': 18, 'data': np.full(72, index, np.uint8)}),
                        (packed, {'format': 'jpeg', 'data': np.zeros(9, np.uint8)})):
                    message = make[connection.msgtype](header=header, **fields)
                    writer.write(connection, index * 10**9,
                                 TYPES.serialize_cdr(message, connection.msgtype))
        files = {path.name: path.read_bytes() for path in bag.iterdir()}
    return files, next(name for name in files if name != 'metadata.yaml')


RECORDINGS = {storage: recorded(storage) for storage in ('MCAP', 'SQLITE3')}


@st.composite
def changes(draw) -> list[tuple[str, int, bytes]]:
    """Where to cut, overwrite or insert, as shares of a million of the length."""
    kinds = st.sampled_from(['cut', 'overwrite', 'insert', 'remove'])
    return [(draw(kinds), draw(st.integers(0, 10**6)), draw(st.binary(min_size=1, max_size=12)))
            for _ in range(draw(st.integers(0, 4)))]


def apply(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, share, content in edits:
        place = share * len(data) // 10**6
        if kind == 'cut':
            data = data[:place]
        elif kind == 'remove':
            data = data[:place] + data[place + len(content):]
        else:
            rest = data[place + (len(content) if kind == 'overwrite' else 0):]
            data = data[:place] + content + rest
    return data


@pytest.mark.parametrize('storage', sorted(RECORDINGS))
@FUZZ
@given(edits=changes(), more=changes(), with_metadata=st.booleans(),
       topic=st.sampled_from(['/Image', '/CompressedImage', None]))
@example(edits=[('insert', 714321, b'\x00')], more=[], with_metadata=False, topic='/Image')
@example(edits=[('overwrite', 838, b'\x00'), ('overwrite', 131034, b'\x80')], more=[],
         with_metadata=False, topic='/Image')
def test_recordings(storage, edits, more, with_metadata, topic):
    files, name = RECORDINGS[storage]
    damaged = {name: apply(files[name], edits)}
    if with_metadata:
        damaged['metadata.yaml'] = apply(files['metadata.yaml'], more)
    with TemporaryDirectory() as folder:
        for each, data in damaged.items():
            (Path(folder) / each).write_bytes(data)
        try:
            source = open_source(folder, topic)
            count = 0
            for frame in source:
                count += 1
                assert frame.image.dtype == np.uint8 and frame.image.ndim == 3
            assert count <= 8 and source.rate > 0
        except InputError as error:
            assert str(error)
        else:
            assert edits or topic == '/CompressedImage' or count == 4
        assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == damaged
