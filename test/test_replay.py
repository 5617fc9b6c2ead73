# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings in, results out: pixels, stamps and bytes, with the real tracker."""
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import Reader
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.replay.bags import message_types
from stm_ros.replay.frames import Frame
from stm_ros.replay.offline import replay
from stm_ros.replay.reference import show_reference
from stm_ros.replay.result_bag import ResultBagWriter
from stm_ros.replay.sources import ArraySource
from stm_ros.replay.sources import ImageSource
from stm_ros.replay.sources import VideoSource
from stm_ros.replay.sources import open_source
from stm_ros.replay.viewing import result_types
from stm_ros.replay.writers import PredictionsWriter
from stm_ros.replay.writers import VideoWriter
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.output_folder import MANIFEST

weights_shipped = pytest.mark.skipif(
    not SHIPPED_WEIGHTS.is_file(), reason=f'no shipped weights at {SHIPPED_WEIGHTS}')
STAMPS = [1_700_000_000_123_456_789 + 40_000_000 * index for index in range(4)]


def disc_at(x: int, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A textured red disc on textured green around (x, 48), and its mask of 0 and 255."""
    rng = np.random.default_rng(0)
    mask = cv2.circle(np.zeros((height, width), np.uint8), (x, height // 2), 20, 255, cv2.FILLED)
    image = np.where(mask[..., None] > 0, (200, 40, 30), (50, 110, 60))
    return (image + rng.integers(-20, 21, image.shape)).clip(0, 255).astype(np.uint8), mask


IMAGES = [disc_at(40 + 8 * index)[0] for index in range(4)]


def write_bag(path: Path, storage: str = 'mcap', compressed: bool = False,
              topics: tuple[str, ...] = ('/camera/image',), images: list[np.ndarray] = IMAGES,
              per_message: bool = False, spoil: int | None = None) -> Path:
    """Record `images` as a camera would; receipt is 5 ms after the stamp. `spoil` cuts one."""
    types = message_types()
    make = types.types
    kind = 'sensor_msgs/msg/CompressedImage' if compressed else 'sensor_msgs/msg/Image'
    plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
    writer = Writer(path, version=8, storage_plugin=plugin)
    if per_message:
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        text = writer.add_connection('/chatter', 'std_msgs/msg/String', typestore=types)
        writer.write(text, STAMPS[0], types.serialize_cdr(
            make['std_msgs/msg/String'](data='hello'), 'std_msgs/msg/String'))
        for topic in topics:
            connection = writer.add_connection(topic, kind, typestore=types)
            for index, (image, stamp) in enumerate(zip(images, STAMPS, strict=True)):
                header = make['std_msgs/msg/Header'](
                    stamp=make['builtin_interfaces/msg/Time'](
                        sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id='wrist_optical')
                data = (cv2.imencode('.png', image[..., ::-1])[1].reshape(-1) if compressed
                        else image.reshape(-1))
                if index == spoil:
                    data = data[:-5]
                fields = ({'format': 'png', 'data': data} if compressed else
                          {'height': image.shape[0], 'width': image.shape[1], 'encoding': 'rgb8',
                           'is_bigendian': 0, 'step': 3 * image.shape[1], 'data': data})
                message = make[kind](header=header, **fields)
                writer.write(connection, stamp + 5_000_000, types.serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('per_message', [False, True])
def test_bag_gives_pixels_stamps_and_frames(tmp_path, storage, compressed, per_message):
    source = open_source(write_bag(tmp_path / 'bag', storage, compressed, per_message=per_message))
    frames = list(source)
    assert len(frames) == 4 and source.rate == pytest.approx(25, rel=1e-6)
    for frame, image, stamp in zip(frames, IMAGES, STAMPS, strict=True):
        assert np.array_equal(frame.image, image)
        assert (frame.stamp_ns, frame.recorded_ns) == (stamp, stamp + 5_000_000)
        assert frame.frame_id == 'wrist_optical'
    assert [f.stamp_ns for f in source] == STAMPS, 'a source can be read twice'


@pytest.mark.parametrize('suffix', ['mcap', 'db3'])
def test_single_storage_file_without_metadata(tmp_path, suffix):
    bag = write_bag(tmp_path / 'bag', 'mcap' if suffix == 'mcap' else 'sqlite3')
    (bag / 'metadata.yaml').unlink()
    file = next(bag.glob(f'*.{suffix}'))
    assert np.array_equal(next(iter(open_source(file))).image, IMAGES[0])


def test_topic_has_to_be_clear(tmp_path):
    bag = write_bag(tmp_path / 'bag', topics=('/left', '/right'))
    with pytest.raises(InputError, match='/left, /right'):
        open_source(bag)
    with pytest.raises(InputError, match="'/middle'.*/left, /right"):
        open_source(bag, '/middle')
    with pytest.raises(InputError, match="'/chatter'"):
        open_source(bag, '/chatter')
    assert len(list(open_source(bag, '/right'))) == 4
    with pytest.raises(InputError, match='no image topic; it has /chatter'):
        open_source(write_bag(tmp_path / 'talk', topics=()))


def test_damaged_bags_say_so(tmp_path):
    for suffix in ('mcap', 'db3'):
        (tmp_path / f'x.{suffix}').write_bytes(b'neither SQLite nor mcap' * 50)
        with pytest.raises(InputError, match=f'x.{suffix}'):
            list(open_source(tmp_path / f'x.{suffix}'))
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'metadata.yaml').write_text('not: a bag')
    with pytest.raises(InputError, match='folder'):
        open_source(tmp_path / 'folder')
    with pytest.raises(InputError, match='does not exist'):
        open_source(tmp_path / 'absent.mcap')
    source = open_source(write_bag(tmp_path / 'spoilt', spoil=2))
    assert [frame.stamp_ns for frame in source] == [STAMPS[0], STAMPS[1], STAMPS[3]]
    (note,) = source.notes
    assert '1 of 4 images were skipped: message 2: rgb8 image: the data holds 36859 bytes' in note


def test_recordings_of_real_robots(shared_dir):
    """Old type names, zstd in each message, no metadata.yaml: both are read all the same."""
    goal = list(open_source(shared_dir / 'data/bags/soccer_goal_12.mcap'))
    assert [frame.stamp_ns for frame in goal] == [8297777777, 8331088888]
    assert all(frame.image.shape == (480, 640, 3) and frame.image.std() > 20 for frame in goal)
    red, green, blue = goal[0].image[400:, 100:500].reshape(-1, 3).mean(axis=0)
    assert green > 1.5 * max(red, blue), 'the pitch is green'
    kitchen = shared_dir / 'data/bags/klintan_sample.db3'
    with pytest.raises(InputError, match='/image, /image/compressed'):
        open_source(kitchen)
    for topic in ('/image', '/image/compressed'):
        frames = list(open_source(kitchen, topic))
        assert len(frames) == 1 and frames[0].image.shape == (480, 640, 3)
        assert frames[0].image.std() > 20


def test_video_file(tmp_path):
    writer = VideoWriter(tmp_path / 'v.mp4', 10)
    for image in IMAGES:
        writer.write(image)
    writer.close()
    frames = list(open_source(tmp_path / 'v.mp4'))
    assert [frame.stamp_ns for frame in frames] == [10**8 * (index + 1) for index in range(4)]
    for frame, image in zip(frames, IMAGES, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 15
    part = list(VideoSource(tmp_path / 'v.mp4', 1, 3))
    assert [frame.stamp_ns for frame in part] == [2 * 10**8, 3 * 10**8]
    assert np.array_equal(part[0].image, frames[1].image)


@pytest.mark.parametrize('rate', [1e-6, 0.03, 1e6, 1e9])
def test_videos_of_rates_that_no_container_tells(tmp_path, rate):
    """As of recordings with a picture an hour, or with stamps a nanosecond apart."""
    writer = VideoWriter(tmp_path / 'v.mp4', rate)
    for _ in range(3):
        writer.write(np.zeros((32, 48, 3), np.uint8))
    writer.close()
    assert len(list(VideoSource(tmp_path / 'v.mp4'))) == 3


def test_video_of_odd_size(tmp_path):
    writer = VideoWriter(tmp_path / 'v.mp4', 10)
    writer.write(IMAGES[0][:95, :127])
    writer.close()
    assert next(iter(open_source(tmp_path / 'v.mp4'))).image.shape == (94, 126, 3)


def test_videos_that_are_none(tmp_path):
    (tmp_path / 'v.mp4').write_text('no video')
    with pytest.raises(InputError, match='not a video'):
        open_source(tmp_path / 'v.mp4')
    with pytest.raises(InputError, match='does not exist'):
        open_source(tmp_path / 'absent.mp4')
    with pytest.raises(InputError, match='empty range'):
        VideoSource(tmp_path / 'v.mp4', 5, 5)
    with pytest.raises(InputError, match="no topic '/x'"):
        open_source(tmp_path / 'v.mp4', '/x')


def test_folders_and_sequences(tmp_path):
    for index, image in enumerate(IMAGES):
        write_image(tmp_path / f'{index + 1:03d}.png', image)
    (tmp_path / 'notes.txt').write_text('no image')
    for name in ('', '*.png', '%03d.png'):
        source = open_source(tmp_path / name, rate=5)
        frames = list(source)
        assert [frame.stamp_ns for frame in frames] == [2 * 10**8 * n for n in (1, 2, 3, 4)]
        assert all(np.array_equal(f.image, i) for f, i in zip(frames, IMAGES, strict=True))
    assert len(list(open_source(tmp_path / '002.png'))) == 1
    with pytest.raises(InputError, match='holds no images'):
        open_source(tmp_path / '*.jpg')
    with pytest.raises(InputError, match='single number'):
        open_source(tmp_path / '%d_%d.png')
    with pytest.raises(InputError, match='a rate of 0 frames per second'):
        ImageSource('x', [tmp_path / '001.png'], 0)
    (tmp_path / '001.png').write_text('broken')
    with pytest.raises(InputError, match='001.png'):
        list(open_source(tmp_path))


def test_reference_by_mask_or_box(tmp_path):
    image, mask = disc_at(64)
    write_label_map(tmp_path / 'm.png', mask)
    by_mask = show_reference(image, None, tmp_path / 'm.png', target_id=7).label_map
    assert np.array_equal(by_mask, np.where(mask > 0, 7, 0))
    by_box = show_reference(
        image, None, None, Box(38, 22, 52, 52), target_id=7).label_map
    assert set(np.unique(by_box)) == {0, 7} and (by_box == by_mask).mean() > 0.99
    for mask, box in ((tmp_path / 'm.png', Box(1, 1, 9, 9)), (None, None)):
        with pytest.raises(InputError, match='exactly one'):
            show_reference(image, None, mask, box)
    with pytest.raises(InputError, match='target id 0'):
        show_reference(image, None, tmp_path / 'm.png', target_id=0)
    with pytest.raises(InputError, match='128×96.*100×96'):
        show_reference(image[:, :100], None, tmp_path / 'm.png')


def test_predictions_without_frames_are_json(tmp_path):
    for about in ({}, {'tool': 'stm'}):
        writer = PredictionsWriter(tmp_path / 'p.json', about)
        writer.close(frame_count=0)
        assert json.loads((tmp_path / 'p.json').read_text()) == {
            **about, 'frames': [], 'frame_count': 0}


def test_result_bag_refuses_to_overwrite(tmp_path):
    ResultBagWriter(tmp_path / 'bag').close()
    with pytest.raises(OSError, match='exists already'):
        ResultBagWriter(tmp_path / 'bag')
    with pytest.raises(InputError, match='rosbag1'):
        ResultBagWriter(tmp_path / 'other', 'rosbag1')


def replay_into(out: Path, bag: Path, mask: Path, *more: str) -> int:
    return main(['replay', str(bag), '--reference-mask', str(mask), '--label', 'disc',
                 '--target-id', '3', '--out', str(out), *more])


@pytest.fixture(scope='module')
def replayed(tmp_path_factory):
    """A bag replayed twice by the command, into `first` and `again`."""
    if not SHIPPED_WEIGHTS.is_file():
        pytest.skip(f'no shipped weights at {SHIPPED_WEIGHTS}')
    folder = tmp_path_factory.mktemp('replay')
    bag = write_bag(folder / 'source')
    write_label_map(folder / 'mask.png', disc_at(40)[1])
    for name in ('first', 'again'):
        assert replay_into(folder / name, bag, folder / 'mask.png') == 0
    return folder


def test_replay_repeats_bit_by_bit(replayed):
    files = sorted(path.relative_to(replayed / 'first')
                   for path in (replayed / 'first').rglob('*') if path.is_file())
    assert {path.parts[0] for path in files} == {
        'annotated.mp4', 'predictions.json', 'masks', 'bag', 'report.html', MANIFEST}
    # the report also tells the time that frames took, and the manifest its digest
    for path in set(files) - {Path('report.html'), Path(MANIFEST)}:
        assert (replayed / 'first' / path).read_bytes() == (replayed / 'again' / path).read_bytes()


def test_replay_finds_the_disc(replayed):
    predictions = json.loads((replayed / 'first' / 'predictions.json').read_text())
    assert predictions['frame_count'] == len(predictions['frames']) == 4
    assert predictions['targets'] == {'3': 'disc'}
    for index, frame in enumerate(predictions['frames']):
        found = read_mask(replayed / 'first' / frame['mask']) == 3
        truth = disc_at(40 + 8 * index)[1] > 0
        assert (found & truth).sum() / (found | truth).sum() > 0.5
        target = frame['targets'][0]
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert target['area'] == found.sum()
        assert target['box'] == [columns[0], rows[0], columns[-1] - columns[0] + 1,
                                 rows[-1] - rows[0] + 1]
        assert sum(frame['attention']['3']) == pytest.approx(1, abs=1e-3)


def test_result_bag_says_the_same_under_the_source_s_stamps(replayed):
    predictions = json.loads((replayed / 'first' / 'predictions.json').read_text())['frames']
    types = result_types()
    with Reader(replayed / 'first' / 'bag') as reader:
        received = [(connection.topic, time, types.deserialize_cdr(data, connection.msgtype))
                    for connection, time, data in reader.messages(reader.connections)]
    assert {topic for topic, _, _ in received} == {
        f'/stm_tracker/{name}' for name in ('mask', 'targets', 'memory', 'detections',
                                            'overlay/compressed')}
    for topic in ('mask', 'targets', 'memory'):
        messages = [(time, m) for name, time, m in received if name == f'/stm_tracker/{topic}']
        assert [time for time, _ in messages] == [stamp + 5_000_000 for stamp in STAMPS]
        for (_, message), stamp, told in zip(messages, STAMPS, predictions, strict=True):
            assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp
            assert message.header.frame_id == 'wrist_optical'
            if topic == 'mask':
                expected = read_mask(replayed / 'first' / told['mask'])
                assert message.encoding == 'mono8' and message.step == message.width
                assert np.array_equal(message.data.reshape(message.height, -1), expected)
            elif topic == 'targets':
                target, entry = message.targets[0], told['targets'][0]
                box = target.box[0]
                assert (target.id, target.label, target.area) == (3, 'disc', entry['area'])
                assert [box.x_min, box.y_min, box.width, box.height] == entry['box']
                assert target.confidence == pytest.approx(entry['confidence'], abs=1e-5)
            else:
                assert message.slots[0].kind == 'reference'
                assert message.targets[0].attention == pytest.approx(
                    told['attention']['3'], abs=1e-5)


@weights_shipped
def test_replay_replaces_what_an_earlier_run_left(replayed, tmp_path):
    shutil.copytree(replayed / 'first', tmp_path / 'out')
    assert replay_into(tmp_path / 'out', replayed / 'source', replayed / 'mask.png',
                       '--max-frames', '2', '--storage', 'none') == 0
    assert len(list((tmp_path / 'out' / 'masks').iterdir())) == 2
    assert not (tmp_path / 'out' / 'bag').exists()


@pytest.mark.parametrize(('words', 'told'), [
    (['absent.mcap', '--box', '1,1,9,9'], 'absent.mcap does not exist'),
    (['bag', '--box', '1,1,9'], "'1,1,9' is no box"),
    (['bag', '--box', '1,1,9,9', '--max-frames', '0'], '--max-frames 0'),
    (['bag', '--box', '1,1,9,9', '--topic', '/x'], "'/x'"),
    (['bag', '--box', '1,1,9,9', '--weights', 'absent.safetensors'], 'absent.safetensors')])
def test_user_errors_are_one_line_and_code_2(tmp_path, capsys, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    write_bag(tmp_path / 'bag')
    assert main(['replay', *words, '--out', 'out']) == 2
    error = capsys.readouterr().err
    assert error.startswith('stm: error: ') and error.count('\n') == 1 and told in error
    assert not (tmp_path / 'out').exists()


def test_array_source_and_its_stamps():
    frames = list(ArraySource('x', IMAGES, 50))
    assert [frame.stamp_ns for frame in frames] == [2 * 10**7 * n for n in (1, 2, 3, 4)]
    assert frames[1].image is IMAGES[1]


@pytest.mark.parametrize('source, words', [
    ('clip.mcap', 'clip.mcap is a bag, and rosbags'), ('frames', 'writes the result bag')])
def test_without_rosbags_a_sentence_says_what_to_install(monkeypatch, capsys, source, words):
    from stm_ros.cli import replay as command
    monkeypatch.setattr(command, 'find_spec', lambda name: None)
    assert main(['replay', source, '--box', '1,1,5,5', '--out', 'nowhere']) == 2
    said = capsys.readouterr().err
    assert words in said and "pip install 'stm_ros[replay]'" in said


def test_images_that_come_late_are_left_out_and_told(tmp_path):
    class Disordered:
        name = 'disordered'
        rate = 10.0

        def __init__(self) -> None:
            self.notes: list[str] = []

        def __iter__(self):
            random = np.random.default_rng(0)
            image = random.integers(0, 255, (64, 64, 3), np.uint8)
            for index, stamp in enumerate((0, 200, 100, 300)):
                yield Frame(image, stamp * 1_000_000, 'lens', index)

    source = Disordered()
    tracker = Tracker.from_pretrained(config=TrackerConfig(dtype='float32', max_frames=3))
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    summary = replay(source, tracker, tmp_path / 'out',
                     lambda first: tracker.add_reference(first.image, mask), bag_storage=None)
    assert summary.frames == 3
    assert source.notes == ['1 images are older than what came before, and were left out']
