# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that runs the network: newest frames only, and jobs between frames."""
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from typing import Generic
from typing import TypeVar

FrameT = TypeVar('FrameT')
MAX_JOBS = 64


class WorkerStoppedError(RuntimeError):
    """A job was given up because the worker stopped, or too many were waiting."""


class Worker(Generic[FrameT]):
    """Runs frames and jobs on a thread of its own, one at a time.

    Of each stream only the newest frame waits; streams take turns. A waiting job goes before a
    frame, but no two do, so that requests cannot keep frames waiting. The thread
    lives as long as the worker: each new thread that runs the network would keep some megabytes.
    """

    def __init__(self, process: Callable[[str, FrameT], None],
                 on_error: Callable[[str, Exception], None]) -> None:
        """Start the thread, which takes nothing until resume().

        :param process: called with a stream and its newest frame.
        :param on_error: called with the stream and what `process` raised; the worker goes on.
        """
        self._process = process
        self._on_error = on_error
        self._frames: dict[str, FrameT] = {}
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._condition = threading.Condition()
        self._is_open = False
        self._is_busy = False
        self._is_ending = False
        self._was_job = False
        self._thread = threading.Thread(target=self._run, name='stm_worker', daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Take frames and jobs from now on."""
        with self._condition:
            self._is_open = True

    def pause(self) -> None:
        """Take nothing more, drop what waits, and wait for what is in hand."""
        with self._condition:
            self._is_open = False
            self._frames.clear()
            jobs = list(self._jobs)
            self._jobs.clear()
            self._condition.wait_for(lambda: not self._is_busy)
        for _, future in jobs:
            # whoever waited for it may have given it up
            if future.set_running_or_notify_cancel():
                future.set_exception(WorkerStoppedError('the node was deactivated meanwhile'))

    def end(self) -> None:
        """Pause for good and end the thread."""
        self.pause()
        with self._condition:
            self._is_ending = True
            self._condition.notify_all()
        self._thread.join()

    def offer(self, stream: str, frame: FrameT) -> bool:
        """Hand over a frame; False where it replaced one that nobody had looked at."""
        with self._condition:
            if not self._is_open:
                return True
            fresh = stream not in self._frames
            # a newer frame keeps its stream's place in the queue, so none starves
            self._frames[stream] = frame
            self._condition.notify_all()
            return fresh

    def submit(self, job: Callable[[], Any], even_when_paused: bool = False) -> Future:
        """Run `job` on the thread before the next frame; its outcome is in the future."""
        future: Future = Future()
        with self._condition:
            if not (self._is_open or even_when_paused) or len(self._jobs) >= MAX_JOBS:
                reason = (f'{MAX_JOBS} requests wait already' if self._is_open
                          else 'the node is not active; activate it first')
                future.set_exception(WorkerStoppedError(reason))
            else:
                self._jobs.append((job, future))
                self._condition.notify_all()
        return future

    def _run(self) -> None:
        while True:
            with self._condition:
                self._is_busy = False
                self._condition.notify_all()
                self._condition.wait_for(
                    lambda: self._is_ending or self._jobs or self._frames)
                if self._is_ending:
                    return
                self._is_busy = True
                task = self._next_task()
            task()
            # a finished task must not keep its request, and with it the memory, alive
            del task

    def _next_task(self) -> Callable[[], None]:
        self._was_job = bool(self._jobs) and not (self._was_job and self._frames)
        if self._was_job:
            job, future = self._jobs.popleft()
            return lambda: _fulfil(job, future)
        # dictionaries keep insertion order: the stream that has waited longest is first
        stream = next(iter(self._frames))
        frame = self._frames.pop(stream)
        return lambda: self._handle(stream, frame)

    def _handle(self, stream: str, frame: FrameT) -> None:
        try:
            self._process(stream, frame)
        except Exception as error:  # noqa: BLE001 - whatever a frame does, the next one counts
            self._on_error(stream, error)


def _fulfil(job: Callable[[], Any], future: Future) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:  # noqa: BLE001 - it is raised again where the job is waited for
        future.set_exception(error)
