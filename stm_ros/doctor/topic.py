# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a camera topic, judged by what a process of its own saw of it."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import fault
from stm_ros.doctor.findings import note
from stm_ros.doctor.findings import ok
from stm_ros.doctor.ros import large_image_profile

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
OLD_SECONDS = 1.0
SLOW_HZ = 5.0
LOSS_SHARE = 0.05
FAST_DDS_SEGMENT = 512_000
MOST_TOPICS = 8
_MARGIN_SECONDS = 40.0
_PREFIX = 'TOPIC '


def check_topic(topic: str, seconds: float = 5.0, environment: Mapping[str, str] | None = None
                ) -> list[Finding]:
    """Listen to `topic` for `seconds` and judge publishers, types, rate, loss, size and stamps."""
    environment = dict(os.environ if environment is None else environment)
    command = [sys.executable, '-m', 'stm_ros.node.topic_probe', topic, str(seconds)]
    try:
        process = subprocess.run(command, env=environment, text=True, capture_output=True,
                                 timeout=seconds + _MARGIN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [fault(topic, 'listening to it did not end',
                      'stop other ROS programs and try again')]
    lines = [line for line in process.stdout.splitlines() if line.startswith(_PREFIX)]
    if not lines:
        last = process.stderr.strip().splitlines()[-1:] or ['no reason given']
        return [fault(topic, f'cannot be listened to: {last[0][:300]}',
                      'mend what the lines on ROS above say; topics are named like '
                      '/camera/image_raw')]
    return judge_topic(json.loads(lines[-1].removeprefix(_PREFIX)))


def judge_topic(seen: dict[str, Any]) -> list[Finding]:
    """Findings on a topic; `seen` has the fields of stm_ros.node.topic_probe.TopicReport."""
    topic = seen['topic']
    if not seen['publishers']:
        others = [name for name in seen['image_topics'] if name != topic]
        more = (f'image topics here: {", ".join(others[:MOST_TOPICS])}' if others else
                'no image topic is published here at all')
        return [fault(topic, f'nobody publishes it; {more}', 'start the camera driver, or name '
                      'one of these by image:=TOPIC' if others else 'start the camera driver; '
                      'compare ROS_DOMAIN_ID and the discovery range of both terminals')]
    types = sorted({publisher['type'] for publisher in seen['publishers']})
    if not set(types) & set(IMAGE_TYPES):
        return [fault(topic, f'has the type {", ".join(types)}', 'name a topic of '
                      'sensor_msgs/msg/Image, or of CompressedImage with '
                      'image_transport:=compressed')]
    findings = [ok(topic, '; '.join(
        f'{publisher["node"]} publishes {publisher["type"]}, {publisher["reliability"].lower()}, '
        f'{publisher["durability"].lower()}' for publisher in seen['publishers']))]
    if len(types) > 1:
        findings.append(fault(topic, f'has several types at once: {", ".join(types)}',
                              'stop the publishers of the wrong one'))
    if types == ['sensor_msgs/msg/CompressedImage']:
        findings.append(note(topic, 'is compressed', 'launch with image_transport:=compressed; '
                             'the topic is then named without /compressed'))
    return findings + _judge_images(topic, seen)


def _judge_images(topic: str, seen: dict[str, Any]) -> list[Finding]:
    if not seen['received']:
        return [fault(topic, 'is published, but no image came',
                      'large raw images may all get lost: export '
                      f'FASTDDS_DEFAULT_PROFILES_FILE={large_image_profile()} (Jazzy: '
                      'FASTRTPS_DEFAULT_PROFILES_FILE) for driver and node; or the driver waits '
                      'for its camera: see its log')]
    rate = (seen['received'] - 1) / seen['seconds'] if seen['seconds'] > 0 else 0.0
    width, height = seen['size']
    words = f'{rate:.1f} Hz, {seen["encoding"]}, {seen["bytes"] / 1e6:.2f} MB an image'
    findings = []
    if seen['refused']:
        findings.append(fault(topic, f'images cannot be read: {seen["refused"]}', 'let the driver '
                              'publish rgb8, bgr8, a Bayer or YUV encoding; docs/components.md '
                              'lists all'))
    elif rate < SLOW_HZ:
        findings.append(note(topic, f'only {words}', 'a target moves far between two frames: '
                             'raise the rate of the driver to 10 Hz or more'))
    else:
        findings.append(ok(topic, f'{width}x{height}, {words}'))
    lost = seen['lost'] / max(seen['received'] + seen['lost'], 1)
    if lost > LOSS_SHARE:
        remedy = (f'export FASTDDS_DEFAULT_PROFILES_FILE={large_image_profile()} (Jazzy: '
                  'FASTRTPS_DEFAULT_PROFILES_FILE) for driver and node'
                  if seen['bytes'] > FAST_DDS_SEGMENT else
                  'lower the load: fewer programs, or threads: 1')
        findings.append(note(topic, f'{100 * lost:.0f} % of images got lost on the way', remedy))
    return findings + _judge_stamps(topic, seen)


def _judge_stamps(topic: str, seen: dict[str, Any]) -> list[Finding]:
    if not seen['stamps']:
        return [fault(topic, 'images have no stamp', 'the driver must set header.stamp: answers '
                      'are matched to images by it')]
    age = seen['age']
    if age > OLD_SECONDS or age < -OLD_SECONDS:
        when = 'old' if age > 0 else 'from the future'
        return [note(topic, f'images are {abs(age):.1f} s {when} when they arrive',
                     'a bag or a simulation: set use_sim_time; else let both machines keep one '
                     'time (chrony), or look for a driver that queues images')]
    return [ok(topic, f'images are {1000 * age:.0f} ms old when they arrive')]
