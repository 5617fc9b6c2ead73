# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera: publishes the frames of a file on /image, forwards and backwards.

    python camera_process.py FRAMES.npy GO_FILE

It holds the first frame until GO_FILE exists.
"""
import signal
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from graph_client import image_message
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

PERIOD = 0.125


def main() -> None:
    signal.signal(signal.SIGINT, lambda *_: sys.exit())
    frames, go = np.load(sys.argv[1]), Path(sys.argv[2])
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = rclpy.create_node('camera')
    quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, '/image', quality)
    place = 0
    while rclpy.ok():
        publisher.publish(image_message(frames[order[place]], 'rgb8', time.time_ns()))
        place = (place + 1) % len(order) if go.exists() else 0
        time.sleep(PERIOD)


if __name__ == '__main__':
    main()
