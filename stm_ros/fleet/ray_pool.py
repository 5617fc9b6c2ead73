# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tasks for actors of Ray: of this machine, or of a cluster that others run."""
import logging
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stm_ros.fleet.pool import RETRIES
from stm_ros.fleet.pool import Answer
from stm_ros.fleet.pool import MakeWorker
from stm_ros.fleet.pool import Pool
from stm_ros.fleet.pool import PoolError
from stm_ros.fleet.pool import describe

#: Ray says the same of a cluster that is not there and of a token that is not the cluster's
_ADVICE = ('; is it running, and is its token the one in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or '
           '~/.ray/auth_token here?')
#: after which a cluster counts as not there when it is asked whether it wants a token
_ANSWER_SECONDS = 20
#: a cluster that grows on demand may need some minutes for its first machine
PATIENCE_SECONDS = 900


def is_ray_there() -> bool:
    """Whether Ray is installed."""
    return find_spec('ray') is not None


class RayPool(Pool):
    """Actors, one a worker, each with what it made once."""

    def __init__(self, make_worker: MakeWorker, workers: int, retries: int = RETRIES,
                 address: str | None = None, gpus: float = 0.0) -> None:
        """Start a cluster of so many workers on this machine, or join one.

        :param address: of a cluster, None to start one. :param gpus: that each worker needs.
        :raises PoolError: where Ray is not installed, or the cluster does not answer.
        """
        super().__init__(make_worker, workers, retries)
        if not is_ray_there():
            raise PoolError('Ray is not installed: pip install "stm_ros[fleet]", or '
                            '--engine processes')
        # Ray would report to its makers who uses it
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
        if address:
            _agree_on_token(address)
        import ray
        self._ray: Any = ray
        options: dict[str, Any] = {} if address else {
            'num_cpus': workers, 'include_dashboard': False}
        try:
            ray.init(address=address or 'local', log_to_driver=False,
                     logging_level=logging.ERROR, **options)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise PoolError(f'no Ray cluster at {address or "this machine"}: {error}'
                            + (_ADVICE if address else '')) from error
        self._actor: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Actor)
        # unpacked where its failure can be told: a machine of a cluster may lack the program
        self._birth = pickle.dumps(make_worker), os.getcwd()
        # an answer may also be lost after it was made, with the machine that held it
        errors = ray.exceptions
        self._lost = (errors.RayActorError, errors.ObjectLostError, errors.OutOfMemoryError,
                      errors.NodeDiedError, errors.WorkerCrashedError)
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int]] = {}
        self._births: dict[Any, Any] = {}
        self._stillborn = 0
        self._and_gpus = f' and {gpus:g} of its GPUs' if gpus else ''

    def run(self, tasks: Sequence[Any]) -> Iterator[Answer]:
        """Do all tasks; see Pool."""
        waiting, losses = deque(range(len(tasks))), Counter[int]()
        while waiting or self._busy:
            self._hand_out(tasks, waiting)
            ready, _ = self._ray.wait([*self._busy, *self._births], num_returns=1,
                                      timeout=PATIENCE_SECONDS, fetch_local=False)
            if ready and ready[0] in self._births:
                self._welcome(ready[0])
            elif ready:
                answer = self._take(ready[0], losses, waiting)
                if answer is not None:
                    yield answer
            elif not self._busy:
                raise PoolError(f'no worker could begin within {PATIENCE_SECONDS} s: each needs a '
                                f'processor of the cluster{self._and_gpus}')

    def close(self) -> None:
        """End all workers, and the cluster where this has started it."""
        self._idle.clear()
        self._busy.clear()
        self._births.clear()
        self._ray.shutdown()

    def _hand_out(self, tasks: Sequence[Any], waiting: deque[int]) -> None:
        """Give tasks to workers that have begun; begin more where there is too little of them.

        A cluster may have fewer processors than workers were asked for, or lose some: what waits
        for a processor must hold no task.
        """
        while waiting and self._idle:
            actor, index = self._idle.pop(), waiting.popleft()
            self._busy[actor.do.remote(tasks[index])] = (actor, index)
        free = self._workers - len(self._busy) - len(self._idle)
        for _ in range(min(free, len(waiting)) - len(self._births)):
            actor = self._actor.remote(*self._birth)
            self._births[actor.begin.remote()] = actor

    def _welcome(self, ready: Any) -> None:
        actor = self._births.pop(ready)
        try:
            why = self._ray.get(ready)
        except self._lost as error:
            # with its machine, or by a machine that cannot do it: then the next cannot either
            self._stillborn += 1
            if self._stillborn <= self._workers + self._retries:
                return
            why = _first_line(error)
        if why is not None:
            raise PoolError(f'a worker cannot begin: {why}')
        self._idle.append(actor)

    def _take(self, ready: Any, losses: Counter[int], waiting: deque[int]) -> Answer | None:
        actor, index = self._busy.pop(ready)
        try:
            kind, content = self._ray.get(ready)
        except self._lost as error:
            return self._after_loss(index, losses, waiting, _first_line(error))
        except self._ray.exceptions.RayTaskError as error:
            # the task does not fit through the line, in either direction
            kind, content = 'error', _first_line(error.cause)
        self._idle.append(actor)
        return Answer(index, **{kind: content}, losses=losses[index])


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), '') or repr(error)


def _agree_on_token(address: str) -> None:
    """Show the stored token where the cluster asks for one.

    From Ray 2.59 on, `ray start --head` asks for a token as soon as one is stored, but a program
    that joins shows it only if RAY_AUTH_MODE says so; and with a cluster that asks for none, one
    that shows it cannot work. Ray reads that variable once, when it is imported.
    """
    stored = Path(os.environ.get('RAY_AUTH_TOKEN_PATH') or Path.home() / '.ray' / 'auth_token')
    has_token = bool(os.environ.get('RAY_AUTH_TOKEN')) or stored.is_file()
    if has_token and 'RAY_AUTH_MODE' not in os.environ and _asks_for_token(address):
        os.environ['RAY_AUTH_MODE'] = 'token'


def _asks_for_token(address: str) -> bool:
    """Whether a cluster turns those away who show no token; False where it does not answer."""
    words = [sys.executable, '-c', 'from ray.scripts.scripts import main; main()', 'health-check',
             *([] if address == 'auto' else ['--address', address])]
    try:
        asked = subprocess.run(words, env={**os.environ, 'RAY_AUTH_MODE': 'disabled'}, text=True,
                               capture_output=True, timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return 'AuthenticationError' in asked.stderr


class _Actor:
    """A worker in an actor, which has begun once it has made what it works with."""

    def __init__(self, maker: bytes, folder: str) -> None:
        """Take what makes the worker; relative paths count from `folder`, where it is there."""
        if Path(folder).is_dir():
            os.chdir(folder)
        self._maker = maker
        self._worker: Any = None

    def begin(self) -> str | None:
        """Why the worker cannot be made, if so."""
        try:
            self._worker = pickle.loads(self._maker)()
        except Exception as error:
            return describe(error)
        return None

    def do(self, task: Any) -> tuple[str, Any]:
        """The value, or what went wrong."""
        try:
            return 'value', self._worker.do(task)
        except Exception as error:
            return 'error', describe(error)
