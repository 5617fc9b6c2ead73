# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A training clip through the network, step by step as at run time."""
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.networks.fine import FineFrame
from stm_ros.networks.fine import grid_places
from stm_ros.networks.fine import match_memory
from stm_ros.networks.interface import Query
from stm_ros.networks.reading import read_memory
from stm_ros.networks.stm_lite import STMLite


class FramePrediction(NamedTuple):
    """Prediction of one frame for B clips of N targets.

    logits: B×(N+1)×H×W aggregated, float32. quality: B×N logits of the predicted IoU.
    spoiled_quality: B×N, for masks made wrong on purpose. spoiled: B×N×H×W bool, those masks.
    """

    logits: Tensor
    quality: Tensor
    spoiled_quality: Tensor
    spoiled: Tensor


def select_frame(query: Query, frame: int, repeats: int) -> Query:
    """Frame `frame` of a query with leading axes B×T, each clip repeated for its N targets."""
    def pick(x: Tensor) -> Tensor:
        return x[:, frame].repeat_interleave(repeats, dim=0)
    return Query(pick(query.key), pick(query.feature), tuple(pick(s) for s in query.skips),
                 query.image, pick(query.trunk))


class MemoryFrame(NamedTuple):
    """A frame of B clips in memory: key B×m×Ck, value B×m×N×Cv, and what is matched at stride 8."""

    key: Tensor
    value: Tensor
    fine: FineFrame


def aggregate_clips(probabilities: Tensor) -> Tensor:
    """Soft aggregation of B×N×h×w probabilities into B×(N+1)×h×w logits."""
    background = (1 - probabilities).prod(dim=1, keepdim=True)
    merged = torch.cat([background, probabilities], dim=1).clamp(1e-6, 1 - 1e-6)
    return torch.log(merged) - torch.log1p(-merged)


class ClipForward:
    """Runs STM-lite over clips: the predicted soft masks are what later frames remember."""

    def __init__(self, network: STMLite, prior_share: float = 0.5,
                 forget_share: float = 0.3) -> None:
        """Prepare the pass.

        :param prior_share: share of clips that see the previous mask as a hint of place.
        :param forget_share: share of steps that read the first and the previous frame only.
        """
        self.network = network
        self.prior_share = prior_share
        self.forget_share = forget_share

    def __call__(self, images: Tensor, masks: Tensor) -> list[FramePrediction]:
        """Predict frames 1..T-1.

        :param images: B×T×3×H×W in [0, 1]. :param masks: B×T×N×H×W, float 0 or 1.
        """
        batch, frames = images.shape[:2]
        targets = masks.shape[2]
        query = self._encode(images)
        exists = masks[:, 0].flatten(2).any(-1)
        soft = masks[:, 0]
        memory: list[MemoryFrame] = []
        predictions = []
        with_prior = (torch.rand(batch, 1, 1, 1, device=images.device)
                      < self.prior_share).float()
        for time in range(1, frames):
            memory.append(self._memorise(query, time - 1, soft))
            if len(memory) > 2 and torch.rand(()) < self.forget_share:
                del memory[1:-1]
            repeated = select_frame(query, time, targets)
            prediction, soft = self._predict(repeated, query.key[:, time], memory,
                                             soft * with_prior, exists,
                                             self._match(query, time, memory))
            predictions.append(prediction)
        return predictions

    def _encode(self, images: Tensor) -> Query:
        batch = images.shape[0]
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        query = self.network.encode_query(flat)
        def split(x: Tensor) -> Tensor:
            return x.unflatten(0, (batch, -1))
        return Query(split(query.key), split(query.feature),
                     tuple(split(s) for s in query.skips), images, split(query.trunk),
                     None if query.fine is None else split(query.fine.float()))

    def _match(self, query: Query, time: int, memory: list[MemoryFrame]) -> Tensor:
        """What memory says at stride 8 of a frame: (B·N)×5×2h×2w."""
        assert query.fine is not None
        fine = query.fine[:, time]
        size = (fine.shape[2], fine.shape[3])
        with torch.autocast(fine.device.type, enabled=False):
            maps = match_memory(fine.flatten(2).transpose(1, 2), grid_places(*size, fine.device),
                                [frame.fine for frame in memory])
        return maps.flatten(0, 1).unflatten(2, size)

    def _memorise(self, query: Query, time: int, soft: Tensor) -> MemoryFrame:
        """What later frames read of a frame with soft masks B×N×H×W."""
        targets = soft.shape[1]
        others = (soft.sum(1, keepdim=True) - soft).clamp(0, 1)
        planes = torch.stack([soft, others], dim=2).flatten(0, 1)
        value = self.network.memory_encoder(select_frame(query, time, targets), planes)
        value = value.unflatten(0, (-1, targets)).flatten(3).permute(0, 3, 1, 2)
        assert query.fine is not None
        fine = query.fine[:, time]
        height, width = fine.shape[2:]
        kept = FineFrame(fine.flatten(2),
                         functional.avg_pool2d(soft, soft.shape[-1] // width).flatten(2),
                         grid_places(height, width, fine.device), anywhere=time == 0)
        return MemoryFrame(query.key[:, time].flatten(2).transpose(1, 2), value, kept)

    def _predict(self, repeated: Query, key: Tensor, memory: list[MemoryFrame],
                 prior: Tensor, exists: Tensor, match: Tensor
                 ) -> tuple[FramePrediction, Tensor]:
        batch, targets = exists.shape
        height, width = key.shape[2:]
        keys = [frame.key.float() for frame in memory]
        values = [frame.value.float() for frame in memory]
        with torch.autocast(key.device.type, enabled=False):
            read = read_memory(key.flatten(2).transpose(1, 2).float(), keys, values, 'l2')
        readout = read.readout.transpose(2, 3).reshape(batch * targets, -1, height, width)
        decoded = self.network.decode(repeated, readout, prior.flatten(0, 1), match)
        peak = read.peak.reshape(batch * targets, height, width)
        with torch.autocast(key.device.type, enabled=False):
            size = (prior.shape[-2], prior.shape[-1])
            enlarged = functional.interpolate(decoded.logits.float()[:, None], size=size,
                                              mode='bilinear', align_corners=False)[:, 0]
            probability = torch.sigmoid(enlarged).unflatten(0, (batch, targets))
            logits = aggregate_clips(probability * exists[..., None, None])
            quality = self.network.quality_logits(decoded, peak).view(batch, targets)
            shifted = _shift(decoded.logits.float().detach())
            spoiled_quality = self.network.quality_logits(
                decoded._replace(logits=shifted), peak).view(batch, targets)
            spoiled = functional.interpolate(shifted[:, None], size=size, mode='bilinear',
                                             align_corners=False)[:, 0] > 0
        soft = torch.softmax(logits, dim=1)[:, 1:]
        return FramePrediction(logits, quality, spoiled_quality,
                               spoiled.unflatten(0, (batch, targets))), soft


def _shift(logits: Tensor) -> Tensor:
    """Move, thicken or thin masks given as logits N×h×w: mistakes that the head has to see."""
    extent = logits.shape[-1] // 4
    down, right = (int(torch.randint(-extent, extent + 1, ())) for _ in range(2))
    return torch.roll(logits, (down, right), dims=(1, 2)) + 4 * float(torch.randn(()))
