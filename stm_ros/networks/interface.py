# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every space-time memory network offers to the tracker."""
from abc import ABC
from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional


class Query(NamedTuple):
    """A frame encoded for reading.

    key: 1×Ck×h×w at the network's stride. feature: 1×C×h×w for the decoder.
    skips: finer feature maps for the decoder, coarse to fine.
    image: 1×3×H×W, the prepared frame. trunk: 1×C×h×w, what the memory encoder may reuse.
    fine: 1×Cf×2h×2w unit vectors for matching, see networks.fine; None where it is not done.
    """

    key: Tensor
    feature: Tensor
    skips: tuple[Tensor, ...]
    image: Tensor
    trunk: Tensor
    fine: Tensor | None = None


class Memory(NamedTuple):
    """A frame encoded for memory: key G×Ck×h×w and value N×Cv×h×w for N targets.

    G is 1 where the targets share the key, N otherwise.
    """

    key: Tensor
    value: Tensor


class Decoded(NamedTuple):
    """Logits N×H/4×W/4 of each target against the rest, and features N×C×h×w for assessment."""

    logits: Tensor
    features: Tensor


class SpaceTimeNetwork(nn.Module, ABC):
    """A network that memorises frames with masks and reads them for a query frame.

    All tensors live on the device and in the dtype of the inputs; sizes are multiples of
    `stride`.
    """

    name: str
    metadata: dict[str, str]
    stride = 16
    key_channels: int
    value_channels: int
    similarity: str
    shares_key: bool
    uses_prior = False
    #: whether assess() answers
    judges_itself = False
    #: channels of the aggregated distribution that are always there (see aggregation.aggregate)
    minimum_channels = 0
    #: RGB in [0, 1] of what surrounds an image whose sides are no multiples of the stride
    padding_colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: whether masks are zero there before they are memorised
    clears_padding = True

    def prepare_for_inference(self) -> None:
        """Change what gives the same numbers in less time; it cannot be trained or saved after."""

    @abstractmethod
    def encode_query(self, image: Tensor) -> Query:
        """Encode one frame 1×3×H×W, RGB in [0, 1]."""

    @abstractmethod
    def encode_memory(self, query: Query, masks: Tensor) -> Memory:
        """Encode the frame of `query` with the soft masks N×H×W of all its targets."""

    @abstractmethod
    def decode(self, query: Query, readout: Tensor, prior: Tensor | None = None,
               match: Tensor | None = None) -> Decoded:
        """Turn the readout N×Cv×h×w into logits.

        :param query: of one frame or, for networks that share the key, of M parts of it, which
            the N targets take turns over: N is a multiple of M.
        :param prior: N×H×W soft masks of the previous frame, or None; only networks with
            `uses_prior` look at it. A mask that is zero everywhere says nothing.
        :param match: N×5×2h×2w, what networks.fine.match_memory says; only networks that give
            their queries `fine` keys look at it.
        """

    def assess(self, decoded: Decoded, peak: Tensor) -> Tensor | None:
        """Predict each mask's IoU with the truth: N in [0, 1], None where there is no head.

        :param peak: N×h×w, the best similarity that each query position found in memory.
        """
        return None


def others_of(masks: Tensor) -> Tensor:
    """For each of the masks N×H×W the sum of the other masks, clamped to [0, 1]."""
    return (masks.sum(dim=0, keepdim=True) - masks).clamp(0, 1)


def upsample_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge N×h×w logits bilinearly to `size` (H, W), pixel centres aligned as images are."""
    return functional.interpolate(logits[None], size=size, mode='bilinear',
                                  align_corners=False)[0]


def probabilities_of(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Soft masks N×H×W, not in half precision, of logits N×h×w."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return torch.sigmoid(upsample_logits(logits, size))
