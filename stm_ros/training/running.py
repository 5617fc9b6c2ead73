# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every training loop does: it ends politely, and keeps an average of its weights."""
import signal
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import nn


@contextmanager
def stopped_by_signals(stop: Callable[[int, object], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop`, so that a checkpoint can be written first."""
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@torch.no_grad()
def update_average(average: dict[str, Tensor], module: nn.Module, most: float, iteration: int
                   ) -> None:
    """Move a running average towards the weights of `module`; early on it follows them closely.

    :param most: the share that the average keeps of itself, once it has seen many iterations.
    """
    decay = min(most, (1 + iteration) / (10 + iteration))
    for name, tensor in module.state_dict().items():
        average[name].lerp_(tensor, 1 - decay)
