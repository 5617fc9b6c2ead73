# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings as people have them: cut, packed, without metadata, among strangers, oddly named."""
import shutil
import sqlite3
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

from stm_ros.replay import bags
from stm_ros.replay.bags import message_types
from stm_ros.replay.frames import Frame
from stm_ros.replay.result_bag import ResultBagWriter
from stm_ros.replay.sources import open_source
from stm_ros.vision.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COUNT = 6
SHAPE = (24, 32, 3)
TYPES = message_types()


def image(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, SHAPE, dtype=np.uint8)


def stamp_of(index: int) -> int:
    return 1_700_000_000_000_000_000 + 100_000_000 * index


def serialized(index: int) -> bytes:
    make = TYPES.types
    stamp = stamp_of(index)
    header = make['std_msgs/msg/Header'](stamp=make['builtin_interfaces/msg/Time'](
        sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id='camera')
    message = make['sensor_msgs/msg/Image'](
        header=header, height=SHAPE[0], width=SHAPE[1], encoding='rgb8', is_bigendian=0,
        step=3 * SHAPE[1], data=image(index).reshape(-1))
    return bytes(TYPES.serialize_cdr(message, 'sensor_msgs/msg/Image'))


def record(path: Path, storage: str = 'mcap', indices: range = range(COUNT),
           compression: CompressionMode | None = None) -> Path:
    writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/image', 'sensor_msgs/msg/Image', typestore=TYPES)
        for index in indices:
            writer.write(connection, stamp_of(index), serialized(index))
    return path


def storage_of(bag: Path) -> Path:
    return next(path for path in bag.iterdir() if path.name != 'metadata.yaml')


def indices(frames: list[Frame]) -> list[int]:
    """Which images they are, by stamp, after comparing pixels."""
    found = [(frame.stamp_ns - stamp_of(0)) // 100_000_000 for frame in frames]
    for frame, index in zip(frames, found, strict=True):
        assert np.array_equal(frame.image, image(index))
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('name', ['a#b', 'what?', '50% of it', 'ü ñ'])
def test_any_path_is_read_and_written_where_it_says(tmp_path, storage, name):
    bag = record(tmp_path / 'plain', storage)
    shutil.move(bag, tmp_path / name)
    assert indices(list(open_source(tmp_path / name))) == list(range(COUNT))
    assert indices(list(open_source(storage_of(tmp_path / name)))) == list(range(COUNT))
    out = tmp_path / f'out {name}'
    out.mkdir()
    ResultBagWriter(out / 'bag', storage).close()
    suffix = 'mcap' if storage == 'mcap' else 'db3'
    assert sorted(path.name for path in (out / 'bag').iterdir()) == [f'bag.{suffix}',
                                                                     'metadata.yaml']
    assert {path.name for path in tmp_path.iterdir()} == {name, out.name}


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_split_files_without_metadata_are_read_in_natural_order(tmp_path, storage):
    folder = tmp_path / 'split'
    folder.mkdir()
    suffix = 'mcap' if storage == 'mcap' else 'db3'
    for place, part in ((2, range(0, 3)), (10, range(3, 6))):
        bag = record(tmp_path / f'part{place}', storage, part)
        storage_of(bag).rename(folder / f'rec_{place}.{suffix}')
    source = open_source(folder)
    assert indices(list(source)) == list(range(COUNT))
    assert 'no metadata.yaml; its 2 storage files' in source.notes[0]


def test_files_that_metadata_does_not_know_or_that_are_gone_are_told(tmp_path):
    bag = record(tmp_path / 'bag', indices=range(3))
    storage_of(record(tmp_path / 'more', indices=range(3, 6))).rename(bag / 'bag_1.mcap')
    source = open_source(bag)
    assert indices(list(source)) == list(range(COUNT))
    assert '1 storage files are not in metadata.yaml' in source.notes[0]
    (bag / 'bag.mcap').unlink()
    source = open_source(bag)
    assert indices(list(source)) == [3, 4, 5]
    assert '1 of 1 storage files are missing, the first is bag.mcap' in source.notes[0]
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: [')
    source = open_source(bag)
    assert indices(list(source)) == [3, 4, 5] and 'is damaged' in source.notes[0]


@pytest.mark.parametrize(('suffix', 'storage'), [('MCAP', 'mcap'), ('DB3', 'sqlite3')])
def test_suffixes_in_capitals(tmp_path, suffix, storage):
    file = storage_of(record(tmp_path / 'bag', storage))
    shutil.move(file, tmp_path / f'X.{suffix}')
    assert indices(list(open_source(tmp_path / f'X.{suffix}'))) == list(range(COUNT))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_packed_files_with_and_without_metadata(tmp_path, storage):
    if storage == 'sqlite3':
        bag = record(tmp_path / 'file', storage, compression=CompressionMode.FILE)
        assert storage_of(bag).name.endswith('.db3.zstd')
        assert indices(list(open_source(bag))) == list(range(COUNT))
    plain = storage_of(record(tmp_path / 'bag', storage))
    packed = tmp_path / f'{plain.name}.ZSTD'
    packed.write_bytes(zstd.compress(plain.read_bytes()))
    before = packed.read_bytes()
    assert indices(list(open_source(packed))) == list(range(COUNT))
    assert packed.read_bytes() == before
    packed.write_bytes(b'no zstd at all')
    with pytest.raises(InputError, match='cannot be unpacked'):
        open_source(packed)


def write_mcap(path: Path, chunk_size: int = 1, use_index: bool = True, **more) -> Path:
    """An mcap of small chunks, with channels of strangers in it."""
    with path.open('wb') as file:
        writer = McapWriter(file, chunk_size=chunk_size, use_summary_offsets=use_index, **more)
        writer.start(profile='ros2')
        schema = writer.register_schema('sensor_msgs/msg/Image', 'ros2msg', b'')
        channel = writer.register_channel('/image', 'cdr', schema)
        foreign = writer.register_channel('/log', 'json', writer.register_schema(
            'Log', 'jsonschema', b'{}'))
        proto = writer.register_channel('/video', 'protobuf', writer.register_schema(
            'foxglove.CompressedVideo', 'protobuf', b'\x00'))
        for index in range(COUNT):
            for each, data in ((foreign, b'{}'), (channel, serialized(index)), (proto, b'\x08')):
                writer.add_message(each, stamp_of(index), data, stamp_of(index))
        writer.finish()
    return path


def test_channels_of_strangers_are_left_alone(tmp_path):
    path = write_mcap(tmp_path / 'x.mcap')
    assert indices(list(open_source(path))) == list(range(COUNT))
    with pytest.raises(InputError, match="'/video'; it has /image"):
        open_source(path, '/video')


def test_a_cut_mcap_gives_what_is_whole(tmp_path):
    whole = write_mcap(tmp_path / 'x.mcap').read_bytes()
    cut = tmp_path / 'cut.mcap'
    previous = 0
    for share in (0.3, 0.6, 0.9, 0.995):
        cut.write_bytes(whole[:int(share * len(whole))])
        source = open_source(cut)
        found = indices(list(source))
        assert found == list(range(len(found))) and previous <= len(found)
        previous = len(found)
        assert 'messages are whole' in source.notes[0] and 'mcap recover' in source.notes[0]
    assert previous == COUNT
    cut.write_bytes(whole[:6])
    with pytest.raises(InputError, match='cut.mcap'):
        open_source(cut)


def test_a_damaged_chunk_costs_what_is_in_it_and_after(tmp_path):
    whole = bytearray(write_mcap(tmp_path / 'x.mcap', enable_crcs=True).read_bytes())
    place = whole.find(image(3).tobytes()[:64])
    if place < 0:  # packed: the middle of the file lies in some chunk
        place = len(whole) // 2
    whole[place:place + 8] = bytes(8)
    (tmp_path / 'x.mcap').write_bytes(whole)
    source = open_source(tmp_path / 'x.mcap')
    found = indices(list(source))
    assert found == list(range(len(found))) and 0 < len(found) < COUNT
    assert f'{len(found)} of {COUNT} messages of /image were read' in source.notes[-1]


def test_a_damaged_database_gives_what_is_whole(tmp_path):
    file = storage_of(record(tmp_path / 'bag', 'sqlite3', range(COUNT)))
    whole = file.read_bytes()
    file.write_bytes(whole[:len(whole) * 2 // 3])
    try:
        source = open_source(file)
        found = indices(list(source))
    except InputError as error:
        assert file.name in str(error)
    else:
        assert found == list(range(len(found))) and len(found) < COUNT
        assert 'is damaged' in source.notes[-1] and '.recover' in source.notes[-1]


def test_recordings_of_ros_1_are_named_with_the_way_out(tmp_path):
    for name in ('a.bag', 'a.BAG', 'a.bag.active'):
        (tmp_path / name).write_bytes(b'#ROSBAG V2.0\n' + bytes(40))
        with pytest.raises(InputError, match='recording of ROS 1.*rosbags-convert'):
            open_source(tmp_path / name)


def test_a_log_that_was_never_closed(tmp_path):
    """As the preset `resilient` leaves it when the recorder is killed."""
    bag = record(tmp_path / 'bag', 'sqlite3', range(COUNT))
    file = storage_of(bag)
    database = sqlite3.connect(file)
    database.execute('PRAGMA journal_mode=WAL')
    database.execute('PRAGMA wal_autocheckpoint=0')
    database.execute('UPDATE messages SET timestamp = timestamp')
    database.execute('DELETE FROM messages WHERE id = (SELECT max(id) FROM messages)')
    database.commit()
    killed = tmp_path / 'killed'
    shutil.copytree(bag, killed)
    database.close()
    before = contents(killed)
    source = open_source(killed)
    assert indices(list(source)) == list(range(COUNT - 1)), 'the log deletes the last'
    assert any('-wal are read too' in note for note in source.notes)
    assert contents(killed) == before


def test_empty_files_and_folders(tmp_path):
    (tmp_path / 'a.mcap').write_bytes(b'')
    with pytest.raises(InputError, match='empty'):
        open_source(tmp_path / 'a.mcap')
    bag = record(tmp_path / 'bag', indices=range(2))
    (bag / 'rest.mcap').write_bytes(b'')
    source = open_source(bag)
    assert indices(list(source)) == [0, 1]
    assert any('left out' in note and 'empty' in note for note in source.notes)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('is_cut', [False, True])
def test_each_message_is_read_by_its_own_type(tmp_path, storage, is_cut):
    """A topic that had two types, as when a driver was changed while recording went on."""
    if is_cut and storage == 'sqlite3':
        pytest.skip('only an mcap that was cut is read without its index')
    make = TYPES.types
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin[storage.upper()]
                ) as writer:
        raw, packed, other = (writer.add_connection('/image', kind, typestore=TYPES) for kind in (
            'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'))
        writer.write(raw, stamp_of(0), serialized(0))
        png = cv2.imencode('.png', image(1)[..., ::-1])[1].reshape(-1)
        stamp = make['builtin_interfaces/msg/Time'](sec=stamp_of(1) // 10**9,
                                                    nanosec=stamp_of(1) % 10**9)
        writer.write(packed, stamp_of(1), TYPES.serialize_cdr(
            make['sensor_msgs/msg/CompressedImage'](
                header=make['std_msgs/msg/Header'](stamp=stamp, frame_id='camera'), format='png',
                data=png), 'sensor_msgs/msg/CompressedImage'))
        writer.write(other, stamp_of(2), TYPES.serialize_cdr(
            make['std_msgs/msg/String'](data='x'), 'std_msgs/msg/String'))
        writer.write(raw, stamp_of(3), serialized(3))
    if is_cut:
        file = storage_of(tmp_path / 'bag')
        file.write_bytes(file.read_bytes()[:-20])
    source = open_source(tmp_path / 'bag')
    assert indices(list(source)) == [0, 1, 3]
    assert source.notes[-1].endswith('1 of 4 images were skipped: message 2: it is a '
                                     'std_msgs/msg/String, no image')


def test_a_recording_cut_before_its_first_images_says_so(tmp_path):
    file = storage_of(record(tmp_path / 'bag'))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match='has no image topic.*cut short.*mcap recover'):
        open_source(file)


def test_a_message_that_unpacks_to_more_than_an_image_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(bags, '_MOST_UNPACKED', 4000)
    bomb = zstd.compress(bytes(1_000_000))
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/image', 'sensor_msgs/msg/Image', typestore=TYPES)
        for index, data in enumerate((zstd.compress(serialized(0)), bomb,
                                      zstd.compress(serialized(2))[:-8])):
            writer.write(connection, stamp_of(index), data)
    source = open_source(tmp_path / 'bag')
    assert indices(list(source)) == [0]
    assert 'unpack to more than' in source.notes[0] and 'cut short' in source.notes[0]
