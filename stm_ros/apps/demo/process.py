# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node in a process of its own, as a user would run it."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

# lets whole images through shared memory; by default they are cut up, and often lost
_TRANSPORT_PROFILE = Path(__file__).parents[2] / 'node' / 'fast_dds_large_images.xml'
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_DOMAINS = 101
_STOP_SECONDS = 15.0
_TAIL_LINES = 12


def prepare_environment() -> None:
    """
    Set what both processes need, before the first of them uses ROS; what the user set stays.

    The graph stays on this machine, in a domain of its own, so that no robot nearby is disturbed.
    """
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    for name in _PROFILE_VARIABLES:
        os.environ.setdefault(name, str(_TRANSPORT_PROFILE))
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % _DOMAINS))


class NodeProcess:
    """The `stm_tracker` executable of this environment; used in a `with` statement."""

    def __init__(self, log: str | Path, parameters: dict[str, str]) -> None:
        """Prepare to start it with ROS `parameters`; what it prints goes to `log`."""
        self.log = Path(log)
        words = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
        self._command = [*_executable(), *(['--ros-args', *words] if words else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> 'NodeProcess':
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open('wb') as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Stop it as Ctrl-C would; kill it if it does not go."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def exit_code(self) -> int | None:
        """Return how it ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(errors='replace').splitlines() if self.log.exists() else []
        return '\n'.join(lines[-_TAIL_LINES:]) or '(it printed nothing)'


def _executable() -> list[str]:
    """Return the command: the executable beside this Python, the one on PATH, or the module."""
    beside = Path(sys.executable).with_name('stm_tracker')
    if beside.exists():
        return [str(beside)]
    found = shutil.which('stm_tracker')
    return [found] if found else [sys.executable, '-m', 'stm_ros.node.main']
