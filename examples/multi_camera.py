# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One target, several cameras: shown to one of them, it is looked for by all.

Says which camera sees each target best, whenever that changes.

    ros2 run stm_ros stm_tracker --ros-args -p streams:="[wrist, head]" &
    python3 examples/multi_camera.py --ros-args -p streams:="[wrist, head]"
"""
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from stm_ros.msg import Target
from stm_ros.msg import TargetArray


class MultiCamera(Node):
    def __init__(self) -> None:
        super().__init__('multi_camera')
        tracker = self.declare_parameter('tracker', '/stm_tracker').value
        self.seen: dict[tuple[int, str], Target] = {}
        self.best: dict[int, str] = {}
        for stream in self.declare_parameter('streams', ['wrist', 'head']).value:
            self.create_subscription(TargetArray, f'{tracker}/{stream}/targets', self.update, 5)

    def update(self, message: TargetArray) -> None:
        for target in message.targets:
            self.seen[target.id, message.stream] = target
        for number in {target.id for target in message.targets}:
            views = {stream: target for (seen, stream), target in self.seen.items()
                     if seen == number and target.state == Target.TRACKING}
            best = max(views, key=lambda stream: views[stream].confidence, default='')
            if self.best.get(number) != best:
                self.best[number] = best
                print(f'target {number}: ' + (f'{best} sees it best' if best
                                              else 'no camera sees it'), flush=True)


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(MultiCamera())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # SIGINT may come while rclpy waits, which then says so in this way
        if rclpy.ok():
            raise


if __name__ == '__main__':
    main()
