# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the targets of a frame look like, in a few numbers: for telling memory frames apart."""
from collections.abc import Iterable

import numpy as np
from torch import Tensor
from torch.nn import functional


def descriptor_of(key: Tensor, masks: Tensor) -> np.ndarray:
    """The mean key of the positions that targets cover: Ck float32.

    :param key: 1×Ck×h×w.
    :param masks: N×H×W soft masks; where they are empty, all positions count alike.
    """
    stride = masks.shape[-1] // key.shape[-1]
    weight = functional.avg_pool2d(masks.amax(0)[None, None], stride).flatten().float()
    weight = weight + 1e-6
    flat = key.flatten(2)[0].float()
    return ((flat @ weight) / weight.sum()).cpu().numpy()


def novelty_of(descriptor: np.ndarray, known: Iterable[np.ndarray]) -> float | None:
    """The distance to the nearest of `known`, relative to that one's length; None without any."""
    distances = [float(np.linalg.norm(descriptor - other)) / max(
        float(np.linalg.norm(other)), 1e-6) for other in known]
    return min(distances, default=None)
