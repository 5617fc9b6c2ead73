# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node says where a rendered crate is, whose mask, depth and pose are known exactly."""
import numpy as np
import pytest
from graph_client import image_message
from graph_client import mask_pixels
from render_helpers import CRATE
from render_helpers import depth_clip
from render_helpers import intrinsics
from render_helpers import needs_renderer
from render_helpers import points_of
from sensor_msgs.msg import CameraInfo
from stm_ros.msg import TargetGeometryArray

from stm_ros.synthetic.clip_files import depth_in_millimetres

pytestmark = needs_renderer
SECOND = 10 ** 9
SIZE = (240, 320)
GEOMETRY = '/stm_tracker/target_geometry'


def test_a_crate_that_turns_is_where_it_was_rendered(start_node, client):
    clip = depth_clip(SIZE, 10)
    start_node('depth.enabled:=true', 'threads:=1', topics=('image', 'depth', 'camera_info'))
    response = client.tracker(
        'set_reference', image=image_message(clip[0].image, 'rgb8', SECOND),
        mask=image_message(clip[0].labels * 255, 'mono8'), label='crate')
    assert response.success, response.message
    client.listen_to_answers()
    client.listen(TargetGeometryArray, GEOMETRY)
    client.wait_until(lambda: client.count_publishers(GEOMETRY) > 0, GEOMETRY)
    info = CameraInfo(height=SIZE[0], width=SIZE[1], distortion_model='plumb_bob', d=[0.0] * 5,
                      k=intrinsics(SIZE).ravel().tolist())
    # twice the first: what comes before everybody has found everybody may be lost
    checked = 0
    for number, frame in enumerate([clip[0], *clip], start=2):
        info.header.stamp.sec = number
        client.publish(info, '/camera_info')
        client.publish(image_message(depth_in_millimetres(frame.depth), '16UC1', number * SECOND),
                       '/depth')
        mask, _, _ = client.ask(image_message(frame.image, 'rgb8', number * SECOND))
        try:
            client.wait_until(lambda number=number: any(
                each.header.stamp.sec == number for each in client.received[GEOMETRY]),
                'a geometry', 10)
        except AssertionError:
            assert number < 4, 'no geometry came'
            continue
        found, truth = mask_pixels(mask) == 1, frame.labels == 1
        assert (found & truth).sum() / (found | truth).sum() > 0.8
        [target] = client.received[GEOMETRY][-1].targets
        middle, size = target.centroid[0], target.box_size[0]
        expected = points_of(frame, truth).mean(axis=0)
        assert [middle.x, middle.y, middle.z] == pytest.approx(expected, abs=0.008)
        # of the crate, three of whose sides are seen, less what was cut off on either side
        sides = sorted((size.x, size.y, size.z))
        assert np.all(np.array(sides) < np.sort(CRATE) + 0.02)
        assert np.all(np.array(sides) > np.sort(CRATE) - 2 * target.margin - 0.02)
        centre = target.box_pose[0].position
        assert [centre.x, centre.y, centre.z] == pytest.approx(frame.centre, abs=0.02)
        assert target.valid_share > 0.99 and target.rejected_share < 0.05
        checked += 1
    assert checked >= 9
