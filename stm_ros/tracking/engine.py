# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The network at work: one device, one precision, from images to soft masks."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.layout import BankLayout
from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.checkpoints import fingerprint
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import Query
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import probabilities_of
from stm_ros.tracking.allocation import keep_freed_memory
from stm_ros.tracking.confidence import calibration_of
from stm_ros.tracking.confidence import confidence_from_masks
from stm_ros.tracking.config import TrackerConfig
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import clear_padding
from stm_ros.vision.prepare import prepare_image


class NetworkOutputError(RuntimeError):
    """The network returned numbers that are not finite; the frame must be skipped."""


@dataclass(frozen=True)
class Prediction:
    """What memory says about a query frame, for N targets in the bank's order.

    logits: (N+1)×H'×W' aggregated, of the padded input. soft_masks: N×H'×W',
    zero in the padding.
    readout: N×Cv×h×w. mass: N×S, the attention of each target's pixels on each slot.
    confidence: N, calibrated where the weights carry a calibration.
    """

    logits: Tensor
    soft_masks: Tensor
    readout: Tensor
    mass: np.ndarray
    confidence: list[float]


class Engine:
    """A network, moved to its device and precision. Call it inside torch.inference_mode."""

    def __init__(self, network: SpaceTimeNetwork, config: TrackerConfig,
                 device: torch.device) -> None:
        if device.type == 'cpu':
            keep_freed_memory()
        self.device = device
        self.dtype = choose_dtype(config.dtype, network, device)
        layout = (torch.contiguous_format if self.dtype == torch.float64
                  else torch.channels_last)
        # of the weights as they came: the precision they run in does not matter
        self.fingerprint = fingerprint(network)
        self.network = network.to(device, self.dtype).eval()
        self.network.to(memory_format=layout)  # type: ignore[call-overload]
        self.calibration = calibration_of(network)
        self.top_k = config.top_k

    @property
    def score_dtype(self) -> torch.dtype:
        """The precision of keys, scores and aggregation: never half."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def layout(self, slots: int, targets: int, positions: int) -> BankLayout:
        """The bank that this network needs."""
        network = self.network
        return BankLayout(slots, targets, positions, network.key_channels,
                          network.value_channels, network.shares_key, self.dtype,
                          self.score_dtype)

    def encode(self, image: np.ndarray, geometry: Geometry) -> Query:
        """Encode an H×W×3 uint8 RGB image."""
        planes = prepare_image(image, geometry, self.device, self.dtype)
        return self.network.encode_query(planes.contiguous(memory_format=torch.channels_last))

    def memorize(self, query: Query, masks: Tensor) -> Memory:
        """Encode the query's frame with soft masks N×H'×W'.

        :raises NetworkOutputError: where the output is not finite, which would spoil every read.
        """
        memory = self.network.encode_memory(query, masks.to(self.dtype))
        _check_finite(memory.key, memory.value)
        return memory

    def predict(self, query: Query, geometry: Geometry, bank: MemoryBank, indices: list[int],
                prior: Tensor | None) -> Prediction:
        """Read the bank's slots for the query and decode.

        :param prior: N×H'×W' masks of the previous frame, zero for targets not seen there.
        :raises NetworkOutputError: where the output is not finite.
        """
        network = self.network
        targets = len(bank.columns)
        height, width = query.key.shape[2:]
        read = bank.read(query.key, indices, network.similarity, self.top_k)
        readout = read.readout.transpose(1, 2).flatten(0, 1).transpose(1, 2)
        readout = readout.reshape(targets, -1, height, width).to(self.dtype)
        hint = prior.to(self.dtype) if prior is not None and network.uses_prior else None
        decoded = network.decode(query, readout, hint)
        _check_finite(decoded.logits)
        size = (query.image.shape[2], query.image.shape[3])
        logits = aggregate(probabilities_of(decoded.logits, size), network.minimum_channels)
        soft_masks = clear_padding(torch.softmax(logits, dim=0)[1:targets + 1], geometry)
        peak = read.peak.flatten(0, 1).unflatten(1, (height, width))
        assessed = network.assess(decoded, peak)
        confidence = confidence_from_masks(soft_masks) if assessed is None else assessed
        _check_finite(confidence)
        values = [self._calibrated(float(c)) for c in confidence.float().cpu()]
        mass = slot_mass(read.slot_mass.flatten(0, 1), soft_masks)
        return Prediction(logits[:targets + 1], soft_masks, readout, mass, values)

    def _calibrated(self, confidence: float) -> float:
        return confidence if self.calibration is None else self.calibration(confidence)


def _check_finite(*outputs: Tensor) -> None:
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise NetworkOutputError('the network returned numbers that are not finite')


def slot_mass(attention: Tensor, soft_masks: Tensor) -> np.ndarray:
    """Attention N×S×q averaged over query positions by the masks N×H'×W': N×S, rows sum to 1.

    A mask that is empty weighs all positions alike.
    """
    targets, _, positions = attention.shape
    stride = round((soft_masks[0].numel() / positions) ** 0.5)
    weight = functional.avg_pool2d(soft_masks[:, None], stride).reshape(targets, positions)
    weight = torch.where(weight.sum(1, keepdim=True) > 1e-6, weight, 1.0).to(attention.dtype)
    mass = (attention * weight[:, None]).sum(2)
    return (mass / mass.sum(1, keepdim=True)).cpu().numpy()


def choose_dtype(name: str, network: SpaceTimeNetwork, device: torch.device) -> torch.dtype:
    """The precision that `name` means on this machine; 'auto' picks what is quick and safe."""
    if name != 'auto':
        return getattr(torch, name)
    if device.type == 'cuda':
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if network.name == 'stm_lite' and _multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 products."""
    capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, 'get_capabilities') else {}
    return bool(capability.get('avx512_bf16') or capability.get('amx_bf16'))
