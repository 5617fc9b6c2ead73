# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm replay --publish` drives a live node on the recording's own time."""
import subprocess
import sys

import numpy as np
from graph_client import image_message
from graph_client import mask_pixels
from rosgraph_msgs.msg import Clock
from stm_ros.msg import Box

from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.image_files import write_image

SECOND = 10 ** 9


def replay(*words):
    return subprocess.Popen([sys.executable, '-m', 'stm_ros.cli.main', 'replay', *words],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_recording_is_played_with_its_clock(start_node, client, clip, tmp_path):
    for index, (image, _) in enumerate(clip):
        write_image(tmp_path / 'frames' / f'{index:05d}.png', image)
    start_node('use_sim_time:=true')
    assert client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8')).success
    client.listen_to_answers()
    client.listen(Clock, '/clock')
    masks, clocks = client.received['/stm_tracker/mask'], client.received['/clock']
    with replay(str(tmp_path / 'frames'), '--publish', '--rate', '2', '--speed', '0.5') as run:
        client.wait_until(lambda: run.poll() is not None, 'the end of the recording')
        assert run.returncode == 0 and 'camera: 8 images published' in run.stdout.read()
    client.wait_until(lambda: len(masks) >= 4, 'masks')
    stamps = [m.header.stamp.sec * SECOND + m.header.stamp.nanosec for m in masks]
    # frame i of a folder is stamped (i + 1) / rate
    assert set(stamps) <= {(index + 1) * SECOND // 2 for index in range(8)}
    assert stamps == sorted(stamps)
    index = stamps[-1] * 2 // SECOND - 1
    found, truth = mask_pixels(masks[-1]) == 1, clip[index][1] == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.7
    times = [message.clock.sec * SECOND + message.clock.nanosec for message in clocks]
    assert times == sorted(times) and times[-1] == 4 * SECOND
    # time goes on between the images, at half speed in steps of an eightieth of a second
    assert len(times) > 40 and np.diff(times).max() < SECOND // 2


def test_the_demo_waits_at_its_first_image_until_the_target_is_shown(start_node, client):
    """As docs/robot.md has it, without a camera: the box fits the image that is held."""
    start_node('use_sim_time:=true', 'threads:=1')
    client.listen_to_answers()
    client.listen(Clock, '/clock')
    masks, clocks = client.received['/stm_tracker/mask'], client.received['/clock']
    with replay('demo', '--publish', '--hold', '6', '--speed', '0.5', '--max-frames', '6') as run:
        client.wait_until(lambda: masks, 'the first image')
        answer = client.tracker('set_reference_prompt', label='cup', box=[
            Box(x_min=75.0, y_min=100.0, width=195.0, height=175.0)])
        assert answer.success, answer.message
        client.wait_until(lambda: run.poll() is not None, 'the end of the clip')
        assert 'camera: 6 images published' in run.stdout.read()
    times = [message.clock.sec * SECOND + message.clock.nanosec for message in clocks]
    assert times == sorted(times) and times.count(times[0]) >= 8
    client.wait_until(lambda: mask_pixels(masks[-1]).any(), 'the cup')
    frames = generate_clip('occlusion', 60, (360, 480), seed=0)
    stamp = masks[-1].header.stamp
    # frame i is stamped (i + 1) / rate
    index = round((stamp.sec + stamp.nanosec / SECOND) * DEFAULT_RATE) - 1
    truth = frames[index][1] == 1
    found = mask_pixels(masks[-1]) == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_without_a_reader_it_says_so(clip, tmp_path):
    write_image(tmp_path / 'frames' / '0.png', clip[0][0])
    with replay(str(tmp_path / 'frames'), '--publish') as run:
        assert run.wait(60) == 2
        assert 'nobody subscribes to /image after 10 s' in run.stdout.read()
