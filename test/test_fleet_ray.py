# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers of Ray: those that cannot begin, machines that go, and clusters of others."""
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fleet_arithmetic import Arithmetic
from fleet_arithmetic import Bulky
from fleet_helpers import options

from stm_ros.cli.fleet import make_pool
from stm_ros.fleet import ray_pool
from stm_ros.fleet.pool import PoolError

pytestmark = pytest.mark.skipif(
    find_spec('ray') is None, reason='needs Ray: .venv/bin/pip install -r requirements/fleet.txt')


def test_actors_that_cannot_begin_are_told(monkeypatch):
    monkeypatch.delenv('PYTHONPATH', raising=False)
    pool, words = make_pool(options(engine='ray', workers=1), partial(Arithmetic, 1), 1)
    assert words == '1 workers of Ray on this machine'
    with pool, pytest.raises(PoolError, match='No module named'):
        list(pool.run([1]))


def test_a_cluster_that_loses_a_machine_does_everything_on_the_rest(monkeypatch, tmp_path):
    """And does not wait for the third worker, for which it never had a processor."""
    for name, value in (('PYTHONPATH', str(Path(__file__).parent)),
                        ('RAY_USAGE_STATS_ENABLED', '0')):
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster
    small = {'num_cpus': 1, 'object_store_memory': 10**8, 'include_dashboard': False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    machine = cluster.add_node(num_cpus=1, object_store_memory=10**8)
    lost = []

    class Watched(ray_pool.RayPool):
        """The machine goes when its first answer is made, and before that is fetched."""

        def _take(self, ready, *others):
            where = ray.experimental.get_object_locations([ready])[ready]['node_ids']
            if not lost and where == [machine.node_id]:
                cluster.remove_node(machine, allow_graceful=False)
                lost.append(self._busy[ready][1])
            return super()._take(ready, *others)
    try:
        with Watched(partial(Bulky, str(tmp_path), 2), 3, address=cluster.address) as pool:
            answers = {each.index: each for each in pool.run([1, 2, 3, 4, 0, 5])}
    finally:
        cluster.shutdown()
    assert lost and answers[lost[0]].losses >= 1
    assert [answers[i].value[:3] for i in (0, 1, 2, 3, 5)] == [
        b'111', b'222', b'333', b'444', b'555']
    # what cannot be sent is an answer as well, and the worker goes on
    assert 'pickle' in answers[4].error and not answers[4].was_lost


def test_a_cluster_without_room_for_a_worker_says_so(monkeypatch):
    monkeypatch.setattr(ray_pool, 'PATIENCE_SECONDS', 1)
    with ray_pool.RayPool(Arithmetic, 1, gpus=3) as pool, pytest.raises(
            PoolError, match='within 1 s: each needs a processor of the cluster and 3 of its GPUs'):
        list(pool.run([1]))


@pytest.fixture
def home_with_token(tmp_path_factory, monkeypatch) -> Path:
    """A home where Ray finds a token, and the choice of Ray's mode left to what is started."""
    home = tmp_path_factory.mktemp('home')
    (home / '.ray').mkdir()
    (home / '.ray' / 'auth_token').write_text('0123456789abcdef' * 2)
    for name in ('RAY_AUTH_MODE', 'RAY_AUTH_TOKEN', 'RAY_AUTH_TOKEN_PATH', 'RAY_ADDRESS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(
        [str(Path(__file__).parent), str(Path(__file__).parents[1])]))
    return home


@contextmanager
def ray_head(mode: str | None) -> Iterator[str]:
    """A cluster of two workers that `ray start --head` made; its address. Ends no other."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    # the paths of Ray's sockets must be short
    with TemporaryDirectory(prefix='ray', dir='/tmp', ignore_cleanup_errors=True) as folder:
        log = Path(folder) / 'log'
        words = [sys.executable, '-c', 'from ray.scripts.scripts import main; main()', 'start',
                 '--head', '--block', '--port', str(port), '--num-cpus', '2', '--temp-dir', folder,
                 '--include-dashboard', 'false', '--object-store-memory', str(10**8)]
        with log.open('wb') as output:
            head = subprocess.Popen(
                words, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, **({} if mode is None else {'RAY_AUTH_MODE': mode})})
        try:
            deadline = time.monotonic() + 60
            while b'Ray runtime started' not in log.read_bytes():
                assert head.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield f'127.0.0.1:{port}'
        finally:
            head.terminate()
            try:
                head.wait(20)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(head.pid, signal.SIGKILL)


@pytest.mark.parametrize('mode', [None, 'disabled'])
def test_a_cluster_of_others_is_joined_whether_or_not_it_asks_for_a_token(
        mode, home_with_token):
    # in a process of its own, since Ray reads its environment once
    program = ('from functools import partial\n'
               'from fleet_arithmetic import Arithmetic\n'
               'from stm_ros.fleet.ray_pool import RayPool\n'
               'import sys\n'
               'with RayPool(partial(Arithmetic, 1000), 2, 1, address=sys.argv[1]) as pool:\n'
               '    answers = {each.index: each for each in pool.run([3, 7, 5])}\n'
               'print(answers[0].value[0], answers[1].losses, answers[2].value[0])\n')
    with ray_head(mode) as address:
        # its one node may join a moment after the cluster says that it has started
        for _ in range(2):
            joined = subprocess.run([sys.executable, '-c', program, address], text=True,
                                    capture_output=True, timeout=120)
            if joined.returncode == 0:
                break
    # a task that kills its worker was lost twice; those beside it were done
    assert joined.stdout.split()[-3:] == ['1009', '2', '1025'], joined.stderr
