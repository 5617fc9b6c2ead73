# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the targets of a frame look like, in a few numbers: for telling memory frames apart."""
from collections.abc import Iterable

import numpy as np
from torch import Tensor


def descriptor_of(key: Tensor, cells: Tensor) -> Tensor:
    """The mean key of the positions that targets cover: Ck float32.

    :param key: 1×Ck×h×w.
    :param cells: N×h×w, how much of each position each target covers; where that is nothing, all
        positions count alike.
    """
    weight = cells.amax(0).flatten().float() + 1e-6
    return (key.flatten(2)[0].float() @ weight) / weight.sum()


def novelty_of(descriptor: np.ndarray, known: Iterable[np.ndarray]) -> float | None:
    """The distance to the nearest of `known`, relative to that one's length; None without any."""
    distances = [float(np.linalg.norm(descriptor - other)) / max(
        float(np.linalg.norm(other)), 1e-6) for other in known]
    return min(distances, default=None)
