# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm doctor --topic` on real topics: each published by a process of its own."""
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stm_ros.doctor.findings import Level
from stm_ros.doctor.topic import check_topic

PUBLISHER = """
import sys
import time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
kind, topic, stamped = sys.argv[1:4]
rclpy.init()
node = rclpy.create_node('driver', namespace='/robot')
message = {'image': Image, 'compressed': CompressedImage, 'text': String}[kind]()
quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
publisher = node.create_publisher(type(message), topic, quality)
if kind == 'image':
    message.height, message.width, message.encoding, message.step = 24, 32, 'rgb8', 96
    message.data = bytes(24 * 96)
print('publishing', flush=True)
while True:
    if kind != 'text' and stamped == 'stamped':
        message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(0.05)
"""


@pytest.fixture
def publish() -> Iterator:
    """Start publishers, which end with the test."""
    processes = []

    def start(kind: str, topic: str, stamped: str = 'stamped') -> None:
        process = subprocess.Popen([sys.executable, '-c', PUBLISHER, kind, topic, stamped],
                                   stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == 'publishing\n'
    yield start
    for process in processes:
        process.kill()
        process.communicate()


def troubles(findings) -> list[str]:
    return [f'{item.level.value}: {item.text}' for item in findings if item.level != Level.OK]


def test_a_camera_that_is_well(publish):
    publish('image', '/camera/image_raw')
    findings = check_topic('/camera/image_raw', 2.0)
    assert troubles(findings) == []
    told = ' '.join(item.text for item in findings)
    assert '/robot/driver publishes sensor_msgs/msg/Image, best_effort, volatile' in told
    assert '32x24' in told and 'rgb8' in told


def test_a_wrong_name_lists_the_cameras_there_are(publish):
    publish('image', '/camera/image_raw')
    [trouble] = troubles(check_topic('/camera/imag', 1.0))
    assert 'nobody publishes it; image topics here: /camera/image_raw' in trouble


def test_a_wrong_type_and_missing_stamps(publish):
    publish('text', '/talk')
    publish('image', '/unstamped', 'unstamped')
    [wrong] = troubles(check_topic('/talk'))
    assert 'std_msgs/msg/String' in wrong
    [unstamped] = troubles(check_topic('/unstamped'))
    assert unstamped == 'FAULT: images have no stamp'


def test_a_compressed_image_that_is_none(publish):
    publish('compressed', '/image/compressed')
    told = troubles(check_topic('/image/compressed', 3.0))
    assert 'is compressed' in told[0] and 'cannot be read' in told[1]
