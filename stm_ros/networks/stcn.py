# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""STCN, key for key with the official checkpoint (Cheng, Tai and Tang, NeurIPS 2021)."""
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from stm_ros.networks.interface import Decoded
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import Query
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import others_of
from stm_ros.networks.trunks import BasicBlock
from stm_ros.networks.trunks import Bottleneck
from stm_ros.networks.trunks import folded
from stm_ros.networks.trunks import resnet_stage

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class _KeyEncoder(nn.Module):
    """ResNet-50 to stride 16; the first stage's name is not torchvision's, the others' are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(64)
        self.res2 = resnet_stage(64, 64, 3, 1)
        self.layer2 = resnet_stage(256, 128, 4, 2)
        self.layer3 = resnet_stage(512, 256, 6, 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.relu(self.bn1(self.conv1(image)))
        stride4 = self.res2(functional.max_pool2d(x, 3, 2, 1))
        stride8 = self.layer2(stride4)
        return stride4, stride8, self.layer3(stride8)


class _ValueEncoder(nn.Module):
    """ResNet-18 over image, mask and other masks, fused with the key encoder's features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(5, 64, 7, 2, 3)
        self.bn1: nn.Module = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256))
        self.fuser = _Fuser(1024 + 256, 512)

    def forward(self, planes: Tensor, trunk: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(planes)))
        x = self.layer1(functional.max_pool2d(x, 3, 2, 1))
        x = self.layer3(self.layer2(x))
        return self.fuser(torch.cat([x, trunk.expand(x.shape[0], -1, -1, -1)], dim=1))


class _ResidualBlock(nn.Module):
    """Pre-activation residual block without norm, a 3×3 convolution where channels change."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.downsample = (_convolution(channels_in, channels_out)
                           if channels_in != channels_out else None)
        self.conv1 = _convolution(channels_in, channels_out)
        self.conv2 = _convolution(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(functional.relu(self.conv1(functional.relu(x))))
        return y + (x if self.downsample is None else self.downsample(x))


class _ChannelGate(nn.Module):
    """Weighs channels by their mean and their maximum over the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 16
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(),
                                 nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * torch.sigmoid(weight)[:, :, None, None]


class _SpatialConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _SpatialGate(nn.Module):
    """Weighs positions by the maximum and the mean over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _SpatialConvolution()

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))


class _Attention(nn.Module):
    """CBAM (Woo et al., ECCV 2018): channels first, then positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = _ChannelGate(channels)
        self.SpatialGate = _SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class _Fuser(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.block1 = _ResidualBlock(channels_in, channels)
        self.attention = _Attention(channels)
        self.block2 = _ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        return self.block2(x + self.attention(x))


class _KeyProjection(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.key_proj = _convolution(channels_in, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.key_proj(x)


class _Refine(nn.Module):
    def __init__(self, skip_channels: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.skip_conv = _convolution(skip_channels, channels_in)
        self.out_conv = _ResidualBlock(channels_in, channels_out)

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        enlarged = functional.interpolate(coarse, scale_factor=2, mode='bilinear',
                                          align_corners=False)
        return self.out_conv(_for_all(self.skip_conv(skip), coarse.shape[0]) + enlarged)


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.compress = _ResidualBlock(1024, 512)
        self.up_16_8 = _Refine(512, 512, 256)
        self.up_8_4 = _Refine(256, 256, 256)
        self.pred = _convolution(256, 1)

    def forward(self, memory: Tensor, skips: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        coarse = self.compress(memory)
        x = self.up_8_4(skips[1], self.up_16_8(skips[0], coarse))
        return self.pred(functional.relu(x))[:, 0], coarse


def _for_all(x: Tensor, targets: int) -> Tensor:
    """What a frame, or each of a few parts of it, gives to `targets` that take turns over them."""
    return x if x.shape[0] in (1, targets) else x.repeat(targets // x.shape[0], 1, 1, 1)


def _as_float32(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """The numbers of single precision nearest to three numbers."""
    first, second, third = torch.tensor(values).tolist()
    return first, second, third


class STCN(SpaceTimeNetwork):
    """The NeurIPS-2021 network: one key for all targets. Names are the official checkpoint's."""

    name = 'stcn'
    key_channels = 64
    value_channels = 512
    similarity = 'l2'
    shares_key = True
    #: zeros once the image is normalised, as the official code pads; exactly what `mean` holds
    padding_colour = _as_float32(_MEAN)
    clears_padding = False
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.key_encoder = _KeyEncoder()
        self.value_encoder = _ValueEncoder()
        self.key_proj = _KeyProjection(1024, self.key_channels)
        self.key_comp = _convolution(1024, 512)
        self.decoder = _Decoder()
        for name, values in (('mean', _MEAN), ('std', _STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def prepare_for_inference(self) -> None:
        """Fold all batch norms into the convolutions before them."""
        for module in self.modules():
            if isinstance(module, Bottleneck | BasicBlock):
                module.fold_norms()
        for encoder in (self.key_encoder, self.value_encoder):
            if not isinstance(encoder.bn1, nn.Identity):
                encoder.conv1, encoder.bn1 = folded(encoder.conv1, encoder.bn1), nn.Identity()

    def encode_query(self, image: Tensor) -> Query:
        """Encode one frame 1×3×H×W, RGB in [0, 1]; keys 1×64×H/16×W/16.

        The query's image is kept normalised, since the value encoder sees it like that too.
        """
        image = (image - self.mean) / self.std
        stride4, stride8, stride16 = self.key_encoder(image)
        return Query(self.key_proj(stride16), self.key_comp(stride16), (stride8, stride4), image,
                     stride16)

    def encode_memory(self, query: Query, masks: Tensor) -> Memory:
        """Encode the frame with N soft masks N×H×W: the query's key, and values N×512."""
        images = query.image.expand(masks.shape[0], -1, -1, -1)
        planes = torch.cat([images, masks[:, None], others_of(masks)[:, None]], dim=1)
        return Memory(query.key, self.value_encoder(planes, query.trunk))

    def decode(self, query: Query, readout: Tensor, prior: Tensor | None = None,
               match: Tensor | None = None) -> Decoded:
        """Decode N×512×h×w; the features are those after the readout met the frame's."""
        targets = readout.shape[0]
        feature = _for_all(query.feature, targets).expand(targets, -1, -1, -1)
        return Decoded(*self.decoder(torch.cat([readout, feature], dim=1), query.skips))
