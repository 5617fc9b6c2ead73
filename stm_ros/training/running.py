# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every training loop does: it ends politely, and keeps an average of its weights."""
import signal
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch import nn

from stm_ros.vision.output_folder import has_manifest
from stm_ros.vision.output_folder import own_living_files


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


def own_results(folder: Path, results: Sequence[str], inputs: Sequence[Path | None]) -> None:
    """List in a folder what a training writes there, again and again.

    The folder of a training that began before there were such lists is taken over where it holds
    a checkpoint, and nothing but what a training writes.

    :param results: names of files; the first is the checkpoint.
    :raises InputError: where something else would be replaced, or one of `inputs`.
    """
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    begun = not has_manifest(folder) and results[0] in held and held <= {
        *results, f'{results[0]}.partial'}
    own_living_files(folder, results, [each for each in inputs if each is not None],
                     adopted=held & set(results) if begun else ())
