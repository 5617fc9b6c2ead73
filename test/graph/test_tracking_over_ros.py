# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The main job over real DDS: show a target, publish frames, read what comes back."""
import numpy as np
import pytest
from graph_client import image_message
from graph_client import mask_pixels
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from stm_ros.msg import FeatureMap
from stm_ros.msg import TargetContext

from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.image_files import read_image

SECOND = 10 ** 9


def show(client, clip, **fields):
    """Set the reference of the clip's first frame."""
    return client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8'), **fields)


def test_a_target_shown_once_is_followed(start_node, client, clip):
    start_node()
    response = show(client, clip, label='cup')
    assert (response.success, list(response.target_ids)) == (True, [1])
    client.listen_to_answers()
    for time, (image, truth) in enumerate(clip[1:], start=2):
        stamp = time * SECOND + 5
        mask, targets, memory = client.ask(image_message(image[..., ::-1], 'bgr8', stamp))
        for message in (mask, targets, memory, targets.targets[0]):
            assert message.header.frame_id == 'lens'
            assert message.header.stamp.sec * SECOND + message.header.stamp.nanosec == stamp
        found = mask_pixels(mask)
        assert set(np.unique(found)) <= {0, 1}
        overlap = ((found == 1) & (truth == 1)).sum() / ((found == 1) | (truth == 1)).sum()
        assert overlap > 0.7
        target = targets.targets[0]
        assert (target.id, target.label, target.state) == (1, 'cup', target.TRACKING)
        box, expected = target.box[0], box_of_mask(found == 1)
        assert (box.x_min, box.y_min, box.width, box.height) == (
            expected.x_min, expected.y_min, expected.width, expected.height)
        assert target.area == (found == 1).sum()
        assert sum(memory.targets[0].attention) == pytest.approx(1, abs=1e-4)
        assert len(memory.targets[0].attention) == len(memory.slots)
        assert memory.slots[0].kind == 'reference'


def test_a_lost_target_has_no_mask_and_no_box(start_node, client, clip):
    start_node()
    show(client, clip)
    client.listen_to_answers()
    blank = np.full_like(clip[0][0], 128)
    mask, targets, _ = client.ask(image_message(blank, 'rgb8', 3 * SECOND))
    assert not mask_pixels(mask).any()
    assert targets.targets[0].state == targets.targets[0].LOST
    assert (len(targets.targets[0].box), targets.targets[0].area) == (0, 0)


def test_before_any_reference_the_mask_is_empty(start_node, client, clip):
    start_node()
    client.listen_to_answers()
    mask, targets, memory = client.ask(image_message(clip[0][0], 'rgb8', SECOND))
    assert mask_pixels(mask).shape == clip[0][1].shape and not mask_pixels(mask).any()
    assert (len(targets.targets), len(memory.slots)) == (0, 0)


def test_a_reference_for_a_frame_by_stamp_or_the_newest(start_node, client, clip):
    # an image has 230 kB
    start_node('history_megabytes:=1.0')
    refused = client.tracker('set_reference', mask=image_message(clip[0][1] * 255, 'mono8'))
    assert not refused.success and 'no image has come' in refused.message
    client.listen_to_answers()
    for time in range(5):
        client.ask(image_message(clip[time][0], 'rgb8', (time + 1) * SECOND))
    request = {'mask': image_message(clip[3][1] * 255, 'mono8'), 'target_id': 9}
    too_old = image_message(clip[0][0], 'rgb8', SECOND).header.stamp
    refused = client.tracker('set_reference', stamp=too_old, **request)
    assert not refused.success
    assert 'held are 4 from 2.000000000 to 5.000000000' in refused.message
    held = image_message(clip[3][0], 'rgb8', 4 * SECOND).header.stamp
    accepted = client.tracker('set_reference', stamp=held, **request)
    assert (accepted.success, list(accepted.target_ids)) == (True, [9])
    mask, _, memory = client.ask(image_message(clip[5][0], 'rgb8', 6 * SECOND))
    truth, found = clip[5][1] == 1, mask_pixels(mask) == 9
    assert (truth & found).sum() / (truth | found).sum() > 0.7
    assert memory.slots[0].header.stamp == held


def test_what_a_language_model_gets(start_node, client, clip):
    start_node('context.period:=0.0')
    show(client, clip, label='cup')
    client.listen_to_answers()
    client.listen(TargetContext, '/stm_tracker/context')
    client.listen(FeatureMap, '/stm_tracker/features')
    client.listen(CompressedImage, '/stm_tracker/overlay/compressed')
    client.listen(Image, '/stm_tracker/attention')
    for topic in list(client.received):
        client.wait_until(lambda topic=topic: client.count_publishers(topic) > 0, topic)
    contexts = client.received['/stm_tracker/context']
    for time in range(1, 5):
        client.ask(image_message(clip[time][0], 'rgb8', (time + 1) * SECOND))
        client.wait_until(lambda: client.received['/stm_tracker/attention'], 'attention')
    context = contexts[-1]
    assert context.sentence.startswith('cup (target 1) is in view with confidence')
    assert len(context.crop) == 1 and context.crop[0].format == 'jpeg'
    weights = [item.weight for item in context.evidence]
    assert weights == sorted(weights, reverse=True) and 0 < sum(weights) <= 1 + 1e-5
    assert any(item.kind == 'reference' for item in context.evidence)
    features = client.received['/stm_tracker/features'][-1]
    values = np.frombuffer(features.data, '<f2').reshape(
        len(features.target_ids), features.channels, features.height, features.width)
    assert values.shape == (1, 128, 15, 20) and np.isfinite(values).all() and values.std() > 0
    sheet = client.received['/stm_tracker/attention'][-1]
    assert sheet.encoding == 'bgr8' and len(set(bytes(sheet.data))) > 20


def test_compressed_images_and_a_prompt(start_node, client, clip, tmp_path):
    start_node('image_transport:=compressed', topics=('image/compressed',))
    client.listen_to_answers()
    import cv2
    _, code = cv2.imencode('.png', np.ascontiguousarray(clip[0][0][..., ::-1]))
    message = CompressedImage(format='png', data=code.tobytes())
    message.header.stamp.sec = 5
    client.ask(message, '/image/compressed')
    box = box_of_mask(clip[0][1] == 1)
    from stm_ros.msg import Box
    response = client.tracker('set_reference_prompt', box=[Box(
        x_min=box.x_min - 2, y_min=box.y_min - 2, width=box.width + 4, height=box.height + 4)],
        label='cup', with_mask=True)
    assert response.success, response.message
    found, truth = mask_pixels(response.mask) == 255, clip[0][1] == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.6
    message.header.stamp.sec = 6
    mask, _, _ = client.ask(message, '/image/compressed')
    assert ((mask_pixels(mask) == 1) & found).sum() / found.sum() > 0.7
    (tmp_path / 'frame.png').write_bytes(code.tobytes())
    assert np.array_equal(read_image(tmp_path / 'frame.png'), clip[0][0])


def test_two_cameras_share_a_reference_and_keep_their_own_memory(start_node, client, clip):
    start_node('streams:=[wrist, head]', 'memory.memorize_every:=1',
               topics=('wrist/image', 'head/image'))
    response = show(client, clip, stream='wrist')
    assert response.success, response.message
    for stream in ('wrist', 'head'):
        client.listen_to_answers(f'/stm_tracker/{stream}')
    for time in (1, 2):
        for stream, size in (('wrist', 1), ('head', 2)):
            image = np.kron(clip[time][0], np.ones((size, size, 1), np.uint8))
            mask, targets, memory = client.ask(
                image_message(image, 'rgb8', (time + 2) * SECOND, frame_id=f'{stream}_lens'),
                f'/{stream}/image', f'/stm_tracker/{stream}')
            assert (mask.height, mask.header.frame_id) == (240 * size, f'{stream}_lens')
            assert targets.stream == stream
            found = mask_pixels(mask)[::size, ::size] == 1
            truth = clip[time][1] == 1
            assert (found & truth).sum() / (found | truth).sum() > 0.6
            assert {slot.stream for slot in memory.slots} <= {'wrist', stream}
    refused = show(client, clip, stream='tail')
    assert not refused.success and 'wrist, head' in refused.message


def test_on_demand_and_saved_memory(start_node, client, clip):
    start_node()
    show(client, clip, label='cup', target_id=4)
    image = image_message(clip[2][0], 'rgb8', 9 * SECOND)
    answer = client.tracker('segment', image=image, with_features=True, with_mask=True)
    assert answer.success and answer.mask.header.stamp.sec == 9
    assert mask_pixels(answer.mask).max() == 4
    assert (len(answer.features), len(answer.targets.targets)) == (1, 1)
    saved = client.tracker('save_memory', name='kitchen')
    assert saved.success and saved.message.endswith('kitchen.safetensors')
    for name in ('../kitchen', '.hidden', '', 'a' * 300, 'a/b'):
        assert not client.tracker('save_memory', name=name).success, name
        assert not client.tracker('load_memory', name=name).success, name
    removed = client.tracker('remove_target', target_id=4)
    assert removed.success and list(removed.target_ids) == []
    assert not client.tracker('remove_target', target_id=4).success
    loaded = client.tracker('load_memory', name='kitchen')
    assert (loaded.success, list(loaded.target_ids)) == (True, [4])
    bare = client.tracker('segment', image=image)
    assert bare.success and (bare.mask.height, len(bare.mask.data)) == (0, 0)
    again = client.tracker('segment', image=image, with_mask=True)
    assert np.array_equal(mask_pixels(again.mask), mask_pixels(answer.mask))
    assert client.tracker('reset').success
    assert len(client.tracker('segment', image=image).targets.targets) == 0
    missing = client.tracker('load_memory', name='never')
    assert not missing.success and 'there is no snapshot' in missing.message


def test_bad_references_are_refused_and_leave_memory_as_it_was(start_node, client, clip):
    start_node()
    show(client, clip)
    client.listen_to_answers()
    before = client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))[2]
    image = image_message(clip[0][0], 'rgb8', SECOND)
    mask = image_message(clip[0][1] * 255, 'mono8')
    empty_image = image_message(np.zeros((0, 0, 3), np.uint8), 'rgb8')
    cases = [
        ({'mask': image_message(clip[0][1][:-1] * 255, 'mono8')}, 'must be the same'),
        ({'mask': image_message(clip[0][1] * 0, 'mono8')}, 'empty'),
        ({'mask': image_message(clip[0][0], 'rgb8')}, "'rgb8' is not accepted"),
        ({'mask': Image()}, 'empty'),
        ({'image': empty_image}, '0'),
        ({'image': image_message(clip[0][0], 'yuv911')}, "'yuv911' is unknown"),
        ({'target_id': 300}, 'target id 300'), ({'target_id': -1}, 'target id -1'),
        ({'stream': 'tail'}, 'no stream'),
        ({'label_ids': [1], 'labels': []}, 'as many'),
        ({'label_ids': [8], 'labels': ['plate']}, 'the mask shows')]
    for fields, words in cases:
        response = client.tracker('set_reference', **{'image': image, 'mask': mask, **fields})
        assert not response.success and words in response.message, (fields, response.message)
        assert list(response.target_ids) == []
    truncated = image_message(clip[0][0], 'rgb8', 3 * SECOND)
    truncated.height += 1
    client.publish(truncated)
    client.publish(image_message(clip[0][0], 'yuv911', 4 * SECOND))
    _, targets, after = client.ask(image_message(clip[2][0], 'rgb8', 5 * SECOND))
    assert [target.id for target in targets.targets] == [1]
    references = [slot.header.stamp.sec for slot in after.slots if slot.kind == 'reference']
    assert references == [1]
    assert len(before.slots) == 1


def test_a_best_effort_subscriber_hears_the_node(start_node, client, clip):
    start_node()
    heard = []
    client.create_subscription(Image, '/stm_tracker/mask', heard.append, qos_profile_sensor_data)
    client.wait_until(lambda: client.count_publishers('/stm_tracker/mask') > 0, 'a publisher')
    stamps = iter(range(1, 100))

    def send_again() -> bool:
        client.publish(image_message(clip[0][0], 'rgb8', next(stamps) * SECOND))
        return bool(heard)
    client.wait_until(send_again, 'a mask', 20)
