# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A head on the frozen trunk that turns a box, points or a scribble into a mask."""
import hashlib
from typing import NamedTuple
from typing import TypeVar

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from stm_ros.networks.trunks import EfficientNetLite0
from stm_ros.networks.trunks import TrunkFeatures

#: box, positive points, negative points, earlier mask, inside the image
PLANES = 5
#: names of the head's tensors in a weights file begin so
PREFIX = 'prompt.'
#: of the metadata that tell of the head
METADATA_PREFIX = 'prompt_'
_Content = TypeVar('_Content')
_HEADS = 4


class Prompted(NamedTuple):
    """Mask logits N×H/2×W/2, and logits N of the IoU that each mask is expected to have."""

    logits: Tensor
    quality: Tensor


class _Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class _Attention(nn.Module):
    """Every cell looks at every other: what lies outside the box tells what is background."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mix = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        mixed = self.mix(tokens).view(count, height * width, 3, _HEADS, channels // _HEADS)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        seen = self.out(seen.transpose(1, 2).flatten(2))
        return x + seen.transpose(1, 2).view(count, channels, height, width)


class PromptHead(nn.Module):
    """Prompt planes and trunk features to a mask at stride 2: about 0.7 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = EfficientNetLite0.channels
        self.enter = nn.Conv2d(coarse + PLANES, 96, 3, padding=1)
        self.block16 = nn.Sequential(_Block(96), _Attention(96), _Block(96), _Attention(96))
        self.skip8 = nn.Conv2d(middle + PLANES, 64, 1)
        self.up8 = nn.Conv2d(96, 64, 1)
        self.block8 = nn.Sequential(_Block(64), _Block(64))
        self.skip4 = nn.Conv2d(fine + PLANES, 32, 1)
        self.up4 = nn.Conv2d(64, 32, 1)
        self.block4 = _Block(32)
        self.skip2 = nn.Conv2d(3 + PLANES, 16, 3, padding=1)
        self.up2 = nn.Conv2d(32, 16, 1)
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(16, 1, 3, padding=1))
        self.quality = nn.Sequential(nn.Linear(2 * 96 + 2, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, image: Tensor, features: TrunkFeatures, planes: Tensor) -> Prompted:
        """
        Segment what the prompt shows.

        :param image: N×3×H×W, RGB in [0, 1], H and W multiples of 16.
        :param features: the trunk's, of `image`.
        :param planes: N×5×H×W: box (1 inside, -1 outside, 0 where none is given), positive and
            negative points (0 to 1), an earlier mask (1 inside, -1 outside, 0 where there is
            none), and which pixels lie inside the image (1).
        """
        half = functional.avg_pool2d(planes, 2)
        quarter = functional.avg_pool2d(half, 2)
        eighth = functional.avg_pool2d(quarter, 2)
        sixteenth = functional.avg_pool2d(eighth, 2)
        coarse = self.block16(self.enter(torch.cat((features.stride16, sixteenth), 1)))
        x = _double(self.up8(functional.relu(coarse)))
        x = self.block8(x + self.skip8(torch.cat((features.stride8, eighth), 1)))
        x = _double(self.up4(functional.relu(x)))
        x = self.block4(x + self.skip4(torch.cat((features.stride4, quarter), 1)))
        x = _double(self.up2(functional.relu(x)))
        small = functional.avg_pool2d(image, 2) * 2 - 1
        logits = self.last(x + self.skip2(torch.cat((small, half), 1)))
        return Prompted(logits[:, 0], self._assess(coarse.detach(), logits.detach()))

    def _assess(self, coarse: Tensor, logits: Tensor) -> Tensor:
        fine = torch.sigmoid(logits.float())
        mask = functional.avg_pool2d(fine, 8)
        area = mask.sum((2, 3)).clamp(min=1e-3)
        inside = (coarse * mask).sum((2, 3)) / area
        doubt = (fine * (1 - fine)).sum((2, 3)) / (fine.sum((2, 3)) + 1)
        cues = torch.cat((inside, coarse.mean((2, 3)), 4 * doubt, mask.mean((2, 3))), 1)
        return self.quality(cues.to(coarse.dtype))[:, 0]


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


def split_head(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A weights file's tensors without those of the head, and the head's, names unprefixed."""
    rest, head = divided(state)
    return rest, {name.removeprefix(PREFIX): tensor for name, tensor in head.items()}


def divided(content: dict[str, _Content]) -> tuple[dict[str, _Content], dict[str, _Content]]:
    """What a weights file holds (its tensors, or its metadata) without the head's, and the head's.
    """
    of_head = {name: value for name, value in content.items()
               if name.startswith((PREFIX, METADATA_PREFIX))}
    return {name: value for name, value in content.items() if name not in of_head}, of_head


def trunk_digest(state: dict[str, Tensor]) -> str:
    """What tells one trunk from another: a digest of a checkpoint's `trunk.*`, as float16."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith('trunk.'):
            digest.update(name.encode())
            digest.update(state[name].detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
