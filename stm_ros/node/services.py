# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The services: requests are handed to the worker; whatever goes wrong becomes a refusal."""
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

from stm_ros.inference.runner import NetworkOutputError
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.node.declarations import SERVICES
from stm_ros.node.quality import class_of
from stm_ros.node.worker import MAX_JOBS
from stm_ros.node.worker import WorkerStoppedError
from stm_ros.vision.errors import InputError

#: those that change nothing of what is known
READ_ONLY = tuple(each.name for each in SERVICES if not each.changes)
REPLY_SECONDS = 30.0
# with the default depth of 10, the eleventh request that waits replaces the first without a word
QUALITY = QoSProfile(depth=MAX_JOBS, reliability=ReliabilityPolicy.RELIABLE)
_REFUSALS = (InputError, SnapshotError, NetworkOutputError, WorkerStoppedError, OSError)


class OutcomeUnknownError(RuntimeError):
    """A request is still being done, though nobody waits for it any more."""


def offer_services(node: Node, group: CallbackGroup,
                   submit: Callable[[str, Any, Any], Future],
                   at_once: Mapping[str, Callable[[Any, Any], Any]]) -> None:
    """
    Create the services.

    :param submit: hands a service's name, a request and the response to fill to the worker.
    :param at_once: what answers those that wait for nobody, by name.
    """
    for declared in SERVICES:
        def answer(request: Any, response: Any, name: str = declared.name) -> Any:
            return guarded(node, name, response, lambda: outcome_of(submit(name, request,
                                                                           response)))
        if declared.is_queued:
            node.create_service(class_of(declared), f'~/{declared.name}', answer,
                                qos_profile=QUALITY, callback_group=group)
        else:
            # not in the group, where a request that waits would hold it up
            node.create_service(class_of(declared), f'~/{declared.name}',
                                at_once[declared.name], qos_profile=QUALITY)


def guarded(node: Node, name: str, response: Any, work: Callable[[], Any]) -> Any:
    """
    What `work` returns, or a refusal that says why there is nothing; never an exception.

    :param response: an empty one of the service's type, for the refusal.
    """
    try:
        return work()
    except _REFUSALS as error:
        reason = str(error) or type(error).__name__
    except OutcomeUnknownError as error:
        reason = str(error)
        node.get_logger().error(f'~/{name}: {reason}')
    except Exception as error:  # noqa: BLE001 - rclpy would end the node
        node.get_logger().error(f'~/{name} failed:\n{traceback.format_exc()}')
        reason = f'{type(error).__name__}: {error}; the log of the node says where'
    refusal = type(response)()
    refusal.success = False
    refusal.message = reason
    return refusal


def outcome_of(job: Future, seconds: float = REPLY_SECONDS) -> Any:
    """
    What a job returns, waiting so long for it to begin, and as long again for it to end.

    :raises WorkerStoppedError: where it did not begin; it will not be done later either.
    :raises OutcomeUnknownError: where it began and has not ended.
    """
    try:
        return job.result(timeout=seconds)
    except FutureTimeoutError:
        # who was told that it is refused must not find it done later
        if job.cancel():
            raise WorkerStoppedError(f'not begun within {seconds:.0f} s, and given up: nothing '
                                     'was changed') from None
    try:
        return job.result(timeout=seconds)
    except FutureTimeoutError:
        raise OutcomeUnknownError(f'begun, and not done within {2 * seconds:.0f} s: its outcome '
                                  'is unknown; it may still be done') from None


def shorter_side(request: Any) -> int:
    """Of the image that a request carries, in pixels; 0 where it carries none."""
    image = getattr(request, 'image', None)
    return 0 if image is None else min(image.height, image.width)
