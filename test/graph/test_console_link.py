# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The console's half that lives in the graph, without a browser, over a real node."""
import time

import cv2
import numpy as np
import pytest
from graph_client import image_message
from graph_client import mask_pixels
from sensor_msgs.msg import CompressedImage
from stm_ros.msg import Box

from stm_ros.console.commands import ListStored
from stm_ros.console.commands import Propose
from stm_ros.console.commands import Remember
from stm_ros.console.commands import Remove
from stm_ros.console.commands import Save
from stm_ros.console.link import Link
from stm_ros.vision.boxes import box_of_mask

SECOND = 10 ** 9
STREAMS = ('wrist', 'head')


@pytest.fixture
def make_link():
    made = []

    def make(tracker=None) -> Link:
        made.append(Link(tracker, rate=20.0))
        made[-1].start()
        return made[-1]
    yield make
    for link in made:
        link.stop()


def wait(condition, what: str, each=lambda: None, seconds: float = 40.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f'waited {seconds:.0f} s for {what}'
        each()
        time.sleep(0.1)
    return value


def ask(link: Link, command):
    return link.submit(command).result(timeout=40)


def test_two_compressed_streams(start_node, client, clip, make_link):
    start_node('streams:=[wrist, head]', 'image_transport:=compressed', 'input_size:=240',
               'context.period:=0.0', topics=tuple(f'{name}/image/compressed' for name in STREAMS))
    link = make_link()
    _, code = cv2.imencode('.png', np.ascontiguousarray(clip[0][0][..., ::-1]))
    truth = clip[0][1] == 1

    def send() -> None:
        for name in STREAMS:
            link.touch(name)
            message = CompressedImage(format='png', data=code.tobytes())
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(
                time.time_ns(), SECOND)
            message.header.frame_id = f'{name}_lens'
            client.publish(message, f'/{name}/image/compressed')

    def answered(name: str):
        stream = link.view.streams.get(name)
        view = None if stream is None else stream.newest
        return view if view is not None and view.label_map is not None else None
    wait(lambda: tuple(link.view.streams) == STREAMS, 'the streams')
    for name in STREAMS:
        wait(lambda name=name: answered(name), f'an answered frame of {name}', send)
    view = answered('wrist')
    assert np.array_equal(view.pixels, clip[0][0]) and view.frame_id == 'wrist_lens'
    assert not view.label_map.any() and not view.pixels.flags.writeable

    box = box_of_mask(truth)
    drawn = (box.x_min - 3, box.y_min - 3, box.width + 6, box.height + 6)
    proposal = ask(link, Propose('wrist', view, drawn))
    assert proposal.success and proposal.target_ids == ()
    assert (proposal.mask & truth).sum() / (proposal.mask | truth).sum() > 0.6
    wait(lambda: answered('wrist').sequence > view.sequence, 'a newer frame', send)
    assert answered('wrist').targets == (), 'a proposal is not believed'
    reply = ask(link, Remember('wrist', view, truth, 0, 'cup', False))
    assert reply.success and reply.target_ids == (1,), reply.message

    def found(name: str) -> bool:
        newest = answered(name)
        return newest is not None and any(target.state == 'TRACKING' for target in newest.targets)
    for name in STREAMS:
        wait(lambda name=name: found(name), f'the cup on {name}', send)
        newest = answered(name)
        assert newest.targets[0].name == 'cup' and newest.label_map.max() == 1
    stream = wait(lambda: (held := link.view.streams['wrist']).contexts and held.memory.slots
                  and held, 'memory and context', send)
    reference = next(slot for slot in stream.memory.slots if slot.kind == 'reference')
    assert (reference.key == ('wrist', view.stamp_ns)
            and reference.key in stream.thumbnails)
    assert sum(stream.memory.attention[1]) == pytest.approx(1, abs=1e-3)
    assert stream.contexts[1].crop[:2] == b'\xff\xd8' and stream.contexts[1].evidence
    assert stream.timelines[1][-1].state == 'TRACKING' and stream.figures.answers > 0
    wait(lambda: 'rate (Hz)' in link.view.streams['head'].diagnostics, 'diagnostics', send)
    with pytest.raises(TypeError):
        link.view.streams['other'] = stream  # what is published cannot be changed


def test_a_preview_changes_nothing_and_what_is_stored_is_named(start_node, client, clip,
                                                               make_link):
    node = start_node('input_size:=240')
    image = image_message(clip[0][0], 'rgb8', 3 * SECOND)
    box = box_of_mask(clip[0][1] == 1)
    prompt = {'image': image, 'preview': True, 'box': [Box(
        x_min=box.x_min - 3, y_min=box.y_min - 3, width=box.width + 6, height=box.height + 6)]}
    shown = client.tracker('set_reference_prompt', **prompt)
    assert shown.success and list(shown.target_ids) == [] and mask_pixels(shown.mask).any()
    assert len(client.tracker('segment', image=image).targets.targets) == 0
    believed = client.tracker('set_reference_prompt', **{**prompt, 'preview': False},
                              label='cup')
    assert list(believed.target_ids) == [1]

    link = make_link('/stm_tracker')
    wait(lambda: link.view.streams, 'the stream')
    empty = ask(link, ListStored())
    assert empty.success and (empty.snapshots, empty.libraries) == ((), ())
    assert ask(link, Save('kitchen', False)).success
    assert ask(link, Save('cups', True)).success
    stored = ask(link, ListStored())
    assert (stored.snapshots, stored.libraries) == (('kitchen',), (('cups', 'cup'),))
    refused = ask(link, Save('../kitchen', False))
    assert not refused.success and 'refused' in refused.message
    refused = ask(link, Save('\ud800', False))
    assert not refused.success and 'cannot be sent' in refused.message
    assert ask(link, Remove(1)).success
    refused = ask(link, Remove(1))
    assert not refused.success and refused.message
    node.stop()
    wait(lambda: link.view.fault is not None and link.view.fault.title == 'No tracker',
         'the sign that the node is gone', seconds=60)


def test_what_is_missing_is_named(start_node, make_link):
    link = make_link()
    fault = wait(lambda: link.view.fault, 'a sign')
    assert fault.title == 'No tracker' and '/stm_tracker' in fault.lines[0]
    reply = ask(link, Remove(1))
    assert not reply.success and 'not in the graph' in reply.message
    start_node('autostart:=false')
    fault = wait(lambda: link.view.fault is not None and link.view.streams and link.view.fault,
                 'the sign of an inactive node')
    assert fault.title == 'The tracker is not active'
    assert any('lifecycle set /stm_tracker' in line for line in fault.lines)
