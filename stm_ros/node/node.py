# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: it wires cameras, worker, tracker, publishers and services."""
import gc
import time
import traceback
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

from stm_ros.inference.allocation import give_back_freed_memory
from stm_ros.inference.prompting import segmenter_for
from stm_ros.inference.runner import NetworkOutputError
from stm_ros.node.conversion import image_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.depth import Answer
from stm_ros.node.depth import DepthOutputs
from stm_ros.node.graph_watch import unknown_overrides
from stm_ros.node.health import NodeHealth
from stm_ros.node.health import Vitals
from stm_ros.node.intake import ImageIntake
from stm_ros.node.intake import IntakeSettings
from stm_ros.node.keeping import MemoryKeeper
from stm_ros.node.making import make_tracker
from stm_ros.node.parameters import check_values
from stm_ros.node.parameters import declare_parameters
from stm_ros.node.parameters import parameter_values
from stm_ros.node.publishing import StreamPublishers
from stm_ros.node.publishing import unpublished_outputs
from stm_ros.node.requests import Requests
from stm_ros.node.services import READ_ONLY
from stm_ros.node.services import guarded
from stm_ros.node.services import offer_services
from stm_ros.node.services import shorter_side
from stm_ros.node.settings import NodeSettings
from stm_ros.node.status import TrackerStatus
from stm_ros.node.status import status_of
from stm_ros.node.streams import CameraStream
from stm_ros.node.streams import ReceivedFrame
from stm_ros.node.transitions import SteadyLifecycleNode
from stm_ros.node.worker import Worker
from stm_ros.node.worker import WorkerStoppedError
from stm_ros.tracking import Result
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.recovery import Recovery
from stm_ros.tracking.stream import LateFrameError
from stm_ros.vision.errors import InputError

NODE_NAME = 'stm_tracker'
_WARN_SECONDS = 5.0
# a camera of 30 Hz and max_rate 10 would give 7.5 without
_RATE_TOLERANCE = 0.9


class StmTracker(SteadyLifecycleNode):
    """Tracks shown targets in one or several image streams.

    Callbacks only hand over; one worker thread runs the network and publishes. Other threads know
    of the tracker what the worker's last status says.
    """

    def __init__(self, **options: Any) -> None:
        """Declare parameters and services; start() makes the first transitions."""
        super().__init__(NODE_NAME, **options)
        declare_parameters(self)
        self._wanted: tuple[NodeSettings, TrackerConfig] = check_values(parameter_values(self))
        self._taken: TrackerConfig | None = None
        self.add_on_set_parameters_callback(self._check_change)
        self._tracker: Tracker | None = None
        self._recovery: Recovery | None = None
        self._requests: Requests | None = None
        self._keeper: MemoryKeeper | None = None
        self._status: TrackerStatus | None = None
        self._worker: Worker[ReceivedFrame] = Worker(self._process, self._report_failure)
        self._depth = DepthOutputs(self, self._worker.submit)
        self._streams: dict[str, CameraStream] = {}
        self._outputs: dict[str, StreamPublishers] = {}
        self._looked: dict[str, float] = {}
        self._is_paused = False
        self._image_group = MutuallyExclusiveCallbackGroup()
        service_group = MutuallyExclusiveCallbackGroup()
        self._health = NodeHealth(self, self._vitals)
        self._health.on_every_second(self._autosave)
        offer_services(self, service_group, self._submit, {'pause': self._pause})
        for name in unknown_overrides(self):
            if not name.startswith('qos_overrides.'):
                self.get_logger().warning(f'there is no parameter {name}; its value is ignored')

    @property
    def settings(self) -> NodeSettings:
        """The node's own settings, as they are now."""
        return self._wanted[0]

    def start(self) -> bool:
        """Configure and activate where `autostart` says so; False where that failed."""
        if not self.settings.autostart:
            return True
        return (self.trigger_configure() == TransitionCallbackReturn.SUCCESS
                and self.trigger_activate() == TransitionCallbackReturn.SUCCESS)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and what is known, size memory, create the outputs."""
        return self.guarded_transition('configure', lambda: self._configure(state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe to the images."""
        return self.guarded_transition('activate', lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and finish the frame in hand; memory is kept."""
        return self.guarded_transition('deactivate', lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back memory, network and outputs."""
        return self.guarded_transition('clean up', lambda: self._cleanup(state))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what is left of deactivate and cleanup."""
        def shut_down() -> None:
            self._deactivate(state)
            self._cleanup(state)
        return self.guarded_transition('shut down', shut_down)

    #: after a failed transition, so that it can be tried again
    on_error = on_shutdown

    def destroy_node(self) -> None:
        """Stop the worker and give everything back."""
        self._stop_listening()
        self._worker.end()
        self._release()
        super().destroy_node()

    def _configure(self, state: LifecycleState) -> None:
        # on the worker's thread: each thread that handles tensors keeps an arena of its own
        said = self._worker.submit(self._make_tracker, even_when_paused=True).result()
        settings = self.settings
        self._streams = {name: CameraStream(name, settings.history_seconds,
                                            int(settings.history_megabytes * 1e6))
                         for name in settings.streams}
        try:
            for name in settings.streams:
                prefix = '~/' if len(settings.streams) == 1 else f'~/{name}/'
                self._outputs[name] = StreamPublishers(self, prefix)
            self._depth.configure(lambda: self.settings)
            unpublished = unpublished_outputs(settings.depth_enabled, settings.depth_tf)
            self._health.configure(settings.diagnostics_period, unpublished)
            assert self._tracker is not None
            segmenter = segmenter_for(settings.model, settings.weights or None,
                                      self._tracker.device, settings.segmenter)
            self._requests = Requests(self._tracker, self._streams,
                                      Path(settings.snapshot_dir).expanduser(),
                                      settings.max_megapixels, segmenter)
            super().on_configure(state)
        except Exception:
            self._release()
            raise
        self.get_logger().info(said)
        if unpublished:
            self.get_logger().info(f'not published: {unpublished}')

    def _make_tracker(self) -> str:
        """Load the network and what is known from the start; says what there is."""
        made = make_tracker(*self._wanted, self.get_fully_qualified_name())
        self._tracker, self._recovery, self._keeper = made.tracker, made.recovery, made.keeper
        self._taken = self._wanted[1]
        self._status = status_of(made.tracker, made.recovery)
        return made.description

    def _activate(self, state: LifecycleState) -> None:
        self._worker.resume()
        super().on_activate(state)
        settings = self.settings
        for name, transport in settings.transports.items():
            topic = 'image' if len(self._streams) == 1 else f'{name}/image'
            stream = self._streams[name]
            intake = ImageIntake(
                self, IntakeSettings(name, topic, transport, settings.image_reliability),
                self._image_group, partial(self._receive, name), stream.count_lost)
            self._health.listen(intake, stream)
        self._depth.activate(self._image_group)
        read = ', '.join((self._health.topics, *self._depth.topics))
        self.get_logger().info(f'active; reads {read}')
        for name in unknown_overrides(self):
            if name.startswith('qos_overrides.'):
                self.get_logger().warning(f'{name} is for no topic of this node; it is ignored')

    def _deactivate(self, state: LifecycleState) -> None:
        self._stop_listening()
        super().on_deactivate(state)

    def _cleanup(self, state: LifecycleState) -> None:
        self._release()
        super().on_cleanup(state)

    def _stop_listening(self) -> None:
        self._health.stop_listening()
        self._depth.deactivate()
        self._worker.pause()
        for stream in self._streams.values():
            # after a break they would pass for the newest
            stream.forget_images()
        if self._keeper is not None:
            self._worker.submit(self._keeper.save, even_when_paused=True).result()

    def _release(self) -> None:
        for outputs in self._outputs.values():
            outputs.destroy()
        self._outputs = {}
        self._depth.release()
        self._health.release()
        self._requests = self._tracker = self._recovery = self._keeper = self._status = None
        self._streams = {}
        self._is_paused = False
        # tracebacks of refused requests can hold the memory in cycles until they are looked for
        gc.collect()
        give_back_freed_memory()

    def _receive(self, name: str, message: Image | CompressedImage) -> None:
        stream = self._streams.get(name)
        if stream is None:
            return
        frame = ReceivedFrame(message, time.monotonic())
        stream.receive(frame)
        settings = self.settings
        gap = frame.arrival - self._looked.get(name, float('-inf'))
        if (self._is_paused or settings.mode == 'on_demand'
                or gap * settings.max_rate < _RATE_TOLERANCE * (settings.max_rate > 0)):
            stream.count_spared()
            return
        self._looked[name] = frame.arrival
        if not self._worker.offer(name, frame):
            stream.count_drop()

    def _process(self, name: str, frame: ReceivedFrame) -> None:
        """Answer one frame; runs on the worker's thread."""
        self._take_over_settings()
        tracker, stream, outputs = self._tracker, self._streams[name], self._outputs[name]
        recovery = self._recovery
        assert tracker is not None and recovery is not None
        try:
            image = image_of(frame.message, self.settings.max_megapixels)
            header = frame.message.header
            began = time.monotonic()
            result = recovery.run(lambda: tracker.step(image, name, nanoseconds(header.stamp)),
                                  min(image.shape[:2]))
            stepping = time.monotonic() - began
        except LateFrameError:
            stream.count_drop()
            return
        except (InputError, NetworkOutputError) as error:
            stream.count_failure(str(error))
            self.get_logger().warning(f'frame of stream {name!r} skipped: {error}',
                                      throttle_duration_sec=_WARN_SECONDS)
            return
        settings = self.settings
        failure = None
        try:
            outputs.publish(header, image, result, settings.context_period,
                            settings.context_evidence)
            self._depth.answered(name, Answer(header, image, result.label_map, result.targets,
                                              tracker.config.input_size))
        except torch.OutOfMemoryError as error:
            failure = error.with_traceback(None)
        if failure is not None:
            # this frame's further outputs are lost: what they read from moves with memory
            recovery.reduce(min(image.shape[:2]))
            raise failure
        latency = (self.get_clock().now().nanoseconds - nanoseconds(header.stamp)) / 1e9
        stream.count_answer(latency, time.monotonic() - frame.arrival, stepping)
        recovery.run(tracker.settle)
        self._note_status(result)

    def _take_over_settings(self) -> None:
        """What was set since the last frame holds from this one on; on the worker's thread."""
        _, config = self._wanted
        if self._tracker is not None and config is not self._taken:
            self._tracker.reconfigure(config)
            self._taken = config

    def _note_status(self, result: Result | None = None, has_changed: bool = True) -> None:
        """Let other threads know how the tracker is; on the worker's thread."""
        if self._tracker is None or self._recovery is None or self._keeper is None:
            return
        self._status = status_of(self._tracker, self._recovery, self._status, result)
        if has_changed:
            self._keeper.note_change()

    def _report_failure(self, name: str, error: Exception) -> None:
        stream = self._streams.get(name)
        if stream is None or not self.context.ok():
            return
        stream.count_failure(str(error))
        trace = ''.join(traceback.format_exception(error))
        self.get_logger().error(f'a frame of stream {name!r} failed: {error}\n{trace}',
                                throttle_duration_sec=_WARN_SECONDS)

    def _submit(self, name: str, request: Any, response: Any) -> Future:
        """Hand a request to the worker."""
        requests, recovery = self._requests, self._recovery

        def work() -> Any:
            assert recovery is not None
            self._take_over_settings()
            try:
                return recovery.run(lambda: getattr(requests, name)(request, response),
                                    shorter_side(request))
            finally:
                self._note_status(has_changed=name not in READ_ONLY)
        return self._worker.submit(work)

    def _pause(self, request: Any, response: Any) -> Any:
        def pause() -> Any:
            if not self._health.is_listening:
                raise WorkerStoppedError('the node is not active; activate it first')
            self._is_paused = request.pause
            response.success = True
            response.message = ('paused; services still answer' if request.pause
                                else f'goes on, in mode {self.settings.mode}')
            return response
        return guarded(self, 'pause', response, pause)

    def _autosave(self) -> None:
        keeper = self._keeper
        if keeper is not None and keeper.is_due:
            self._worker.submit(keeper.save, even_when_paused=True)

    def _vitals(self) -> Vitals | None:
        """What health asks of the node."""
        status, keeper = self._status, self._keeper
        if status is None or keeper is None:
            return None
        on_demand = 'on demand' if self.settings.mode == 'on_demand' else ''
        return Vitals(status, tuple(self._streams.values()),
                      'paused' if self._is_paused else on_demand, keeper.trouble,
                      self._depth.figures)

    def _check_change(self, changes: list[Parameter]) -> SetParametersResult:
        """Accept or refuse new values, all together; accepted ones hold from the next frame."""
        values = parameter_values(self)
        values.update({change.name: change.value for change in changes if change.name in values})
        try:
            self._wanted = check_values(values)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)
