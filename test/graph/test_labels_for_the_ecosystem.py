# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What vision_msgs' users get: detections with names, and the labels for who comes late."""
import numpy as np
import pytest
from graph_client import image_message
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile

from stm_ros.tracking import TrackerConfig

SECOND = 10 ** 9
LABELS, DETECTIONS = '/stm_tracker/label_info', '/stm_tracker/detections'


def test_labels_are_there_for_who_comes_late(start_node, client, clip):
    vision = pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')
    start_node()
    image = image_message(clip[0][0], 'rgb8', SECOND)
    mask = np.where(clip[0][1] == 1, 3, 0).astype(np.uint8)
    mask[:20, :20] = 7
    assert client.tracker('set_reference', image=image, mask=image_message(mask, 'mono8'),
                          label_ids=[3], labels=['cup']).success
    client.listen_to_answers()
    client.ask(image_message(clip[0][0], 'rgb8', 2 * SECOND))
    received = []
    client.create_subscription(
        vision.LabelInfo, LABELS, received.append,
        QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    client.wait_until(lambda: received, 'labels published before anybody listened')
    names = {item.class_id: item.class_name for item in received[0].class_map}
    assert names[3] == 'cup' and set(names) == {3, 7} and all(names.values())
    assert received[0].threshold == pytest.approx(TrackerConfig().lost_below)
    client.listen(vision.Detection2DArray, DETECTIONS)
    client.wait_until(lambda: client.count_publishers(DETECTIONS) > 0, DETECTIONS)
    for count in range(3, 60):
        client.ask(image_message(clip[0][0], 'rgb8', count * SECOND))
        if client.received[DETECTIONS]:
            break
    found = client.received[DETECTIONS][-1].detections
    assert {one.id: one.results[0].hypothesis.class_id for one in found}['3'] == 'cup'
    assert all(one.results[0].hypothesis.class_id for one in found)
    # nothing has changed, so nothing was said again; a target less is said
    assert len(received) == 1
    assert client.tracker('remove_target', target_id=7).success
    client.ask(image_message(clip[0][0], 'rgb8', 100 * SECOND))
    client.wait_until(lambda: len(received) == 2, 'labels again')
    assert [item.class_id for item in received[1].class_map] == [3]
