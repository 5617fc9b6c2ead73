# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""STM-lite: one small trunk pass a frame, a key shared by all targets, a light memory encoder."""
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from stm_ros.networks.fine import MATCH_CHANNELS
from stm_ros.networks.fine import MatchKey
from stm_ros.networks.interface import Decoded
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import Query
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import others_of
from stm_ros.networks.stm import ResidualBlock
from stm_ros.networks.trunks import EfficientNetLite0

#: of the carried mask's logit (a quarter of it is what the decoder gets) that is added untrained
UNTRAINED_SHARE = 4 * 0.4


def _convolution(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1,
                 bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=bias)


class _MemoryEncoder(nn.Module):
    """Fuses the masks with the trunk's features; what the image adds is computed once a frame."""

    def __init__(self, skip_channels: tuple[int, int], trunk_channels: int, channels: int) -> None:
        super().__init__()
        fine, middle = skip_channels
        self.image_fine = _convolution(fine, 48, stride=2)
        self.mask_fine = _convolution(2, 48, stride=2, bias=False)
        self.image_middle = _convolution(middle, 96, stride=2)
        self.fine_to_middle = _convolution(48, 96, stride=2, bias=False)
        self.image_coarse = _convolution(trunk_channels, channels)
        self.middle_to_coarse = _convolution(96, channels, bias=False)
        self.mask_coarse = _convolution(2, channels, bias=False)
        self.block = ResidualBlock(channels)
        self.value = _convolution(channels, channels)

    def forward(self, query: Query, planes: Tensor) -> Tensor:
        middle_skip, fine_skip = query.skips
        quarter = functional.avg_pool2d(planes, 4)
        x = functional.relu(self.image_fine(fine_skip) + self.mask_fine(quarter))
        x = functional.relu(self.image_middle(middle_skip) + self.fine_to_middle(x))
        x = (self.image_coarse(query.trunk) + self.middle_to_coarse(x)
             + self.mask_coarse(functional.avg_pool2d(quarter, 4)))
        return self.value(functional.relu(self.block(x)))


class _Decoder(nn.Module):
    """Readout and frame features to logits at stride 4; the frame's part is computed once."""

    def __init__(self, value_channels: int, feature_channels: int,
                 skip_channels: tuple[int, int], widths: tuple[int, int, int]) -> None:
        super().__init__()
        coarse, middle, fine = widths
        self.readout = _convolution(value_channels, coarse)
        self.feature = _convolution(feature_channels, coarse, bias=False)
        self.prior = _convolution(1, coarse, 5, bias=False)
        self.block16 = ResidualBlock(coarse)
        self.skip8 = _convolution(skip_channels[1], middle)
        self.up8 = _convolution(coarse, middle, 1, bias=False)
        self.block8 = ResidualBlock(middle)
        self.skip4 = _convolution(skip_channels[0], fine)
        self.up4 = _convolution(middle, fine, 1, bias=False)
        self.block4 = ResidualBlock(fine)
        self.logit = _convolution(fine, 1)
        self.match16 = _started_at_zero(_convolution(MATCH_CHANNELS, coarse, bias=False))
        self.match8 = _started_at_zero(_convolution(MATCH_CHANNELS, middle, bias=False))
        self.match_share = nn.Parameter(torch.tensor(UNTRAINED_SHARE))

    def forward(self, query: Query, readout: Tensor, prior: Tensor | None,
                match: Tensor | None) -> Decoded:
        x = self.readout(readout)
        targets = x.shape[0]
        x = x + _for_all(self.feature(query.feature), targets)
        if prior is not None:
            x = x + self.prior(functional.avg_pool2d(prior[:, None], 16))
        if match is not None:
            x = x + self.match16(functional.avg_pool2d(match, 2))
        coarse = self.block16(x)
        middle_skip, fine_skip = query.skips
        x = (_double(self.up8(functional.relu(coarse)))
             + _for_all(self.skip8(middle_skip), targets))
        if match is not None:
            x = x + self.match8(match)
        x = self.block8(x)
        x = self.block4(_double(self.up4(functional.relu(x)))
                        + _for_all(self.skip4(fine_skip), targets))
        logits = self.logit(functional.relu(x))
        if match is not None:
            logits = logits + self.match_share * _double(match[:, -1:])
        return Decoded(logits[:, 0], coarse)


def _started_at_zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """A layer that says nothing before it is trained."""
    nn.init.zeros_(convolution.weight)
    return convolution


def _for_all(x: Tensor, targets: int) -> Tensor:
    """What a frame, or each of a few frames, adds for `targets` that take turns over them."""
    return x if x.shape[0] in (1, targets) else x.repeat(targets // x.shape[0], 1, 1, 1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


class _QualityHead(nn.Module):
    """Predicts a mask's IoU from decoder features inside and around it, and its shape.

    Everything it sees is local to the mask, so that a small target in a large image looks like
    the same target in a small one.
    """

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(2 * channels + 7, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, logits: Tensor, peak: Tensor) -> Tensor:
        """Map features N×C×h×w, logits N×4h×4w and peak N×h×w to logits N of the IoU."""
        exact = torch.promote_types(features.dtype, torch.float32)
        fine = torch.sigmoid(logits.to(exact))
        mask = functional.avg_pool2d(fine[:, None], 4)
        ring = (functional.max_pool2d(mask, 5, stride=1, padding=2) - mask).clamp(min=0)
        inside, around = _share(mask), _share(ring)
        features, peak = features.to(exact), peak.to(exact)[:, None] / 8
        cells = mask.sum((1, 2, 3))
        fine_area = fine.sum((1, 2)).clamp(min=1e-3)
        outline = fine.diff(dim=1).abs().sum((1, 2)) + fine.diff(dim=2).abs().sum((1, 2))
        matched = (peak * inside).sum((1, 2, 3))
        spread = ((peak - matched[:, None, None, None]).square() * inside).sum((1, 2, 3)).sqrt()
        cues = torch.stack([
            matched, spread, (peak * around).sum((1, 2, 3)),
            4 * (fine * (1 - fine)).sum((1, 2)) / fine_area,
            torch.log(cells + 0.05) / 4, outline / fine_area.sqrt() / 8, fine.amax((1, 2))], dim=1)
        pooled = torch.cat([(features * inside).sum((2, 3)), (features * around).sum((2, 3)),
                            cues], dim=1).to(self.first.weight.dtype)
        x = functional.relu(self.first(pooled))
        return self.last(functional.relu(self.second(x)))[:, 0]


def _share(weight: Tensor) -> Tensor:
    """Weights N×1×h×w that sum to 1, or to less where there is next to nothing."""
    return weight / weight.sum((2, 3), keepdim=True).clamp(min=1e-3)


class STMLite(SpaceTimeNetwork):
    """The network that ships with weights: about 2.5 million parameters."""

    name = 'stm_lite'
    key_channels = 64
    value_channels = 128
    similarity = 'l2'
    shares_key = True
    uses_prior = True
    judges_itself = True
    #: whether memory is also matched at stride 8; older weights were trained without
    reads_fine = True
    matching_parts = ('decoder.match16.weight', 'decoder.match8.weight', 'decoder.match_share',
                      'match_key.project.weight', 'match_key.project.bias')

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        fine, middle, coarse = self.trunk.channels
        feature_channels = 128
        self.key = _convolution(coarse, self.key_channels)
        self.feature = _convolution(coarse, feature_channels)
        self.memory_encoder = _MemoryEncoder((fine, middle), coarse, self.value_channels)
        self.decoder = _Decoder(self.value_channels, feature_channels, (fine, middle),
                                (128, 64, 32))
        self.match_key = MatchKey(middle, coarse).requires_grad_(False)
        self.quality = _QualityHead(128)

    def encode_query(self, image: Tensor) -> Query:
        """Encode frames N×3×H×W, RGB in [0, 1]; keys N×64×H/16×W/16."""
        features = self.trunk(image)
        key = self.key(features.stride16)
        feature = functional.relu(self.feature(features.stride16))
        fine = None
        if self.reads_fine:
            fine = self.match_key(features.stride8.detach(), features.stride16.detach())
        return Query(key, feature, (features.stride8, features.stride4), image,
                     features.stride16, fine)

    def encode_memory(self, query: Query, masks: Tensor) -> Memory:
        """Encode the frame with soft masks N×H×W: the query's key, and values N×128."""
        planes = torch.stack([masks, others_of(masks)], dim=1)
        return Memory(query.key, self.memory_encoder(query, planes))

    def decode(self, query: Query, readout: Tensor, prior: Tensor | None = None,
               match: Tensor | None = None) -> Decoded:
        """Decode the readout N×128×h×w, with the previous frame's masks as a hint of place."""
        return self.decoder(query, readout, prior, match)

    def assess(self, decoded: Decoded, peak: Tensor) -> Tensor:
        """Predict each mask's IoU with the truth, N in [0, 1]."""
        return torch.sigmoid(self.quality_logits(decoded, peak))

    def quality_logits(self, decoded: Decoded, peak: Tensor) -> Tensor:
        """The logits N of the predicted IoU; no gradient reaches the mask through them."""
        return self.quality(decoded.features.detach(), decoded.logits.detach(), peak.detach())
