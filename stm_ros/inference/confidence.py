# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Confidence: the IoU that a mask is expected to have with the truth."""
import torch
from torch import Tensor


def confidence_from_masks(soft_masks: Tensor) -> Tensor:
    """Expected IoU of thresholded masks if their probabilities were honest: N.

    For networks without a head: the sum over pixels of the probability inside the mask over
    that of the union, which is 0 for an empty mask.

    :param soft_masks: N×H×W in [0, 1].
    """
    hard = (soft_masks > 0.5).to(soft_masks.dtype)
    inside = (soft_masks * hard).sum((1, 2))
    union = torch.maximum(soft_masks, hard).sum((1, 2))
    return inside / union.clamp(min=1e-6)
