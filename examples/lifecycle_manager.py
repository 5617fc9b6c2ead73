# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Bring the tracker up, watch that it stays up, and take it down at the end.

The tracker must not do that by itself: start it with `autostart:=false`. Where nav2's or another
lifecycle manager runs already, name `stm_tracker` in its list instead.

    ros2 run stm_ros stm_tracker --ros-args -p autostart:=false &
    python3 examples/lifecycle_manager.py
"""
import time

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

PERIOD = 1.0
PATIENCE = 60.0
# what brings a node nearer to being active, by its state
UPWARD = {State.PRIMARY_STATE_UNCONFIGURED: Transition.TRANSITION_CONFIGURE,
          State.PRIMARY_STATE_INACTIVE: Transition.TRANSITION_ACTIVATE}


class LifecycleManager(Node):
    def __init__(self) -> None:
        super().__init__('lifecycle_manager')
        managed = self.declare_parameter('managed', '/stm_tracker').value
        self.states = self.create_client(GetState, f'{managed}/get_state')
        self.changes = self.create_client(ChangeState, f'{managed}/change_state')

    def call(self, client, request):
        """The answer, None where there is none in time: the node may be starting or gone."""
        if not client.wait_for_service(timeout_sec=PERIOD):
            return None
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self, future, timeout_sec=PATIENCE)
        return future.result()

    def change(self, transition: int) -> bool:
        answer = self.call(self.changes, ChangeState.Request(
            transition=Transition(id=transition)))
        return answer is not None and answer.success

    def watch(self) -> None:
        told = ''
        while rclpy.ok():
            answer = self.call(self.states, GetState.Request())
            state = 'absent' if answer is None else answer.current_state.label
            if state != told:
                print(state, flush=True)
                told = state
            if answer is not None and answer.current_state.id in UPWARD:
                if self.change(UPWARD[answer.current_state.id]):
                    continue
                print(f'it does not leave the state {state}; its log says why', flush=True)
            time.sleep(PERIOD)


def main() -> None:
    # SIGINT is left to Python, so that the node can still be taken down by ROS
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    manager = LifecycleManager()
    try:
        manager.watch()
    except KeyboardInterrupt:
        if manager.change(Transition.TRANSITION_DEACTIVATE):
            print('deactivated', flush=True)
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
