# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The network at work: one device, one precision, from images to soft masks."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.descriptors import descriptor_of
from stm_ros.memory.layout import BankLayout
from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.aggregation import strongest_channel
from stm_ros.networks.checkpoints import fingerprint
from stm_ros.networks.interface import Decoded
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import probabilities_of
from stm_ros.networks.reading import Reading
from stm_ros.tracking.allocation import keep_freed_memory
from stm_ros.tracking.allocation import limit_prepared_convolutions
from stm_ros.tracking.compilation import compile_network
from stm_ros.tracking.confidence import calibration_of
from stm_ros.tracking.confidence import confidence_from_masks
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.regions import Region
from stm_ros.tracking.regions import window_around
from stm_ros.tracking.search import Search
from stm_ros.tracking.search import View
from stm_ros.tracking.search import searches_for
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import clear_padding
from stm_ros.vision.prepare import prepare_image
from stm_ros.vision.prepare import restore_logits

#: of what the references support of a target's mask on average, the share that makes a double
LIKE_ENOUGH = 0.6
#: the logit of a target outside of the region that it is looked for in
NOWHERE = -12.0


class NetworkOutputError(RuntimeError):
    """The network returned numbers that are not finite; the frame must be skipped."""


@dataclass(frozen=True)
class Sight:
    """What memory says about a query frame, for N targets in the bank's order, on the device.

    logits: (N+1)×H'×W' aggregated, of the padded input. soft_masks: N×H'×W', zero in the
    padding where the network wants that.
    channels: H×W uint8, the strongest of the N+1 channels in the source image. mass: N×2×S, the
    attention on each slot of the target's pixels, and of all positions alike. confidence: N, not
    calibrated. support: N, share of each mask that the references alone would give as well.
    is_finite: 1. descriptor: Ck, see stm_ros.memory.descriptors. alike: N×H'/4×W'/4 uint8, 1 where
    something looks like a target's references, wherever it is.
    """

    logits: Tensor
    soft_masks: Tensor
    channels: Tensor
    mass: Tensor
    confidence: Tensor
    support: Tensor
    is_finite: Tensor
    descriptor: Tensor
    alike: Tensor


@dataclass(frozen=True)
class Prediction:
    """A sight whose small parts have come to the processor: see Sight.

    channels: H×W uint8. mass: N×2×S float32. confidence: N, calibrated where the weights carry a
    calibration, which is_calibrated says. descriptor: Ck float32. alike: see Sight.
    """

    logits: Tensor
    soft_masks: Tensor
    channels: np.ndarray
    mass: np.ndarray
    confidence: list[float]
    is_calibrated: bool
    descriptor: np.ndarray
    alike: np.ndarray


class Engine:
    """A network, moved to its device and precision. Call it inside torch.inference_mode."""

    def __init__(self, network: SpaceTimeNetwork, config: TrackerConfig,
                 device: torch.device) -> None:
        if device.type == 'cpu':
            keep_freed_memory()
            limit_prepared_convolutions()
        self.device = device
        self.dtype = choose_dtype(config.dtype, network, device)
        layout = (torch.contiguous_format if self.dtype == torch.float64
                  else torch.channels_last)
        # of the weights as they came: the precision they run in does not matter
        self.fingerprint = fingerprint(network)
        network.to(device, torch.promote_types(self.dtype, torch.float32)).eval()
        network.prepare_for_inference()
        self.network = network.to(self.dtype)
        self.network.to(memory_format=layout)  # type: ignore[call-overload]
        compile_network(self.network, config.compile)
        # with top_k the references are not read by themselves, which it was fitted with
        self.calibration = None if config.top_k else calibration_of(network)
        self.top_k = config.top_k
        self.reference_share = config.reference_share

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

    def encode(self, image: np.ndarray, geometry: Geometry,
               regions: Sequence[Region | None] = (None,)) -> View:
        """Encode an H×W×3 uint8 RGB image, or of it what is needed for the regions."""
        planes = prepare_image(image, geometry, self.device, self.dtype,
                               self.network.padding_colour)
        stride = self.network.stride
        grid = planes.shape[2] // stride, planes.shape[3] // stride
        window = window_around(regions, grid)
        rows, columns = window.slices(stride)
        part = planes[:, :, rows, columns].contiguous(memory_format=torch.channels_last)
        return View(self.network.encode_query(part), window, grid)

    def memorize(self, view: View, masks: Tensor) -> Memory:
        """Encode what was seen of a frame with soft masks N×H'×W' of the whole frame.

        :raises NetworkOutputError: where the output is not finite, which would spoil every read.
        """
        masks = view.cut(masks.to(self.dtype)).contiguous()
        memory = self.network.encode_memory(view.query, masks)
        if not _all_finite(memory.key, memory.value):
            raise NetworkOutputError('the network returned numbers that are not finite')
        return memory

    def predict(self, view: View, geometry: Geometry, bank: MemoryBank, indices: list[int],
                prior: Tensor | None, regions: Sequence[Region | None]) -> Prediction:
        """Read the bank's slots for a frame and decode; see look().

        :raises NetworkOutputError: where the output is not finite.
        """
        sight = self.look(view, geometry, bank, indices, prior, regions)
        finite, confidence, support, mass, descriptor, channels, alike = _fetch(
            [sight.is_finite, sight.confidence, sight.support, sight.mass, sight.descriptor,
             sight.channels, sight.alike])
        if not finite.all():
            raise NetworkOutputError('the network returned numbers that are not finite')
        believed = [self._calibrated(float(c)) for c in confidence * support]
        return Prediction(sight.logits, sight.soft_masks, channels, mass.astype(np.float32),
                          believed, self.calibration is not None,
                          descriptor.astype(np.float32), alike)

    def look(self, view: View, geometry: Geometry, bank: MemoryBank, indices: list[int],
             prior: Tensor | None, regions: Sequence[Region | None]) -> Sight:
        """Read and decode; nothing is asked of the device.

        :param prior: N×H'×W', where the targets are likely to be; zero where nobody knows.
        :param regions: where each target is looked for, None for everywhere: in the view.
        """
        network = self.network
        targets = len(bank.columns)
        grid = view.grid
        size = (network.stride * grid[0], network.stride * grid[1])
        hint = prior.to(self.dtype) if prior is not None and network.uses_prior else None
        searches = searches_for(regions, grid)
        seen = [self._search(search, view, bank, indices, hint) for search in searches]
        places = [place for search in searches for place in search.places]
        small = view.query.key.new_full((targets, 4 * grid[0], 4 * grid[1]), NOWHERE)
        alike = torch.zeros_like(small, dtype=torch.uint8)
        for search, finding in zip(searches, seen, strict=True):
            search.put(small, finding.logits, 4)
            search.put(alike, finding.alike.to(torch.uint8), 4)
        logits = aggregate(probabilities_of(small, size), network.minimum_channels)
        soft_masks = torch.softmax(logits, dim=0)[1:targets + 1]
        if network.clears_padding:
            soft_masks = clear_padding(soft_masks, geometry)
        logits = logits[:targets + 1]
        cells = functional.avg_pool2d(soft_masks[:, None], network.stride)[:, 0]
        mass = [slot_mass(finding.reading.slot_mass, search.cut_own(cells, 1))
                for search, finding in zip(searches, seen, strict=True)]
        support = _in_order(places, [finding.support for finding in seen])
        assessed = [finding.assessed for finding in seen if finding.assessed is not None]
        confidence = _in_order(places, assessed) if assessed else confidence_from_masks(soft_masks)
        return Sight(logits, soft_masks, strongest_channel(restore_logits(logits, geometry)),
                     _in_order(places, mass), confidence, support,
                     _all_finite(small, confidence * support)[None],
                     descriptor_of(view.query.key, view.cut(cells)), alike)

    def describe(self, view: View, masks: Tensor) -> np.ndarray:
        """What the targets of masks N×H'×W' look like: Ck float32."""
        cells = functional.avg_pool2d(masks[:, None], self.network.stride)[:, 0]
        return descriptor_of(view.query.key, view.cut(cells)).cpu().numpy()

    def read_whole(self, view: View, bank: MemoryBank, indices: list[int]) -> Tensor:
        """The readout N×Cv×h×w of a view of the whole frame, for N targets in the bank's order."""
        key = view.query.key
        reading = bank.read(key.flatten(2).transpose(1, 2), indices, self.network.similarity,
                            self.top_k)
        return reading.readout.transpose(1, 2).unflatten(2, key.shape[2:])

    def _search(self, search: Search, view: View, bank: MemoryBank, indices: list[int],
                prior: Tensor | None) -> '_Finding':
        """Read and decode targets, with all of memory and with the references only.

        A second opinion that has no hint of place and none of the tracker's own masks: what it
        does not share has come in since, and may be drift. It has a share in the logits, too.
        """
        network = self.network
        part = search.cut_query(view)
        reading = bank.read(part.key.flatten(2).transpose(1, 2), indices, network.similarity,
                            self.top_k, search.places, network.uses_prior and not self.top_k)
        count = len(search.places)
        hint = None if prior is None else search.cut_own(prior, network.stride)
        readout = reading.readout
        if reading.anchored is not None:
            readout = torch.cat([readout, reading.anchored])
            hint = None if hint is None else torch.cat([hint, torch.zeros_like(hint)])
        readout = readout.transpose(1, 2).unflatten(2, search.shape).to(self.dtype)
        both = network.decode(part, readout, hint)
        decoded = Decoded(both.logits[:count], both.features[:count])
        assessed = network.assess(decoded, reading.peak.unflatten(1, search.shape))
        if reading.anchored is None:
            return _Finding(reading, decoded.logits, decoded.logits > 0, assessed,
                            decoded.logits.new_ones(count))
        mine, theirs = torch.sigmoid(both.logits.float()).split(count)
        support = (mine * theirs).sum((1, 2)) / mine.sum((1, 2)).clamp(min=1e-3)
        logits = torch.lerp(both.logits[:count], both.logits[count:], self.reference_share)
        # the double that stands beside a target in its reference is half as much like it
        least = (LIKE_ENOUGH * support).clamp(0.25, 0.5)[:, None, None]
        alike = (logits > 0) | (theirs > least)
        return _Finding(reading, logits, alike, assessed, support)

    def _calibrated(self, confidence: float) -> float:
        return confidence if self.calibration is None else self.calibration(confidence)


class _Finding(NamedTuple):
    """What a search gives for its N targets, logits N×4h×4w, assessed: N, where there is a head.

    alike: N×4h×4w bool, see Sight.
    """

    reading: Reading
    logits: Tensor
    alike: Tensor
    assessed: Tensor | None
    support: Tensor


def _in_order(places: Sequence[int], parts: Sequence[Tensor]) -> Tensor:
    """Rows of `parts`, one after another, each at its place."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts))[sorted(range(len(places)), key=places.__getitem__)]


def _all_finite(first: Tensor, second: Tensor) -> Tensor:
    return torch.isfinite(first).all() & torch.isfinite(second).all()


def slot_mass(attention: Tensor, cells: Tensor) -> Tensor:
    """Attention N×S×q averaged over query positions: by masks N×h×w of q cells, and all alike.

    :return: N×2×S, rows sum to 1. A mask that is empty weighs all positions alike.
    """
    weight = cells.flatten(1).to(attention.dtype)
    weight = torch.where(weight.sum(1, keepdim=True) > 1e-6, weight, 1.0)
    mass = torch.stack([weight, torch.ones_like(weight)], dim=1) @ attention.transpose(1, 2)
    return mass / mass.sum(2, keepdim=True)


def _fetch(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Copy tensors to the processor in one transfer; numbers become float64, uint8 stays."""
    exact = [x if x.dtype == torch.uint8 else x.double() for x in tensors]
    content = torch.cat([x.contiguous().flatten().view(torch.uint8) for x in exact]).cpu().numpy()
    arrays, start = [], 0
    for x in exact:
        size = x.numel() * x.element_size()
        kind = np.uint8 if x.dtype == torch.uint8 else np.float64
        arrays.append(content[start:start + size].view(kind).reshape(tuple(x.shape)))
        start += size
    return arrays


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
