# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The thread that lives in the ROS graph; all that it tells the web is immutable."""
import queue
import threading
import time
import traceback
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from stm_ros.console.commands import Command
from stm_ros.console.commands import Remember
from stm_ros.console.commands import Reply
from stm_ros.console.feed import StreamFeed
from stm_ros.console.graph import find_sources
from stm_ros.console.graph import find_trackers
from stm_ros.console.graph import is_present
from stm_ros.console.graph import no_tracker
from stm_ros.console.graph import not_active
from stm_ros.console.reading import read_diagnostics
from stm_ros.console.services import MAX_CALLS
from stm_ros.console.services import Services
from stm_ros.console.snapshots import ConsoleView
from stm_ros.console.snapshots import Fault

DEFAULT_TRACKER = '/stm_tracker'
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 5.0
_WARN_SECONDS = 5.0


class Link:
    """Joins the graph as a node of its own. Only `view`, `touch` and `submit` are for others."""

    def __init__(self, tracker: str | None, rate: float) -> None:
        """Prepare; start() joins.

        :param tracker: full name of the tracker; None takes the one that there is.
        :param rate: views a second of each stream, at most.
        """
        self._wanted = tracker
        self._period = 1.0 / rate
        self._tracker = tracker or DEFAULT_TRACKER
        self._view = ConsoleView(self._tracker, time.monotonic())
        self._inbox: queue.Queue[tuple[Command, Future]] = queue.Queue(MAX_CALLS)
        self._touched: dict[str, float] = {}
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name='stm_console_ros', daemon=True)
        self._feeds: dict[str, StreamFeed] = {}
        self._services: Services | None = None
        self._parameters: Any = None
        self._asked: Any = None
        self._diagnostics: dict[str, dict[str, str]] = {}
        self._fault: Fault | None = None
        self._looked = 0.0

    @property
    def view(self) -> ConsoleView:
        """What is known now; any thread may read it."""
        return self._view

    def touch(self, stream: str) -> None:
        """Say that somebody looks at a stream. Unknown names are ignored."""
        if stream in self._view.streams:
            self._touched[stream] = time.monotonic()

    def submit(self, command: Command) -> Future:
        """Have a service called; the future's result is a Reply, always."""
        outcome: Future = Future()
        try:
            self._inbox.put_nowait((command, outcome))
        except queue.Full:
            outcome.set_result(Reply(False, f'{MAX_CALLS} requests wait already'))
        return outcome

    def start(self) -> None:
        """Join the graph."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the graph."""
        self._is_ending.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        context = rclpy.context.Context()
        # the arguments are the web part's, and so are the signals
        rclpy.init(args=[], context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        node = rclpy.create_node('stm_console', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        try:
            while not self._is_ending.is_set():
                try:
                    self._turn(executor, node)
                except ExternalShutdownException:
                    break
                except Exception:  # noqa: BLE001 - whatever a message does, the next one counts
                    node.get_logger().error(traceback.format_exc(),
                                            throttle_duration_sec=_WARN_SECONDS)
        finally:
            self._forget_tracker(node)
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown(context=context)

    def _turn(self, executor: SingleThreadedExecutor, node: Node) -> None:
        """Take what has come, and do what is due."""
        executor.spin_once(timeout_sec=self._period / 4)
        now = time.monotonic()
        self._take_commands()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look_around(node)
        if now - self._view.now >= self._period:
            self._publish(now)

    def _take_commands(self) -> None:
        while not self._inbox.empty():
            command, outcome = self._inbox.get_nowait()
            if self._services is None:
                outcome.set_result(Reply(False, f'{self._tracker} is not in the graph'))
                continue
            if isinstance(command, Remember) and command.stream in self._feeds:
                self._feeds[command.stream].keep_thumbnail(command.view)
            self._services.call(command, outcome)
        if self._services is not None:
            self._services.look()

    def _look_around(self, node: Node) -> None:
        if not is_present(node, self._tracker):
            found = find_trackers(node)
            self._fault = no_tracker(self._tracker, found)
            if self._wanted is None and found:
                self._forget_tracker(node)
                self._tracker = found[0]
            return
        if self._services is None:
            self._services = Services(node, self._tracker)
            self._parameters = node.create_client(GetParameters,
                                                  f'{self._tracker}/get_parameters')
        self._ask_streams(node)
        sources = find_sources(node, self._tracker, list(self._feeds))
        self._fault = None
        if self._feeds and not sources:
            self._fault = not_active(self._tracker)
        for name, feed in self._feeds.items():
            feed.look_around(sources.get(name), self._touched.get(name, -float('inf')))

    def _ask_streams(self, node: Node) -> None:
        """Ask the tracker for its streams again and again: it may be another one by now."""
        if self._asked is not None and self._asked.done():
            values = self._asked.result().values
            if values and (names := parameter_value_to_python(values[0])):
                self._take_streams(node, list(names))
            self._asked = None
        if self._asked is None and self._parameters.service_is_ready():
            self._asked = self._parameters.call_async(GetParameters.Request(names=['streams']))

    def _take_streams(self, node: Node, names: list[str]) -> None:
        if names == list(self._feeds):
            return
        for feed in self._feeds.values():
            feed.destroy()
        prefix = {name: self._tracker if len(names) == 1 else f'{self._tracker}/{name}'
                  for name in names}
        self._feeds = {name: StreamFeed(node, self._tracker, name, prefix[name])
                       for name in names}
        self._touched.clear()

    def _forget_tracker(self, node: Node) -> None:
        for feed in self._feeds.values():
            feed.destroy()
        self._feeds = {}
        if self._services is not None:
            self._services.destroy()
            self._services = None
            node.destroy_client(self._parameters)
        self._asked = None
        self._diagnostics = {}

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._diagnostics |= read_diagnostics(message, self._tracker)

    def _publish(self, now: float) -> None:
        for feed in self._feeds.values():
            feed.compose()
        streams = {name: feed.snapshot(self._diagnostics.get(f'stream {name}', {}))
                   for name, feed in self._feeds.items()}
        self._view = ConsoleView(
            self._tracker, now, MappingProxyType(streams),
            MappingProxyType(self._diagnostics.get('memory', {})), self._fault)
