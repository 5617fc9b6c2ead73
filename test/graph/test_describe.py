# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`~/describe` over real DDS: crops, evidence, marks and a sentence on demand."""
import cv2
import numpy as np
from graph_client import image_message
from graph_client import mask_pixels

from stm_ros.vision.boxes import box_of_mask

SECOND = 10 ** 9


def picture(message):
    assert message.format == 'jpeg'
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_target_is_described_on_demand(start_node, client, clip):
    start_node()
    refused = client.tracker('describe')
    assert not refused.success and 'no image has come' in refused.message
    assert client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8'), label='cup').success
    client.listen_to_answers()
    for index in range(1, 5):
        mask, targets, _ = client.ask(image_message(clip[index][0], 'rgb8', (index + 1) * SECOND))
    reply = client.tracker('describe')
    assert reply.success and reply.message == '1 of 1 targets are in view'
    [context] = reply.targets
    assert (context.target_id, context.label, context.state) == (1, 'cup', context.state)
    assert context.header.stamp.sec == 5 and context.header.frame_id == 'lens'
    assert context.sentence.startswith('cup (target 1) is in view with confidence')
    box = box_of_mask(mask_pixels(mask) == 1)
    height, width = picture(context.crop[0]).shape[:2]
    assert box.height < height < 1.6 * box.height and box.width < width < 1.6 * box.width
    assert 1 <= len(context.evidence) <= 3
    assert any(item.kind == 'reference' for item in context.evidence)
    weights = [item.weight for item in context.evidence]
    assert weights == sorted(weights, reverse=True)
    marked = picture(reply.frame[0])
    assert marked.shape == clip[4][0].shape
    changed = np.abs(marked.astype(int) - clip[4][0]).max(axis=2) > 60
    assert changed.any() and not changed[~cv2.dilate(mask_pixels(mask), np.ones((25, 25)))
                                         .astype(bool)].any()
    # memory is as it was, and the track goes on
    again = client.tracker('describe', target_id=1, max_evidence=1, without_frame=True)
    assert again.success and len(again.targets[0].evidence) == 1 and not again.frame
    mask, _, _ = client.ask(image_message(clip[5][0], 'rgb8', 6 * SECOND))
    found, truth = mask_pixels(mask) == 1, clip[5][1] == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_what_cannot_be_described_is_refused(start_node, client, clip):
    start_node()
    image = image_message(clip[0][0], 'rgb8', SECOND)
    assert client.tracker('set_reference', image=image,
                          mask=image_message(clip[0][1] * 255, 'mono8')).success
    for fields, told in (({'target_id': 7}, 'target 7 is not tracked; targets are 1'),
                         ({'target_id': 300}, 'target id 300 is outside'),
                         ({'max_evidence': 4}, 'max_evidence is 4'),
                         ({'stream': 'wrist'}, "no stream 'wrist'")):
        reply = client.tracker('describe', image=image, **fields)
        assert not reply.success and told in reply.message
        assert not reply.targets and not reply.frame
    gone = image_message(np.full_like(clip[0][0], 127), 'rgb8', SECOND)
    reply = client.tracker('describe', image=gone)
    assert reply.success and reply.targets[0].crop == [] and reply.targets[0].evidence
    assert 'is not in view' in reply.targets[0].sentence
