# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Show the tracker a target by a box on the camera's newest image, and print how it is doing.

    python3 examples/minimal_client.py --box 210 140 90 110 --label mug
"""
import argparse

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from stm_ros.msg import Box
from stm_ros.msg import TargetArray
from stm_ros.srv import SetReferencePrompt

STATES = ('TRACKING', 'UNCERTAIN', 'LOST')


def print_targets(message: TargetArray) -> None:
    for target in message.targets:
        where = ''
        if target.box:
            box = target.box[0]
            where = f' at {box.x_min:.0f},{box.y_min:.0f} {box.width:.0f}x{box.height:.0f}'
        print(f'{target.id} {target.label}: {STATES[target.state]} '
              f'{target.confidence:.2f}{where}', flush=True)


def show(node: Node, tracker: str, box: list[float], label: str) -> bool:
    client = node.create_client(SetReferencePrompt, f'{tracker}/set_reference_prompt')
    if not client.wait_for_service(timeout_sec=10):
        print(f'no tracker answers at {tracker}')
        return False
    x, y, width, height = box
    request = SetReferencePrompt.Request(
        box=[Box(x_min=x, y_min=y, width=width, height=height)], label=label)
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=30)
    if future.result() is None:
        print('the tracker did not answer within 30 s')
        return False
    print(future.result().message, flush=True)
    return future.result().success


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--box', nargs=4, type=float, required=True,
                        metavar=('X', 'Y', 'WIDTH', 'HEIGHT'))
    parser.add_argument('--label', default='')
    parser.add_argument('--tracker', default='/stm_tracker', help='name of the node')
    arguments = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = Node('minimal_client')
    try:
        if not show(node, arguments.tracker, arguments.box, arguments.label):
            return 1
        node.create_subscription(TargetArray, f'{arguments.tracker}/targets', print_targets, 5)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # SIGINT may come while rclpy waits, which then says so in this way
        if rclpy.ok():
            raise
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
