# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The network at work: one device, one precision, from an image to what it finds there."""
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.inference.compilation import compile_network
from stm_ros.inference.confidence import confidence_from_masks
from stm_ros.inference.judge import SIGHT_CUES
from stm_ros.inference.judge import Judge
from stm_ros.inference.judge import judge_of
from stm_ros.inference.judge import sight_cues
from stm_ros.inference.views import Search
from stm_ros.inference.views import View
from stm_ros.inference.views import searches_for
from stm_ros.inference.windows import Region
from stm_ros.inference.windows import window_around
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.descriptors import descriptor_of
from stm_ros.memory.layout import BankLayout
from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.aggregation import strongest_channel
from stm_ros.networks.checkpoints import fingerprint
from stm_ros.networks.fine import KEY_CHANNELS
from stm_ros.networks.fine import grid_places
from stm_ros.networks.fine import match_memory
from stm_ros.networks.fine import reference_logits
from stm_ros.networks.interface import Memory
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.interface import probabilities_of
from stm_ros.networks.reading import Reading
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import clear_padding
from stm_ros.vision.prepare import prepare_image
from stm_ros.vision.prepare import restore_logits

#: the logit of a target outside of the region that it is looked for in
NOWHERE = -12.0


class NetworkOutputError(RuntimeError):
    """The network returned numbers that are not finite; the frame must be skipped."""


class StageTimer(Protocol):
    """What may be told where the time of a frame goes: see benchmark.stopwatch."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A stage of a frame, by name, while it lasts."""


class NoTimer:
    """Times nothing."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


@dataclass(frozen=True)
class Seen:
    """What was found in a frame for N targets, in the bank's order.

    logits: (N+1)×H'×W' aggregated, of the padded input, and soft_masks: N×H'×W', zero in the
    padding, both on the device. channels: H×W uint8, the strongest of the N+1 channels in the
    source image. mass: N×2×S float32, attention on each slot of the target's pixels, and of all
    positions alike. cues: N×SIGHT_CUES float64, see inference.judge. descriptor: Ck float32, see
    memory.descriptors. alike: N×H'/4×W'/4 bool, what looks like a target, wherever it is.
    likeness: N×H'/8×W'/8 float32, how like a target each position is by the references alone, see
    networks.fine; 0 where nothing is matched. expected: the same shape, bool, where the prior is.
    """

    view: View
    logits: Tensor
    soft_masks: Tensor
    channels: np.ndarray
    mass: np.ndarray
    cues: np.ndarray
    descriptor: np.ndarray
    alike: np.ndarray
    likeness: np.ndarray
    expected: np.ndarray


class Runner:
    """A network, moved to its device and precision. Call it inside torch.inference_mode."""

    def __init__(self, network: SpaceTimeNetwork, device: torch.device, dtype: str = 'auto',
                 compile_mode: str = 'none', top_k: int = 0) -> None:
        """Take over `network`: it cannot be trained or loaded into any more."""
        self.device = device
        self.dtype = choose_dtype(dtype, network, device)
        layout = (torch.contiguous_format if self.dtype == torch.float64
                  else torch.channels_last)
        # of the weights as they came: the precision they run in does not matter
        self.fingerprint = fingerprint(network)
        network.to(device, torch.promote_types(self.dtype, torch.float32)).eval()
        network.prepare_for_inference()
        self.network = network.to(self.dtype)
        self.network.to(memory_format=layout)  # type: ignore[call-overload]
        compile_network(self.network, compile_mode)
        self.judge: Judge = judge_of(network, top_k)
        self.top_k = top_k
        self.timer: StageTimer = NoTimer()

    @property
    def score_dtype(self) -> torch.dtype:
        """The precision of keys, scores and aggregation: never half."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def layout(self, slots: int, targets: int, positions: int) -> BankLayout:
        """The bank that this network needs."""
        network = self.network
        return BankLayout(slots, targets, positions, network.key_channels,
                          network.value_channels, network.shares_key, self.dtype,
                          self.score_dtype,
                          KEY_CHANNELS if getattr(network, 'reads_fine', False) else 0)

    def encode(self, image: np.ndarray, geometry: Geometry,
               regions: Sequence[Region | None] = (None,)) -> View:
        """Encode an H×W×3 uint8 RGB image, or of it what is needed for the regions."""
        with self.timer.stage('prepare'):
            planes = prepare_image(image, geometry, self.device, self.dtype,
                                   self.network.padding_colour)
        stride = self.network.stride
        grid = planes.shape[2] // stride, planes.shape[3] // stride
        window = window_around(regions, grid)
        rows, columns = window.slices(stride)
        part = planes[:, :, rows, columns].contiguous(memory_format=torch.channels_last)
        with self.timer.stage('encode'):
            return View(self.network.encode_query(part), window, grid)

    def memorize(self, view: View, masks: Tensor) -> Memory:
        """Encode what was seen of a frame with soft masks N×H'×W' of the whole frame.

        :raises NetworkOutputError: where the output is not finite, which would spoil every read.
        """
        masks = view.cut(masks.to(self.dtype)).contiguous()
        memory = self.network.encode_memory(view.query, masks)
        if not (torch.isfinite(memory.key).all() & torch.isfinite(memory.value).all()):
            raise NetworkOutputError('the network returned numbers that are not finite')
        return memory

    def look(self, view: View, geometry: Geometry, bank: MemoryBank, indices: list[int],
             prior: Tensor | None, regions: Sequence[Region | None]) -> Seen:
        """Read memory for a frame and decode, for every target of the bank.

        :param indices: the slots that are read.
        :param prior: N×H'×W', where the targets are likely to be; zero where nobody knows.
        :param regions: where each target is looked for, None for everywhere: in the view.
        :raises NetworkOutputError: where the output is not finite.
        """
        found = self.find(view, geometry, bank, indices, prior, regions)
        finite, cues, mass, descriptor, channels, alike, likeness, expected = _fetch(found[2:])
        if not finite.all():
            raise NetworkOutputError('the network returned numbers that are not finite')
        return Seen(view, found.logits, found.soft_masks, channels, mass.astype(np.float32), cues,
                    descriptor.astype(np.float32), alike > 0, likeness.astype(np.float32),
                    expected > 0)

    def find(self, view: View, geometry: Geometry, bank: MemoryBank, indices: list[int],
             prior: Tensor | None, regions: Sequence[Region | None]) -> 'OnDevice':
        """The work of look(), of which nothing has come back from the device yet."""
        network, grid, targets = self.network, view.grid, len(bank.columns)
        size = (network.stride * grid[0], network.stride * grid[1])
        hint = prior.to(self.dtype) if prior is not None and network.uses_prior else None
        searches = searches_for(regions, grid)
        found = [self._search(search, view, bank, indices, hint) for search in searches]
        with self.timer.stage('aggregate'):
            places = [place for search in searches for place in search.places]
            small = view.query.key.new_full((targets, 4 * grid[0], 4 * grid[1]), NOWHERE)
            alike = torch.zeros_like(small, dtype=torch.uint8)
            likeness = small.new_zeros(targets, 2 * grid[0], 2 * grid[1])
            for search, part in zip(searches, found, strict=True):
                search.put(small, part.logits, 4)
                search.put(alike, part.alike.to(torch.uint8), 4)
                if part.match is not None:
                    search.put(likeness, part.match[:, 0].to(likeness.dtype), 2)
            logits = aggregate(probabilities_of(small, size), network.minimum_channels)
            soft_masks = torch.softmax(logits, dim=0)[1:targets + 1]
            if network.clears_padding:
                soft_masks = clear_padding(soft_masks, geometry)
            logits = logits[:targets + 1]
            cells = functional.avg_pool2d(soft_masks[:, None], network.stride)[:, 0]
            mass = _in_order(places, [slot_mass(part.reading.slot_mass, search.cut_own(cells, 1))
                                      for search, part in zip(searches, found, strict=True)])
            cues = _in_order(places, [part.cues for part in found])
            if not network.judges_itself:
                cues[:, SIGHT_CUES.index('quality')] = confidence_from_masks(soft_masks)
            return OnDevice(logits, soft_masks,
                            (torch.isfinite(small).all() & torch.isfinite(cues).all())[None],
                            cues, mass, descriptor_of(view.query.key, view.cut(cells)),
                            strongest_channel(restore_logits(logits, geometry)), alike,
                            likeness, _where_expected(prior, likeness))

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
                prior: Tensor | None) -> '_Found':
        """Read memory, coarse and fine, and decode, for targets that are looked for together."""
        network = self.network
        part = search.cut_query(view)
        with self.timer.stage('read'):
            reading = bank.read(part.key.flatten(2).transpose(1, 2), indices, network.similarity,
                                self.top_k, search.places)
        with self.timer.stage('match'):
            match = self._match(search, part.fine, bank, indices)
        hint = None if prior is None else search.cut_own(prior, network.stride)
        readout = reading.readout.transpose(1, 2).unflatten(2, search.shape).to(self.dtype)
        with self.timer.stage('decode'):
            decoded = network.decode(part, readout, hint,
                                     None if match is None else match.to(self.dtype))
            peak = reading.peak.unflatten(1, search.shape)
            quality = network.assess(decoded, peak)
        alike = decoded.logits > 0
        if match is not None:
            # what looks like the references, though the decoder may know better
            alike |= functional.interpolate(reference_logits(match)[:, None], scale_factor=2.0,
                                            mode='bilinear', align_corners=False)[:, 0] > 0
        return _Found(reading, decoded.logits, alike,
                      sight_cues(decoded.logits, peak, match, quality), match)

    def _match(self, search: Search, fine: Tensor | None, bank: MemoryBank, indices: list[int]
               ) -> Tensor | None:
        """What memory says at stride 8: N×5×2h×2w, None with networks that do not match there."""
        if fine is None or self.top_k:
            return None
        parts, _, height, width = fine.shape
        frames = bank.fine_frames(indices, search.places, each_its_own=parts > 1)
        if not frames:
            return None
        places = grid_places(height, width, fine.device)[None]
        if search.regions:
            corners = torch.tensor([(2 * region.top, 2 * region.left)
                                    for region in search.regions[:parts]], device=fine.device)
            places = places + corners[:, None]
        maps = match_memory(fine.flatten(2).transpose(1, 2), places, frames)
        return maps.flatten(0, 1).unflatten(2, (height, width))


class OnDevice(NamedTuple):
    """What becomes Seen, see there; is_finite: 1 bool, whether all of it is finite."""

    logits: Tensor
    soft_masks: Tensor
    is_finite: Tensor
    cues: Tensor
    mass: Tensor
    descriptor: Tensor
    channels: Tensor
    alike: Tensor
    likeness: Tensor
    expected: Tensor


class _Found(NamedTuple):
    """What a search gives for its N targets.

    logits and alike (bool): N×4h×4w. cues: N×C. match: N×5×2h×2w, None where nothing is matched.
    """

    reading: Reading
    logits: Tensor
    alike: Tensor
    cues: Tensor
    match: Tensor | None


def _where_expected(prior: Tensor | None, like: Tensor) -> Tensor:
    """Where some of a prior N×H'×W' is more likely than not: uint8 in the shape of `like`."""
    if prior is None:
        return torch.zeros_like(like, dtype=torch.uint8)
    stride = prior.shape[1] // like.shape[1]
    return (functional.max_pool2d(prior[:, None].float(), stride)[:, 0] > 0.5).to(torch.uint8)


def _in_order(places: Sequence[int], parts: Sequence[Tensor]) -> Tensor:
    """Rows of `parts`, one after another, each at its place."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts))[sorted(range(len(places)), key=places.__getitem__)]


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
