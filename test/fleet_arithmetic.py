# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers that need nothing, and so begin quickly."""
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Arithmetic:
    """A worker that needs nothing: squares, refuses 13, dies of 7."""

    offset: int = 0

    def do(self, task: int) -> tuple[int, int]:
        """The square, and in which process."""
        if task == 13:
            raise ValueError('13 brings bad luck')
        if task == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task + self.offset, os.getpid()


class Bulky:
    """Repeats a digit, more often than fits beside an answer of Ray; 0 gives what has no pickle.

    It begins its tasks when so many like it have begun to live, each with a mark in a folder.
    """

    def __init__(self, folder: str, company: int) -> None:
        self.folder, self.company = Path(folder), company
        (self.folder / str(os.getpid())).touch()

    def do(self, task: int) -> Any:
        """A million times the task's digit."""
        while len(list(self.folder.iterdir())) < self.company:
            time.sleep(0.05)
        return str(task).encode() * 10**6 if task else (lambda: task, os.scandir('.'))


def broken() -> Any:
    """A worker that cannot be made."""
    raise OSError('the weights are not here')
