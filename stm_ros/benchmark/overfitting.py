# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of `stm` that know one clip by heart: for comparing masks where no weights ship.

Random weights give masks of noise, in which every rounding shows; these find the targets.
"""
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from stm_ros.benchmark.frames import BenchmarkClip
from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.interface import probabilities_of
from stm_ros.networks.reading import read_memory
from stm_ros.networks.stm import STM
from stm_ros.training.losses import bootstrapped_cross_entropy
from stm_ros.training.losses import dice_loss

_SIDE = 320
_FRAMES = 3
_RATE = 1e-4
_WARM_UP = 10
_CLIPPED_NORM = 3.0
_HARDEST = 0.3
_SEED = 3


def overfit(network: STM, clip: BenchmarkClip, iterations: int,
            on_iteration: Callable[[int, float], None] = lambda index, loss: None) -> None:
    """Train `network`, in place and with its batch norms, on windows of a clip.

    :param on_iteration: called with its number and its loss.
    """
    random = np.random.default_rng(_SEED)
    frames = [frame.decoded() for frame in clip.frames]
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.0)
    network.requires_grad_(True).train()
    for index in range(iterations):
        for group in optimizer.param_groups:
            group['lr'] = _RATE * min((index + 1) / _WARM_UP, 1 - index / iterations)
        images, masks = _sample(frames, clip, random)
        loss = _loss(network, images, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIPPED_NORM)
        optimizer.step()
        on_iteration(index, float(loss.detach()))
    network.requires_grad_(False).eval()


def _sample(frames: list[np.ndarray], clip: BenchmarkClip, random: np.random.Generator
            ) -> tuple[Tensor, Tensor]:
    """One window of some frames, 3×3×H×W in [0, 1], and of their masks, 3×N×H×W."""
    chosen = random.choice(len(frames), _FRAMES, replace=False)
    found = np.argwhere(clip.label_maps[chosen[0]])
    place = found[random.integers(len(found))]
    window = tuple(_window(int(at), extent, random)
                   for at, extent in zip(place, clip.label_maps[0].shape, strict=True))
    images = np.stack([frames[time][window] for time in chosen])
    labels = np.stack([clip.label_maps[time][window] for time in chosen])
    ids = np.arange(1, int(clip.label_maps[0].max()) + 1)
    masks = torch.from_numpy(labels[:, None] == ids[None, :, None, None]).float()
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, masks


def _window(place: int, extent: int, random: np.random.Generator) -> slice:
    """Rows or columns around a place, a multiple of the stride of them, within the frame."""
    side = min(_SIDE, extent // STM.stride * STM.stride)
    first = int(np.clip(place - random.integers(side), 0, extent - side))
    return slice(first, first + side)


def _loss(network: STM, images: Tensor, masks: Tensor) -> Tensor:
    """The loss of predicting each frame from those before it, as at run time."""
    keys: list[Tensor] = []
    values: list[Tensor] = []
    soft, total = masks[0], images.new_zeros(())
    everyone = torch.ones(1, len(soft), dtype=torch.bool, device=soft.device)
    for time in range(1, len(images)):
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            memory = network.encode_memory(network.encode_query(images[time - 1:time]), soft)
            keys.append(memory.key.flatten(2).transpose(1, 2))
            values.append(memory.value.flatten(2).transpose(1, 2)[:, :, None])
            query = network.encode_query(images[time:time + 1])
            positions = query.key.flatten(2).transpose(1, 2).expand(len(soft), -1, -1)
            readout = read_memory(positions, keys, values, network.similarity).readout[:, 0]
            readout = readout.transpose(1, 2).unflatten(2, query.key.shape[2:])
            small = network.decode(query, readout).logits
        logits = aggregate(probabilities_of(small, (images.shape[2], images.shape[3])))
        soft = torch.softmax(logits, dim=0)[1:]
        truth = masks[time]
        labels = torch.where(truth.any(0), truth.argmax(0) + 1, 0)
        total = (total + bootstrapped_cross_entropy(logits[None], labels[None], _HARDEST)
                 + dice_loss(soft[None], truth[None], everyone))
    return total / (len(images) - 1)
