# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the `stm_tracker` executable."""
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = 4  # images, services, what watches over them, and everything else


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 1 where it could not start."""
    # before torch is there: threads that wait by spinning take the processors from the robot, and
    # from each other; see docs/performance.md
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    with _ended_at_once():
        import rclpy

        from stm_ros.inference.allocation import set_up_process
        from stm_ros.node import node as _  # noqa: F401 - torch and all that takes seconds
    # before there are threads, each of which would keep an arena of memory of its own
    set_up_process()
    try:
        rclpy.init(args=arguments)
        return _run()
    except KeyboardInterrupt:
        # before there was a node that could have been stopped
        return 0


def _run() -> int:
    """Make the node and spin it, in the default context; the exit code."""
    import rclpy
    from rclpy.exceptions import InvalidParameterValueException
    from rclpy.exceptions import ParameterException
    from rclpy.executors import ExternalShutdownException
    from rclpy.executors import MultiThreadedExecutor

    from stm_ros.node.node import StmTracker
    from stm_ros.vision.errors import InputError
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


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """SIGINT and SIGTERM end the process, quietly: nothing is there yet that could be lost."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: os._exit(0)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            # None: it was not set from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == '__main__':
    sys.exit(main())
