# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tasks for workers that may die: processes of this machine."""
import multiprocessing
import pickle
import traceback
from abc import ABC
from abc import abstractmethod
from collections import Counter
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from typing import Any
from typing import Protocol

from stm_ros.vision.errors import StmError

#: times that a task is given to another worker after the one that had it died
RETRIES = 2
_PATIENCE_SECONDS = 10.0


class Worker(Protocol):
    """What a worker makes once and does tasks with."""

    def do(self, task: Any) -> Any: ...


MakeWorker = Callable[[], Worker]
"""Makes a worker in its own process: what it holds, such as a network, is made once."""


class PoolError(StmError, RuntimeError):
    """Workers cannot be started; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What became of the task at `index`: a value, or what went wrong, for people.

    losses: workers that died with it. was_lost: whether it was given up for that.
    """

    index: int
    value: Any = None
    error: str | None = None
    losses: int = 0
    was_lost: bool = False


class Pool(ABC):
    """Workers that do tasks, and are replaced where they die. Used in a `with` statement."""

    def __init__(self, make_worker: MakeWorker, workers: int, retries: int = RETRIES) -> None:
        """Prepare; workers start with the first tasks, and live until the end."""
        self._make_worker = make_worker
        self._workers = workers
        self._retries = retries

    @abstractmethod
    def run(self, tasks: Sequence[Any]) -> Iterator[Answer]:
        """Do all tasks, as many at a time as there are workers; answers come as they are ready.

        :raises PoolError: where a worker cannot be made.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers."""

    def __enter__(self) -> 'Pool':
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End all workers."""
        self.close()

    def _after_loss(self, index: int, losses: Counter[int], waiting: deque[int], why: str
                    ) -> Answer | None:
        """Give a task of a worker that died to another one, or give it up."""
        losses[index] += 1
        if losses[index] <= self._retries:
            waiting.appendleft(index)
            return None
        return Answer(index, error=f'{losses[index]} workers died with it, the last: {why}',
                      losses=losses[index], was_lost=True)


@dataclass
class _Process:
    process: multiprocessing.process.BaseProcess
    line: Connection
    index: int | None = None


class ProcessPool(Pool):
    """Processes of this machine, started anew rather than forked: torch has threads."""

    def __init__(self, make_worker: MakeWorker, workers: int, retries: int = RETRIES) -> None:
        """Prepare."""
        super().__init__(make_worker, workers, retries)
        self._context = multiprocessing.get_context('spawn')
        self._processes: list[_Process] = []

    def run(self, tasks: Sequence[Any]) -> Iterator[Answer]:
        """Do all tasks; see Pool."""
        waiting, losses = deque(range(len(tasks))), Counter[int]()
        while waiting or any(each.index is not None for each in self._processes):
            self._hand_out(tasks, waiting)
            busy = {each.line: each for each in self._processes if each.index is not None}
            for line in wait(list(busy)):
                answer = self._take(busy[line], losses, waiting)  # type: ignore[index]
                if answer is not None:
                    yield answer

    def close(self) -> None:
        """End all workers."""
        for each in self._processes:
            each.line.close()
        for each in self._processes:
            each.process.join(_PATIENCE_SECONDS)
            if each.process.is_alive():
                each.process.kill()
                each.process.join()
        self._processes.clear()

    @property
    def pids(self) -> list[int]:
        """Of the workers that there are."""
        return [each.process.pid for each in self._processes if each.process.pid is not None]

    def _hand_out(self, tasks: Sequence[Any], waiting: deque[int]) -> None:
        idle = [each for each in self._processes if each.index is None]
        while waiting and (idle or len(self._processes) < self._workers):
            chosen = idle.pop() if idle else self._start()
            chosen.index = waiting.popleft()
            try:
                chosen.line.send_bytes(pickle.dumps(tasks[chosen.index]))
            except (BrokenPipeError, ConnectionResetError):
                # it died at rest: the task was never its own
                waiting.appendleft(chosen.index)
                self._drop(chosen)

    def _start(self) -> _Process:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._make_worker),
                                        daemon=True)
        process.start()
        theirs.close()
        self._processes.append(_Process(process, ours))
        return self._processes[-1]

    def _take(self, each: _Process, losses: Counter[int], waiting: deque[int]) -> Answer | None:
        index = each.index
        assert index is not None
        try:
            kind, content = pickle.loads(each.line.recv_bytes())
        except (EOFError, ConnectionResetError):
            each.process.join(_PATIENCE_SECONDS)
            why = f'exit code {each.process.exitcode}'
            self._drop(each)
            return self._after_loss(index, losses, waiting, why)
        each.index = None
        if kind == 'broken':
            raise PoolError(f'a worker cannot begin: {content}')
        return Answer(index, **{kind: content}, losses=losses[index])

    def _drop(self, each: _Process) -> None:
        self._processes.remove(each)
        each.line.close()


def _serve(line: Connection, make_worker: MakeWorker) -> None:
    """The life of a worker: make what it works with, and do what comes along the line.

    As plain pickles: torch would have tensors shared, which outlive no sender.
    """
    worker: Worker | None = None
    while True:
        try:
            content = line.recv_bytes()
        except (EOFError, KeyboardInterrupt):
            return
        if worker is None:
            try:
                worker = make_worker()
            except Exception as error:
                line.send_bytes(pickle.dumps(('broken', describe(error))))
                return
        try:
            answer = pickle.dumps(('value', worker.do(pickle.loads(content))))
        except Exception as error:
            answer = pickle.dumps(('error', describe(error)))
        line.send_bytes(answer)


def describe(error: Exception) -> str:
    """An error for people: its message where it is ours, else where in the program it happened."""
    if isinstance(error, StmError | OSError):
        return str(error)
    return traceback.format_exc(limit=-3).strip()
