# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Calls of the node's services, made and answered on the ROS thread."""
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from stm_ros import srv
from stm_ros.console import commands
from stm_ros.console.commands import Command
from stm_ros.console.commands import Reply
from stm_ros.console.snapshots import View
from stm_ros.msg import Box
from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import mask_of
from stm_ros.node.conversion import time_message

MAX_CALLS = 16
_REPLY_SECONDS = 35.0
_ARRIVAL_SECONDS = 3.0
_SERVICES: dict[type, tuple[str, Any]] = {
    commands.Propose: ('set_reference_prompt', srv.SetReferencePrompt),
    commands.Remember: ('set_reference', srv.SetReference),
    commands.Remove: ('remove_target', srv.RemoveTarget),
    commands.Reset: ('reset', srv.Reset),
    commands.Save: ('save_memory', srv.SaveMemory),
    commands.Load: ('load_memory', srv.LoadMemory),
    commands.ListStored: ('list_memory', srv.ListMemory)}


@dataclass
class _Call:
    command: Command
    outcome: Future
    deadline: float
    arrival: float
    answer: Any = None


class Services:
    """Clients of one node's services. Every method belongs to the ROS thread."""

    def __init__(self, node: Node, tracker: str) -> None:
        """Make the clients at once: DDS drops an answer to whom the server does not know yet.

        :param tracker: full name of the node, such as /stm_tracker.
        """
        self._node = node
        self._tracker = tracker
        self._clients = {kind: node.create_client(service, f'{tracker}/{name}')
                         for kind, (name, service) in _SERVICES.items()}
        self._calls: list[_Call] = []

    def destroy(self) -> None:
        """Give the clients back and give up what waits."""
        for call in self._calls:
            _fail(call.outcome, f'{self._tracker} is gone')
        self._calls.clear()
        for client in self._clients.values():
            self._node.destroy_client(client)

    def call(self, command: Command, outcome: Future) -> None:
        """Call the service of `command`; its Reply, always one, ends up in `outcome`."""
        if len(self._calls) >= MAX_CALLS:
            _fail(outcome, f'{MAX_CALLS} requests wait already; wait for the node')
            return
        now = time.monotonic()
        self._calls.append(_Call(command, outcome, now + _REPLY_SECONDS, now + _ARRIVAL_SECONDS))
        self.look()

    def look(self) -> None:
        """Send what waits for its service, and give up what has waited too long."""
        now = time.monotonic()
        for call in list(self._calls):
            client = self._clients[type(call.command)]
            name = f'{self._tracker}/{_SERVICES[type(call.command)][0]}'
            if call.answer is None and client.service_is_ready():
                self._send(call, client)
            elif call.answer is None and now > call.arrival:
                self._give_up(call, f'there is no service {name}; is the node running?')
            elif now > call.deadline:
                self._give_up(call, f'no answer of {name} within {_REPLY_SECONDS:.0f} s; what '
                                    'became of the request is not known')

    def _send(self, call: _Call, client: Any) -> None:
        try:
            call.answer = client.call_async(_request(call.command))
        except Exception as error:  # noqa: BLE001 - what a browser typed may not fit a message
            self._give_up(call, f'the request cannot be sent: {error}')
            return
        call.answer.add_done_callback(lambda answer: self._finish(call))

    def _give_up(self, call: _Call, message: str) -> None:
        self._calls.remove(call)
        _fail(call.outcome, message)

    def _finish(self, call: _Call) -> None:
        if call not in self._calls:
            return
        self._calls.remove(call)
        try:
            reply = _reply(call.answer.result())
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            reply = Reply(False, f'the answer cannot be used: {error}')
        if call.outcome.set_running_or_notify_cancel():
            call.outcome.set_result(reply)


def _fail(outcome: Future, message: str) -> None:
    if outcome.set_running_or_notify_cancel():
        outcome.set_result(Reply(False, message))


def _request(command: Command) -> Any:
    if isinstance(command, commands.Propose):
        return _prompt_request(command)
    if isinstance(command, commands.Remember):
        header = _header(command.view)
        return _with_mask(srv.SetReference.Request(
            image=image_message(header, command.view.pixels, 'rgb8'),
            mask=image_message(header, command.mask.astype(np.uint8) * 255, 'mono8'),
            target_id=command.target_id, label=command.label, stream=command.stream,
            stamp=header.stamp, replace=command.replace))
    if isinstance(command, commands.Remove):
        return srv.RemoveTarget.Request(target_id=command.target_id)
    if isinstance(command, commands.Save):
        return srv.SaveMemory.Request(name=command.name,
                                      references_only=command.references_only)
    if isinstance(command, commands.Load):
        return srv.LoadMemory.Request(name=command.name,
                                      references_only=command.references_only)
    return _SERVICES[type(command)][1].Request()


def _prompt_request(command: commands.Propose) -> Any:
    header = _header(command.view)
    box = []
    if command.box is not None:
        x_min, y_min, width, height = command.box
        box = [Box(x_min=x_min, y_min=y_min, width=width, height=height)]
    return _with_mask(srv.SetReferencePrompt.Request(
        image=image_message(header, command.view.pixels, 'rgb8'), box=box,
        point_x=[point[0] for point in command.points],
        point_y=[point[1] for point in command.points],
        point_foreground=[point[2] for point in command.points],
        stream=command.stream, stamp=header.stamp, preview=True))


def _with_mask(request: Any) -> Any:
    """Ask for the mask in the reply, where the service leaves it out unless asked."""
    if hasattr(request, 'with_mask'):
        request.with_mask = True
    return request


def _header(view: View) -> Header:
    return Header(stamp=time_message(view.stamp_ns), frame_id=view.frame_id)


def _reply(response: Any) -> Reply:
    mask = None
    if isinstance(response, srv.SetReferencePrompt.Response) and response.success:
        mask = mask_of(response.mask) > 0
    if isinstance(response, srv.ListMemory.Response):
        return Reply(response.success, response.message, snapshots=tuple(response.snapshots),
                     libraries=tuple(zip(response.libraries, response.objects, strict=True)))
    return Reply(response.success, response.message,
                 tuple(getattr(response, 'target_ids', ())), mask)
