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

    Of each stream only the newest frame waits; streams take turns, and jobs go first.
    """

    def __init__(self, process: Callable[[str, FrameT], None], settle: Callable[[], None],
                 on_error: Callable[[Exception], None]) -> None:
        """Prepare a worker; start() starts it.

        :param process: called with a stream and its newest frame.
        :param settle: called after each frame, when its answer is out.
        :param on_error: called with what `process` raised; the worker goes on.
        """
        self._process = process
        self._settle = settle
        self._on_error = on_error
        self._frames: dict[str, FrameT] = {}
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._condition = threading.Condition()
        self._running = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name='stm_worker', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame in hand, drop what waits, and end the thread."""
        with self._condition:
            self._running = False
            self._frames.clear()
            jobs = list(self._jobs)
            self._jobs.clear()
            self._condition.notify_all()
        for _, future in jobs:
            future.set_exception(WorkerStoppedError('the node was deactivated meanwhile'))
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def offer(self, stream: str, frame: FrameT) -> bool:
        """Hand over a frame; False where it replaced one that nobody had looked at."""
        with self._condition:
            fresh = stream not in self._frames
            # a newer frame keeps its stream's place in the queue, so none starves
            self._frames[stream] = frame
            self._condition.notify()
            return fresh

    def submit(self, job: Callable[[], Any]) -> Future:
        """Run `job` on the thread before the next frame; its outcome is in the future."""
        future: Future = Future()
        with self._condition:
            if not self._running or len(self._jobs) >= MAX_JOBS:
                reason = f'{MAX_JOBS} requests wait already' if self._running else 'not active'
                future.set_exception(WorkerStoppedError(reason))
            else:
                self._jobs.append((job, future))
                self._condition.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._running and not self._jobs and not self._frames:
                    self._condition.wait()
                if not self._running:
                    return
                task = self._next_task()
            task()

    def _next_task(self) -> Callable[[], None]:
        if self._jobs:
            job, future = self._jobs.popleft()
            return lambda: _fulfil(job, future)
        # dictionaries keep insertion order: the stream that has waited longest is first
        stream = next(iter(self._frames))
        frame = self._frames.pop(stream)
        return lambda: self._handle(stream, frame)

    def _handle(self, stream: str, frame: FrameT) -> None:
        try:
            self._process(stream, frame)
            self._settle()
        except Exception as error:  # noqa: BLE001 - whatever a frame does, the next one counts
            self._on_error(error)


def _fulfil(job: Callable[[], Any], future: Future) -> None:
    try:
        future.set_result(job())
    except Exception as error:  # noqa: BLE001 - it is raised again where the job is waited for
        future.set_exception(error)
