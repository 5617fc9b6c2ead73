# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Targets in space over real DDS: colour, depth and intrinsics in, clouds and boxes out."""
import json

import cv2
import numpy as np
import pytest
from graph_client import NodeProcess
from graph_client import image_message
from graph_client import mask_pixels
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import PointCloud2
from stm_ros.msg import TargetGeometryArray

from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask

SECOND = 10 ** 9
FOCAL, NEAR, FAR = 400.0, 0.7, 1.5
TOPICS = ('image', 'depth', 'camera_info')
CLOUD, GEOMETRY = '/stm_tracker/target_cloud', '/stm_tracker/target_geometry'


def info_message(size, focal=FOCAL, stamp=0):
    message = CameraInfo(height=size[0], width=size[1], distortion_model='plumb_bob',
                         d=[0.0] * 5, k=[focal, 0.0, size[1] / 2, 0.0, focal, size[0] / 2,
                                         0.0, 0.0, 1.0])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, SECOND)
    return message


def depth_of(truth):
    """A target that stands upright before a wall, in metres; every seventh column is missing."""
    depth = np.where(truth == 1, NEAR, FAR)
    depth[:, ::7] = 0
    return depth


def read_cloud(message):
    names = [field.name for field in message.fields]
    assert names == ['x', 'y', 'z', 'rgb', 'id'] and message.point_step == 20
    kind = np.dtype([(name, '<u4' if name in ('rgb', 'id') else '<f4') for name in names])
    cloud = np.frombuffer(message.data, kind)
    assert len(cloud) == message.width * message.height and message.is_dense
    return cloud


def prepare(client, clip, **fields):
    response = client.tracker(
        'set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
        mask=image_message(clip[0][1] * 255, 'mono8'), label='cup', **fields)
    assert response.success, response.message
    client.listen_to_answers()
    client.listen(PointCloud2, CLOUD)
    client.listen(TargetGeometryArray, GEOMETRY)
    for topic in (CLOUD, GEOMETRY):
        client.wait_until(lambda topic=topic: client.count_publishers(topic) > 0, topic)


def frame(client, clip, index, depth, offset=0, depth_first=True):
    """Publish image `index` and its depth; the mask that comes back and the stamp."""
    image, truth = clip[index]
    stamp = (index + 1) * SECOND
    client.publish(info_message(truth.shape, stamp=stamp), '/camera_info')
    if depth_first:
        depth.header.stamp.sec, depth.header.stamp.nanosec = divmod(stamp + offset, SECOND)
        client.publish(depth, '/depth')
    mask, _, _ = client.ask(image_message(image, 'rgb8', stamp))
    if not depth_first:
        depth.header.stamp.sec, depth.header.stamp.nanosec = divmod(stamp + offset, SECOND)
        client.publish(depth, '/depth')
    return mask_pixels(mask), stamp


def settle_in(client, clip):
    """Frames until the cloud is heard: the tracker must have discovered its reader."""
    millimetres = np.rint(1000 * depth_of(clip[1][1])).astype('<u2')
    for _ in range(20):
        frame(client, clip, 1, image_message(millimetres, '16UC1'))
        try:
            client.wait_until(lambda: client.received[CLOUD] and client.received[GEOMETRY],
                              'a cloud', 1.0)
            return
        except AssertionError:
            continue
    raise AssertionError('no cloud came')


@pytest.mark.parametrize(('encoding', 'depth_first'), [('16UC1', True), ('32FC1', False)])
def test_targets_in_space(start_node, client, clip, encoding, depth_first):
    start_node('depth.enabled:=true', 'depth.margin:=3', topics=TOPICS)
    prepare(client, clip)
    settle_in(client, clip)
    count = len(client.received[GEOMETRY])
    metres = depth_of(clip[3][1])
    pixels = (np.rint(1000 * metres).astype('<u2') if encoding == '16UC1'
              else np.where(metres > 0, metres, np.nan).astype('<f4'))
    found, stamp = frame(client, clip, 3, image_message(pixels, encoding), 5_000_000, depth_first)
    client.wait_until(lambda: len(client.received[GEOMETRY]) > count, 'a geometry')
    client.wait_until(lambda: len(client.received[CLOUD]) > count, 'a cloud')
    geometry, cloud = client.received[GEOMETRY][-1], client.received[CLOUD][-1]
    for message in (geometry, cloud, geometry.targets[0]):
        assert message.header.frame_id == 'lens'
        assert message.header.stamp.sec * SECOND + message.header.stamp.nanosec == stamp
    assert geometry.depth_offset == pytest.approx(0.005)
    [target] = geometry.targets
    points = read_cloud(cloud)
    assert (target.id, target.label, target.points) == (1, 'cup', len(points))
    assert np.allclose(points['z'], NEAR, atol=1e-3) and set(points['id']) == {1}
    assert target.valid_share == pytest.approx(6 / 7, abs=0.04)
    assert target.margin == pytest.approx(3 * NEAR / FOCAL)
    rows, columns = np.nonzero(cv2.erode(clip[3][1], np.ones((7, 7), np.uint8)))
    height, width = clip[3][1].shape
    expected = [(columns.mean() - width / 2) * NEAR / FOCAL,
                (rows.mean() - height / 2) * NEAR / FOCAL, NEAR]
    middle = target.centroid[0]
    assert [middle.x, middle.y, middle.z] == pytest.approx(expected, abs=0.008)
    # every point has the colour of the pixel it came from
    place = np.rint([points['y'] * FOCAL / points['z'] + height / 2,
                     points['x'] * FOCAL / points['z'] + width / 2]).astype(int)
    image = clip[3][0][place[0], place[1]].astype(np.uint32)
    assert np.array_equal(points['rgb'], image[:, 0] << 16 | image[:, 1] << 8 | image[:, 2])
    assert found[place[0], place[1]].all() and (place[1] % 7 != 0).all()
    size = target.box_size[0]
    assert size.z < 0.02 and 0.03 < min(size.x, size.y) < max(size.x, size.y) < 0.3


def test_compressed_depth_places_targets_and_other_formats_are_named(start_node, client, clip):
    topic = '/depth/compressedDepth'
    node = start_node('depth.enabled:=true', 'depth.transport:=compressedDepth', 'depth.margin:=3',
                      topics=('image', 'depth/compressedDepth', 'camera_info'))
    prepare(client, clip)
    truth = clip[1][1]
    _, code = cv2.imencode('.png', np.rint(1000 * depth_of(truth)).astype(np.uint16))
    message = CompressedImage(data=bytes(12) + code.tobytes(), format='16UC1; compressedDepth png')

    def send(stamp: int) -> None:
        message.header.stamp.sec = stamp
        client.publish(info_message(truth.shape, stamp=stamp * SECOND), '/camera_info')
        client.publish(message, topic)
        client.ask(image_message(clip[1][0], 'rgb8', stamp * SECOND))
    stamps = iter(range(2, 100))
    client.wait_until(lambda: send(next(stamps)) or client.received[GEOMETRY], 'a geometry')
    [target] = client.received[GEOMETRY][-1].targets
    assert target.centroid[0].z == pytest.approx(NEAR, abs=0.002)
    assert target.valid_share == pytest.approx(6 / 7, abs=0.04)
    message.format = '16UC1; compressedDepth rvl'
    client.wait_until(lambda: send(next(stamps)) or 'compressedDepth rvl' in node.log, 'a warning')


def test_depth_that_is_too_far_away_in_time_or_of_another_size_gives_nothing(
        start_node, client, clip):
    node: NodeProcess = start_node('depth.enabled:=true', 'depth.tolerance:=0.01', topics=TOPICS)
    prepare(client, clip)
    settle_in(client, clip)
    heard = len(client.received[GEOMETRY])
    late = image_message(np.full(clip[0][1].shape, 700, '<u2'), '16UC1')
    for index in range(2, 7):
        frame(client, clip, index, late, 400_000_000)
    client.wait_until(lambda: frame(client, clip, 6, late, 400_000_000)
                      and 'had no depth image on /depth within' in node.log, 'a warning')
    small = image_message(np.full((60, 80), 700, '<u2'), '16UC1')
    client.wait_until(
        lambda: frame(client, clip, 7, small) and 'must be aligned' in node.log, 'a warning')
    assert len(client.received[GEOMETRY]) == heard
    # and the masks went on as if nothing had been wrong
    assert frame(client, clip, 2, small)[0].any()


def test_nothing_of_depth_is_there_unless_asked_for(start_node, client, clip):
    start_node()
    client.listen_to_answers()
    client.ask(image_message(clip[0][0], 'rgb8', SECOND))
    topics = dict(client.get_topic_names_and_types())
    assert not [name for name in topics if 'geometry' in name or name in (CLOUD, '/depth', '/tf')]


def test_frames_of_targets_on_tf(start_node, client, clip):
    tf2 = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed')
    start_node('depth.enabled:=true', 'depth.tf:=true', topics=TOPICS)
    prepare(client, clip)
    client.listen(tf2.TFMessage, '/tf')
    settle_in(client, clip)
    client.wait_until(lambda: client.received['/tf'], 'a transform')
    [transform] = client.received['/tf'][-1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ('lens', 'camera_target_1')
    assert transform.transform.translation.z == pytest.approx(NEAR, abs=0.01)


def test_boxes_for_those_who_know_vision_msgs(start_node, client, clip):
    vision = pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')
    start_node('depth.enabled:=true', topics=TOPICS)
    prepare(client, clip)
    client.listen(vision.Detection3DArray, '/stm_tracker/detections_3d')
    settle_in(client, clip)
    client.wait_until(lambda: client.received['/stm_tracker/detections_3d'], 'detections')
    [detection] = client.received['/stm_tracker/detections_3d'][-1].detections
    assert (detection.id, detection.results[0].hypothesis.class_id) == ('1', 'cup')
    assert detection.bbox.center.position.z == pytest.approx(NEAR, abs=0.02)


def test_tracked_objects_of_ycb_video(start_node, client, shared_dir):
    folder = shared_dir / 'data' / 'rgbd'
    if not folder.is_dir():
        pytest.skip(f'no YCB-Video frames in {folder}')
    meta = json.loads((folder / 'meta.json').read_text())
    start_node('depth.enabled:=true', topics=TOPICS)
    client.listen_to_answers()
    client.listen(TargetGeometryArray, GEOMETRY)
    client.wait_until(lambda: client.count_publishers(GEOMETRY) > 0, GEOMETRY)
    first = read_image(folder / '000001-color.png')
    response = client.tracker('set_reference', image=image_message(first, 'rgb8', SECOND),
                              mask=image_message(read_mask(folder / '000001-label.png'), 'mono8'))
    assert response.success, response.message
    checked = 0
    for number in range(2, 11):
        name = f'{number:06d}'
        stamp, k = number * SECOND, np.array(meta[name]['K'])
        raw = cv2.imread(str(folder / f'{name}-depth.png'), cv2.IMREAD_UNCHANGED)
        metres = raw / meta[name]['depth_units_per_metre']
        info = info_message(raw.shape, stamp=stamp)
        info.k = k.ravel().tolist()
        client.publish(info, '/camera_info')
        client.publish(image_message(np.rint(1000 * metres).astype('<u2'), '16UC1', stamp),
                       '/depth')
        client.ask(image_message(read_image(folder / f'{name}-color.png'), 'rgb8', stamp))
        client.wait_until(lambda stamp=stamp: any(
            message.header.stamp.sec * SECOND == stamp for message in client.received[GEOMETRY])
            or not client.received[GEOMETRY], 'a geometry')
        if not client.received[GEOMETRY]:
            continue
        label = read_mask(folder / f'{name}-label.png')
        for target in client.received[GEOMETRY][-1].targets:
            rows, columns = np.nonzero((label == target.id) & (metres > 0))
            z = metres[rows, columns]
            truth = [((columns - k[0, 2]) * z / k[0, 0]).mean(),
                     ((rows - k[1, 2]) * z / k[1, 1]).mean(), z.mean()]
            middle = target.centroid[0]
            assert [middle.x, middle.y, middle.z] == pytest.approx(truth, abs=0.012)
            assert target.valid_share > 0.7 and target.rejected_share < 0.2
            checked += 1
    assert checked >= 3 * 6
