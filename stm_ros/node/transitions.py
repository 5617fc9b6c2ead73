# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that survives transitions which cannot be made, and says why others failed."""
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import TransitionCallbackReturn

from stm_ros.memory.snapshot import SnapshotError
from stm_ros.networks.checkpoints import CheckpointError
from stm_ros.vision.errors import InputError

_EXPECTED = (InputError, SnapshotError, CheckpointError, OSError)


class SteadyLifecycleNode(LifecycleNode):
    """Refuses what its state does not allow; rclpy ends the process there (rclpy#1209)."""

    def __init__(self, name: str, **options: Any) -> None:
        """Join the graph as `name`."""
        super().__init__(name, **options)
        service = self._service_change_state
        change = service.callback

        def change_or_refuse(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RuntimeError as error:
                # RCLError, which rclpy does not export
                state = self._state_machine.current_state[1]
                wanted = request.transition.label or request.transition.id
                self.get_logger().error(f'transition {wanted} is refused: the node is {state} '
                                        f'({str(error).splitlines()[0]})')
                response.success = False
                return response
        service.callback = change_or_refuse

    def guarded_transition(self, what: str, action: Callable[[], None]
                           ) -> TransitionCallbackReturn:
        """Do a transition's work; where it fails, log why: rclpy would not say a word."""
        try:
            action()
        except _EXPECTED as error:
            self.get_logger().error(f'cannot {what}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001
            self.get_logger().error(f'cannot {what}:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS
