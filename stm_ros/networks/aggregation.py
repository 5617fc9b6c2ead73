# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Soft aggregation of per-target probabilities into one distribution over targets."""
import torch
from torch import Tensor

_EPSILON = 1e-7


def aggregate(probabilities: Tensor, channels: int = 0) -> Tensor:
    """Merge independent target probabilities into logits over background and targets.

    Background is the probability that no target is there; the log-odds of each are the logits
    whose softmax is the merged distribution (STM, Oh et al. 2019, section 3.5, after RGMP).

    :param probabilities: N×h×w in [0, 1], never in half precision.
    :param channels: at least this many channels in the result; those beyond N+1 hold the
        log-odds of probability 0, as the official code has for its unused targets.
    :return: max(N+1, channels)×h×w logits, channel 0 the background.
    """
    if probabilities.dtype in (torch.float16, torch.bfloat16):
        probabilities = probabilities.float()
    background = (1 - probabilities).prod(dim=0, keepdim=True)
    merged = torch.cat([background, probabilities])
    unused = channels - merged.shape[0]
    if unused > 0:
        merged = torch.cat([merged, merged.new_zeros(unused, *merged.shape[1:])])
    return torch.logit(merged, eps=_EPSILON)


def strongest_channel(logits: Tensor) -> Tensor:
    """The first channel with the largest logit at each pixel: C×H×W to H×W uint8.

    The same as argmax over channels, which on processors is slow across the strided axis.
    """
    strongest = torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    best = logits[0]
    for channel, candidate in enumerate(logits[1:], start=1):
        strongest.masked_fill_(candidate > best, channel)
        best = torch.maximum(best, candidate)
    return strongest
