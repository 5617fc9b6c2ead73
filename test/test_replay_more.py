# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Replay of several topics, against an earlier result, and bags that can be looked at."""
import json
import shutil

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from test_replay import IMAGES
from test_replay import STAMPS
from test_replay import disc_at
from test_replay import weights_shipped
from test_replay import write_bag

from stm_ros.cli.main import main
from stm_ros.replay.baseline import compare_with_baseline
from stm_ros.replay.several import stream_topics
from stm_ros.replay.viewing import result_types
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_label_map

pytestmark = weights_shipped
TOPICS = ('/wrist/image_raw', '/head/image_raw')


@pytest.fixture(scope='module')
def replayed(tmp_path_factory):
    """A bag of two cameras, replayed as two streams into `out`."""
    folder = tmp_path_factory.mktemp('several')
    bag = write_bag(folder / 'source', topics=TOPICS)
    write_label_map(folder / 'mask.png', disc_at(40)[1])
    assert main(['replay', str(bag), '--topic', TOPICS[0], '--topic', f'top={TOPICS[1]}',
                 '--reference-mask', str(folder / 'mask.png'), '--out', str(folder / 'out'),
                 '--bag-images', '--label', 'disc']) == 0
    return folder


def words(folder, out, *more):
    return ['replay', str(folder / 'source'), '--topic', TOPICS[0], '--reference-mask',
            str(folder / 'mask.png'), '--out', str(out), '--storage', 'none', *more]


def test_each_topic_is_a_stream_with_results_of_its_own(replayed):
    for stream in ('wrist', 'top'):
        said = json.loads((replayed / 'out' / stream / 'predictions.json').read_text())
        assert (said['stream'], said['frame_count'], said['targets']) == (stream, 4, {'1': 'disc'})
        assert [frame['stamp_ns'] for frame in said['frames']] == STAMPS
        for index, frame in enumerate(said['frames']):
            found = read_mask(replayed / 'out' / stream / frame['mask']) == 1
            truth = disc_at(40 + 8 * index)[1] > 0
            assert (found & truth).sum() / (found | truth).sum() > 0.5
        assert sum(said['frames'][0]['attention']['1']) == pytest.approx(1, abs=1e-3)


def test_the_result_bag_can_be_looked_at(replayed):
    types = result_types()
    with Reader(replayed / 'out' / 'top' / 'bag') as reader:
        read = [(connection.topic, types.deserialize_cdr(data, connection.msgtype))
                for connection, _, data in reader.messages(reader.connections)]
    by_topic = {topic: [message for name, message in read if name == topic] for topic, _ in read}
    assert set(by_topic) == {f'/stm_tracker/top/{name}' for name in (
        'mask', 'targets', 'memory', 'detections', 'overlay/compressed', 'image/compressed')}
    said = json.loads((replayed / 'out' / 'top' / 'predictions.json').read_text())['frames']
    for index, (boxes, overlay, image) in enumerate(zip(
            by_topic['/stm_tracker/top/detections'],
            by_topic['/stm_tracker/top/overlay/compressed'],
            by_topic['/stm_tracker/top/image/compressed'], strict=True)):
        [detection] = boxes.detections
        x, y, width, height = said[index]['targets'][0]['box']
        assert (detection.id, detection.results[0].hypothesis.class_id) == ('1', 'disc')
        assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (
            x + width / 2, y + height / 2)
        assert (detection.bbox.size_x, detection.bbox.size_y) == (width, height)
        shown = cv2.imdecode(image.data, cv2.IMREAD_COLOR)[..., ::-1]
        # noise is what JPEG gives up
        smooth = [cv2.blur(one, (7, 7)).astype(int) for one in (shown, IMAGES[index])]
        assert np.abs(smooth[0] - smooth[1]).mean() < 3
        drawn = cv2.imdecode(overlay.data, cv2.IMREAD_COLOR)[..., ::-1]
        mask = read_mask(replayed / 'out' / 'top' / said[index]['mask']) == 1
        assert np.abs(drawn.astype(int) - shown)[mask].mean() > 30
        assert boxes.header.frame_id == overlay.header.frame_id == 'wrist_optical'


def test_the_same_is_as_expected_and_a_changed_mask_is_not(replayed, tmp_path, capsys):
    baseline = replayed / 'out' / 'wrist'
    assert main(words(replayed, tmp_path / 'new', '--expect', str(baseline))) in (0, 1)
    said = compare_with_baseline(tmp_path / 'new', tmp_path / 'new', 1.0)
    assert (said.frames, said.least_iou, said.first) == (4, 1.0, None)
    shutil.copytree(tmp_path / 'new', tmp_path / 'old')
    assert main(words(replayed, tmp_path / 'again', '--expect', str(tmp_path / 'old'))) == 0
    assert 'least IoU 1.000, mean 1.000, 0 of 4 frames differ' in capsys.readouterr().out
    mask = read_mask(tmp_path / 'old' / 'masks' / '00002.png')
    half = mask.copy()
    half[:48] = 0
    write_label_map(tmp_path / 'old' / 'masks' / '00002.png', half)
    assert main(words(replayed, tmp_path / 'again', '--expect', str(tmp_path / 'old'))) == 1
    iou = (half > 0).sum() / (mask > 0).sum()
    printed = capsys.readouterr().out
    assert f'first difference: frame 2 (stamp {STAMPS[2] / 1e9:.9f}): target 1 has IoU {iou:.3f}' \
        in printed
    assert main(words(replayed, tmp_path / 'again', '--expect', str(tmp_path / 'old'),
                      '--min-iou', '0.3')) == 0


def test_fewer_frames_and_lost_targets_differ(replayed, tmp_path):
    short = tmp_path / 'short'
    shutil.copytree(replayed / 'out' / 'wrist', short)
    said = json.loads((short / 'predictions.json').read_text())
    (short / 'predictions.json').write_text(json.dumps({'frames': said['frames'][:3]}))
    compared = compare_with_baseline(short, replayed / 'out' / 'wrist', 0.95)
    assert (compared.different, compared.first.frame) == (1, 3)
    assert compared.first.what == 'there are 3 frames; the baseline has 4'
    write_label_map(short / 'masks' / '00000.png', np.zeros((96, 128), np.uint8))
    assert compare_with_baseline(short, replayed / 'out' / 'wrist', 0.95).first.iou == 0.0


@pytest.mark.parametrize(('more', 'told'), [
    (['--expect', 'absent'], 'is no folder that `stm replay --out` wrote'),
    (['--min-iou', '1.5'], '--min-iou 1.5'), (['--speed', '0'], '--speed 0')])
def test_what_cannot_be_compared_is_said_before_work_begins(replayed, tmp_path, capsys, more, told):
    assert main(words(replayed, tmp_path / 'new', *more)) == 2
    assert told in capsys.readouterr().err and not (tmp_path / 'new').exists()


def test_the_baseline_is_not_overwritten(replayed, tmp_path, capsys):
    shutil.copytree(replayed / 'out' / 'wrist', tmp_path / 'old')
    before = (tmp_path / 'old' / 'predictions.json').read_bytes()
    assert main(words(replayed, tmp_path / 'old', '--expect', str(tmp_path / 'old'))) == 2
    assert 'would be overwritten' in capsys.readouterr().err
    assert (tmp_path / 'old' / 'predictions.json').read_bytes() == before


def test_streams_are_named_by_what_tells_topics_apart():
    assert stream_topics(['/robot/wrist/image', '/robot/head/image']) == {
        'wrist': '/robot/wrist/image', 'head': '/robot/head/image'}
    assert stream_topics(['a=/x', 'b=/x']) == {'a': '/x', 'b': '/x'}
    for bad, told in ((['/x/image', '/x/image'], 'two streams'), (['a b=/x', 'c=/y'], "'a b'"),
                      ([f's{n}=/x' for n in range(17)], '17 topics')):
        with pytest.raises(InputError, match=told):
            stream_topics(bad)


def test_without_target_or_folder_nothing_is_done(replayed, capsys):
    assert main(['replay', str(replayed / 'source'), '--topic', TOPICS[0], '--out', 'x']) == 2
    assert '--reference-mask or --box' in capsys.readouterr().err
    assert main(['replay', str(replayed / 'source'), '--box', '1,1,9,9']) == 2
    assert '--out is needed' in capsys.readouterr().err
