# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers that need nothing, and so begin quickly."""
import os
import signal
from dataclasses import dataclass
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


def broken() -> Any:
    """A worker that cannot be made."""
    raise OSError('the weights are not here')
