# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: it wires cameras, worker, tracker, publishers and services."""
import gc
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros import srv
from stm_ros.node.conversion import image_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.diagnostics import diagnostics_message
from stm_ros.node.parameters import PARAMETERS
from stm_ros.node.parameters import check_values
from stm_ros.node.parameters import declare_parameters
from stm_ros.node.publishing import StreamPublishers
from stm_ros.node.requests import Requests
from stm_ros.node.streams import CameraStream
from stm_ros.node.streams import ReceivedFrame
from stm_ros.node.worker import MAX_JOBS
from stm_ros.node.worker import Worker
from stm_ros.node.worker import WorkerStoppedError
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.allocation import give_back_freed_memory
from stm_ros.tracking.engine import NetworkOutputError
from stm_ros.tracking.recovery import Recovery
from stm_ros.vision.errors import InputError

NODE_NAME = 'stm_tracker'
_REPLY_SECONDS = 30.0
_WARN_SECONDS = 5.0
# with the default depth of 10, the eleventh request that waits replaces the first without a word
_SERVICE_QUALITY = QoSProfile(depth=MAX_JOBS, reliability=ReliabilityPolicy.RELIABLE)
_SERVICES = {
    'set_reference': srv.SetReference, 'set_reference_prompt': srv.SetReferencePrompt,
    'remove_target': srv.RemoveTarget, 'segment': srv.Segment,
    'save_memory': srv.SaveMemory, 'load_memory': srv.LoadMemory, 'reset': srv.Reset}


class StmTracker(LifecycleNode):
    """Tracks shown targets in one or several image streams.

    Callbacks only hand over; one worker thread runs the network and publishes.
    """

    def __init__(self, **options: Any) -> None:
        """Declare parameters and services; start() makes the first transitions."""
        super().__init__(NODE_NAME, **options)
        declare_parameters(self)
        check_values(self._values())
        self.add_on_set_parameters_callback(self._check_change)
        self._tracker: Tracker | None = None
        self._recovery: Recovery | None = None
        self._requests: Requests | None = None
        self._worker: Worker[ReceivedFrame] = Worker(self._process, self._report_failure)
        self._streams: dict[str, CameraStream] = {}
        self._outputs: dict[str, StreamPublishers] = {}
        self._subscriptions_held: list[Any] = []
        self._diagnostics: tuple[Any, Any] | None = None
        self._settings = self._values()
        self._image_group = MutuallyExclusiveCallbackGroup()
        self._service_group = MutuallyExclusiveCallbackGroup()
        for name, kind in _SERVICES.items():
            self.create_service(kind, f'~/{name}', self._handler(name),
                                qos_profile=_SERVICE_QUALITY,
                                callback_group=self._service_group)

    def start(self) -> bool:
        """Configure and activate where `autostart` says so; False where that failed."""
        if not self._settings['autostart']:
            return True
        return (self.trigger_configure() == TransitionCallbackReturn.SUCCESS
                and self.trigger_activate() == TransitionCallbackReturn.SUCCESS)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network, size memory, create the outputs."""
        return self._guarded('configure', lambda: self._configure(state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe to the images."""
        return self._guarded('activate', lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and finish the frame in hand; memory is kept."""
        return self._guarded('deactivate', lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back memory, network and outputs."""
        return self._guarded('cleanup', lambda: self._cleanup(state))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what is left of deactivate and cleanup."""
        def shut_down() -> None:
            self._deactivate(state)
            self._cleanup(state)
        return self._guarded('shut down', shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clean up after a failed transition, so that it can be tried again."""
        return self.on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop the worker and give everything back."""
        self._stop_listening()
        self._worker.end()
        self._release()
        super().destroy_node()

    def _guarded(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy turns exceptions of transition callbacks into errors without a word
        try:
            action()
        except Exception as error:  # noqa: BLE001
            self.get_logger().error(f'cannot {what}: {error}')
            return (TransitionCallbackReturn.FAILURE if isinstance(error, (ValueError, OSError))
                    else TransitionCallbackReturn.ERROR)
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, state: LifecycleState) -> None:
        settings = self._settings = self._values()
        config = check_values(settings)
        if settings['threads']:
            torch.set_num_threads(settings['threads'])
        device = settings['device']
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        # on the worker's thread: each thread that handles tensors keeps an arena of its own
        tracker = self._worker.submit(lambda: Tracker.from_pretrained(
            settings['model'], settings['weights'] or None, device, config),
            even_when_paused=True).result()
        self._tracker = tracker
        self._recovery = Recovery(tracker)
        names = list(settings['streams'])
        self._streams = {name: CameraStream(name, settings['history_frames']) for name in names}
        try:
            for name in names:
                prefix = '~/' if len(names) == 1 else f'~/{name}/'
                self._outputs[name] = StreamPublishers(self, prefix)
            publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
            timer = self.create_timer(settings['diagnostics_period'], self._publish_diagnostics)
            self._diagnostics = (publisher, timer)
            folder = Path(settings['snapshot_dir']).expanduser()
            self._requests = Requests(tracker, self._streams, folder,
                                      settings['max_megapixels'])
            super().on_configure(state)
        except Exception:
            self._release()
            raise
        self.get_logger().info(
            f'{tracker.network.name} on {tracker.device} in {tracker.engine.dtype}, '
            f'{tracker.bank.layout.slots} memory frames '
            f'({tracker.bank.layout.bytes / 1e6:.0f} MB), streams {", ".join(names)}')

    def _activate(self, state: LifecycleState) -> None:
        self._worker.resume()
        super().on_activate(state)
        for name in self._streams:
            self._subscriptions_held.append(self._subscribe(name))
        self.get_logger().info('active')

    def _subscribe(self, name: str) -> Any:
        topic = 'image' if len(self._streams) == 1 else f'{name}/image'
        kind: type = Image
        if self._settings['image_transport'] == 'compressed':
            topic, kind = f'{topic}/compressed', CompressedImage
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        return self.create_subscription(
            kind, topic, lambda message: self._receive(name, message), quality,
            callback_group=self._image_group,
            qos_overriding_options=QoSOverridingOptions.with_default_policies())

    def _deactivate(self, state: LifecycleState) -> None:
        self._stop_listening()
        super().on_deactivate(state)

    def _cleanup(self, state: LifecycleState) -> None:
        self._release()
        super().on_cleanup(state)

    def _stop_listening(self) -> None:
        while self._subscriptions_held:
            self.destroy_subscription(self._subscriptions_held.pop())
        self._worker.pause()

    def _release(self) -> None:
        for outputs in self._outputs.values():
            outputs.destroy()
        self._outputs = {}
        if self._diagnostics is not None:
            publisher, timer = self._diagnostics
            self.destroy_timer(timer)
            self.destroy_publisher(publisher)
            self._diagnostics = None
        self._requests = None
        self._tracker = None
        self._recovery = None
        self._streams = {}
        # tracebacks of refused requests can hold the memory in cycles until they are looked for
        gc.collect()
        give_back_freed_memory()

    def _receive(self, name: str, message: Image | CompressedImage) -> None:
        stream = self._streams.get(name)
        if stream is None:
            return
        frame = ReceivedFrame(message, time.monotonic())
        stream.receive(frame)
        if not self._worker.offer(name, frame):
            stream.count_drop()

    def _process(self, name: str, frame: ReceivedFrame) -> None:
        """Answer one frame; runs on the worker's thread."""
        tracker, stream, outputs = self._tracker, self._streams[name], self._outputs[name]
        recovery = self._recovery
        assert tracker is not None and recovery is not None
        header = frame.message.header
        try:
            image = image_of(frame.message, self._settings['max_megapixels'])
            began = time.monotonic()
            result = recovery.run(lambda: tracker.step(image, name, nanoseconds(header.stamp)),
                                  min(image.shape[:2]))
            stepping = time.monotonic() - began
        except (InputError, NetworkOutputError) as error:
            stream.count_failure(str(error))
            self.get_logger().warning(f'frame of stream {name!r} skipped: {error}',
                                      throttle_duration_sec=_WARN_SECONDS)
            return
        settings = self._settings
        failure = None
        try:
            outputs.publish(header, image, result, settings['context.period'],
                            settings['context.evidence'])
        except torch.OutOfMemoryError as error:
            failure = error.with_traceback(None)
        if failure is not None:
            # this frame's further outputs are lost: what they read from moves with memory
            recovery.reduce(min(image.shape[:2]))
            raise failure
        latency = (self.get_clock().now().nanoseconds - nanoseconds(header.stamp)) / 1e9
        stream.count_answer(latency, time.monotonic() - frame.arrival, stepping)
        recovery.run(tracker.settle)

    def _report_failure(self, name: str, error: Exception) -> None:
        stream = self._streams.get(name)
        if stream is None or not self.context.ok():
            return
        stream.count_failure(str(error))
        self.get_logger().error(f'a frame of stream {name!r} failed: {error}',
                                throttle_duration_sec=_WARN_SECONDS)

    def _handler(self, name: str) -> Callable[[Any, Any], Any]:
        """The callback of a service: it hands over to the worker and waits for its answer."""
        def answer(request: Any, response: Any) -> Any:
            requests, recovery = self._requests, self._recovery

            def work() -> Any:
                assert recovery is not None
                return recovery.run(lambda: getattr(requests, name)(request, response),
                                    _shorter_side(request))
            job = self._worker.submit(work)
            try:
                return job.result(timeout=_REPLY_SECONDS)
            except (FutureTimeoutError, WorkerStoppedError, ValueError, OSError,
                    RuntimeError) as error:
                # who was told that it is refused must not find it done later
                job.cancel()
                refusal = type(response)()
                refusal.success = False
                refusal.message = str(error) or f'no answer within {_REPLY_SECONDS:.0f} s'
                return refusal
        return answer

    def _publish_diagnostics(self) -> None:
        recovery, diagnostics = self._recovery, self._diagnostics
        if recovery is not None and diagnostics is not None:
            diagnostics[0].publish(diagnostics_message(
                self.get_clock().now(), self.get_fully_qualified_name(), recovery,
                list(self._streams.values())))

    def _values(self) -> dict[str, Any]:
        return {row.name: self.get_parameter(row.name).value for row in PARAMETERS}

    def _check_change(self, changes: list[Parameter]) -> SetParametersResult:
        """Accept or refuse new values, all together; accepted ones hold from the next frame."""
        values = self._values()
        values.update({change.name: change.value for change in changes if change.name in values})
        try:
            config = check_values(values)
        except (InputError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = values
        tracker = self._tracker
        if tracker is not None:
            self._worker.submit(lambda: _change_settings(tracker, config), even_when_paused=True)
        return SetParametersResult(successful=True)


def _change_settings(tracker: Tracker, config: TrackerConfig) -> None:
    """Take over what may change; the rest is fixed, or may have been reduced for lack of memory."""
    held = tracker.config
    tracker.config = replace(config, max_streams=held.max_streams, max_frames=held.max_frames,
                             input_size=held.input_size)


def _shorter_side(request: Any) -> int:
    """Of the image that a request carries, in pixels; 0 where it carries none."""
    image = getattr(request, 'image', None)
    return 0 if image is None else min(image.height, image.width)
