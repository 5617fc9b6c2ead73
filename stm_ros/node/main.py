# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the `stm_tracker` executable."""
import gc
import os
import signal
import sys

import rclpy
from rclpy.exceptions import InvalidParameterValueException
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.executors import MultiThreadedExecutor

_THREADS = 4  # images, services, what watches over them, and everything else


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 1 where it could not start."""
    # before torch is there: threads that wait by spinning take the processors from the robot, and
    # from each other; see docs/performance.md
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    from stm_ros.inference.allocation import set_up_process
    from stm_ros.node.node import StmTracker
    from stm_ros.vision.errors import InputError
    # before there are threads, each of which would keep an arena of memory of its own
    set_up_process()
    rclpy.init(args=arguments)
    try:
        node = StmTracker()
    except (InputError, ParameterException, InvalidParameterValueException) as error:
        print(f'stm_tracker: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = MultiThreadedExecutor(_THREADS)
    executor.add_node(node)
    status = 0
    try:
        if node.start():
            executor.spin()
        else:
            status = 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # a signal may shut ROS down while rclpy makes a wait set, which it answers with RCLError
        if rclpy.ok():
            raise
    finally:
        # Ctrl-C under ros2 launch comes twice: from the terminal and from launch
        _ignore_signals()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
        # rclpy gives back the handlers that were there before it
        _ignore_signals()
    # at exit the interpreter would search torch's modules for garbage for a second or two
    gc.freeze()
    return status


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == '__main__':
    sys.exit(main())
