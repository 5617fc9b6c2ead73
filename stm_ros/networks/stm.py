# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""STM, key for key with the official checkpoint (Oh et al., ICCV 2019)."""
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from stm_ros.networks.interface import Decoded
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import Query
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import others_of
from stm_ros.networks.trunks import Bottleneck
from stm_ros.networks.trunks import resnet_stage


class _Encoder(nn.Module):
    """ResNet-50 to stride 16 behind ImageNet normalisation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.res2 = resnet_stage(64, 64, 3, 1)
        self.res3 = resnet_stage(256, 128, 4, 2)
        self.res4 = resnet_stage(512, 256, 6, 2)
        self.register_buffer('mean', torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))
        self.register_buffer('std', torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))

    def normalise(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std

    def stages(self, stem: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.relu(self.bn1(stem))
        x = functional.max_pool2d(x, 3, 2, 1)
        stride4 = self.res2(x)
        stride8 = self.res3(stride4)
        return stride4, stride8, self.res4(stride8)


class _MemoryEncoder(_Encoder):
    """The encoder of frames with masks: the stem sums image, mask and other masks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_m = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.conv1_o = nn.Conv2d(1, 64, 7, 2, 3, bias=False)

    def forward(self, image: Tensor, mask: Tensor, others: Tensor) -> Tensor:
        stem = (self.conv1(self.normalise(image)) + self.conv1_m(mask) + self.conv1_o(others))
        return self.stages(stem)[2]


class _QueryEncoder(_Encoder):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.stages(self.conv1(self.normalise(image)))


class _KeyValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Key = nn.Conv2d(1024, 128, 3, padding=1)
        self.Value = nn.Conv2d(1024, 512, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.Key(x), self.Value(x)


class ResidualBlock(nn.Module):
    """Pre-activation residual block without norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×h×w to the same shape."""
        return x + self.conv2(functional.relu(self.conv1(functional.relu(x))))


class _Refine(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.convFS = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.ResFS = ResidualBlock(channels)
        self.ResMM = ResidualBlock(channels)

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        fine = self.ResFS(self.convFS(skip))
        enlarged = functional.interpolate(coarse, scale_factor=2, mode='bilinear',
                                          align_corners=False)
        return self.ResMM(fine + enlarged)


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convFM = nn.Conv2d(1024, 256, 3, padding=1)
        self.ResMM = ResidualBlock(256)
        self.RF3 = _Refine(512, 256)
        self.RF2 = _Refine(256, 256)
        self.pred2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, memory: Tensor, skips: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        coarse = self.ResMM(self.convFM(memory))
        x = self.RF2(skips[1], self.RF3(skips[0], coarse))
        return self.pred2(functional.relu(x)), coarse


class STM(SpaceTimeNetwork):
    """The ICCV-2019 network. Submodule names are the official checkpoint's."""

    name = 'stm'
    key_channels = 128
    value_channels = 512
    similarity = 'dot'
    shares_key = False
    minimum_channels = 11

    def __init__(self) -> None:
        super().__init__()
        self.Encoder_M = _MemoryEncoder()
        self.Encoder_Q = _QueryEncoder()
        self.KV_M_r4 = _KeyValue()
        self.KV_Q_r4 = _KeyValue()
        self.Decoder = _Decoder()

    def prepare_for_inference(self) -> None:
        """Fold the batch norms of both encoders' bottlenecks into their convolutions."""
        for module in self.modules():
            if isinstance(module, Bottleneck):
                module.fold_norms()

    def encode_query(self, image: Tensor) -> Query:
        """Encode one frame 1×3×H×W, RGB in [0, 1]; keys and values at stride 16."""
        stride4, stride8, stride16 = self.Encoder_Q(image)
        key, value = self.KV_Q_r4(stride16)
        return Query(key, value, (stride8, stride4), image, stride16)

    def encode_memory(self, query: Query, masks: Tensor) -> Memory:
        """Encode the frame with each of N soft masks N×H×W: key N×128, value N×512."""
        images = query.image.expand(masks.shape[0], -1, -1, -1)
        features = self.Encoder_M(images, masks[:, None], others_of(masks)[:, None])
        return Memory(*self.KV_M_r4(features))

    def decode(self, query: Query, readout: Tensor, prior: Tensor | None = None,
               match: Tensor | None = None) -> Decoded:
        """Decode N×512×h×w; the logit of the mask is the difference of the two channels.

        A softmax over two channels is the sigmoid of their difference, and bilinear enlargement
        of the difference is the difference of the enlarged.
        """
        targets = readout.shape[0]
        memory = torch.cat([readout, query.feature.expand(targets, -1, -1, -1)], dim=1)
        logits, features = self.Decoder(memory, query.skips)
        return Decoded(logits[:, 1] - logits[:, 0], features)
