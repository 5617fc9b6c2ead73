# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training clips: real video, stills set in motion, and cut-outs pasted over anything."""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from stm_ros.synthetic.photometric import degrade_clip
from stm_ros.synthetic.scene import Cutout
from stm_ros.synthetic.scene import Layer
from stm_ros.synthetic.scene import bend
from stm_ros.synthetic.scene import cut_out
from stm_ros.synthetic.scene import move_camera
from stm_ros.synthetic.scene import paste
from stm_ros.synthetic.scene import path_of_layer
from stm_ros.training.sources import DataSet
from stm_ros.training.sources import Pair
from stm_ros.training.sources import pairs_in
from stm_ros.training.sources import videos_in

_LOADED_SIDE = 480
_ATTEMPTS = 8
_MIN_TARGET_PIXELS = 100
_INTERRUPTED = 0.08  # share of clips that cut to another scene for a frame


class Clip(NamedTuple):
    """images T×3×H×W uint8 and masks T×N×H×W uint8 (0, 1); absent targets have no pixels."""

    images: Tensor
    masks: Tensor


@dataclass(frozen=True)
class ClipSettings:
    """How clips are made: shares are of video, stills in motion, and cut-outs."""

    size: int = 256
    frames: int = 3
    targets: int = 2
    shares: tuple[float, float, float] = (0.45, 0.2, 0.35)
    max_skip: int = 12
    seed: int = 0


class ClipDataset(Dataset):
    """An endless supply of clips; item i is the same for the same seed, on any worker."""

    def __init__(self, data_sets: list[DataSet], settings: ClipSettings, length: int,
                 first: int = 0) -> None:
        self.settings = settings
        self.first = first
        self.length = length
        self.videos: list[tuple[float, list[list[Pair]]]] = []
        self.stills: list[tuple[float, list[Pair]]] = []
        for data_set in data_sets:
            if data_set.kind == 'video':
                found = videos_in(data_set.folder)
                self.videos.append((data_set.weight * len(found), found))
            else:
                pairs = pairs_in(data_set.folder, data_set.kind == 'binary')
                self.stills.append((data_set.weight * len(pairs) ** 0.5, pairs))
        if not self.stills:
            raise ValueError('training needs at least one data set of stills')

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        """Make clip `first + index`."""
        random = np.random.default_rng([self.settings.seed, self.first + index])
        for _ in range(_ATTEMPTS):
            frames, label_maps = self._compose(random)
            ids = [i for i in range(1, self.settings.targets + 1)
                   if (label_maps[0] == i).sum() >= _MIN_TARGET_PIXELS]
            if ids:
                break
        images = np.stack(degrade_clip(frames, random)).transpose(0, 3, 1, 2)
        masks = np.zeros((len(frames), self.settings.targets, *label_maps[0].shape), np.uint8)
        for place, target in enumerate(ids):
            masks[:, place] = np.stack(label_maps) == target
        return Clip(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(masks))

    def _compose(self, random: Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        shares = self.settings.shares
        draw = random.random() * sum(shares)
        if self.videos and draw < shares[0]:
            frames, label_maps, own = self._video(random)
            extra = random.random() < 0.35
        elif draw < shares[0] + shares[1]:
            frames, label_maps, own = self._still(random, keep_targets=True)
            extra = random.random() < 0.25
        else:
            frames, label_maps, own = self._still(random, keep_targets=random.random() < 0.3)
            extra = True
        if extra:
            self._paste_layers(frames, label_maps, own, random)
        if random.random() < _INTERRUPTED:
            self._interrupt(frames, label_maps, random)
        return frames, label_maps

    def _interrupt(self, frames: list[np.ndarray], label_maps: list[np.ndarray],
                   random: Generator) -> None:
        """Cut to another scene for one frame after the first: no target is in it."""
        image, labels = self._random_still(random)
        time = int(random.integers(1, len(frames)))
        view, _ = move_camera([(image, np.zeros_like(labels))], self.settings.size, random, 1.0)
        frames[time], label_maps[time] = view[0], np.zeros_like(label_maps[time])

    def _video(self, random: Generator) -> tuple[list[np.ndarray], list[np.ndarray], int]:
        weights = np.array([weight for weight, _ in self.videos])
        sequences = self.videos[random.choice(len(weights), p=weights / weights.sum())][1]
        sequence = sequences[random.integers(len(sequences))]
        count = self.settings.frames
        skip = int(random.integers(1, self.settings.max_skip + 1))
        steps = random.integers(max(1, skip // 2), skip + 1, count - 1)
        times = np.minimum(np.concatenate([[0], np.cumsum(steps)]), len(sequence) - 1)
        start = int(random.integers(0, len(sequence) - times.max()))
        times = times + start
        if random.random() < 0.5:
            times = times[::-1]
        loaded = [sequence[time].load(_LOADED_SIDE * 2) for time in times]
        chosen = self._choose_regions(loaded[0][1], random)
        table = np.zeros(256, np.uint8)
        table[chosen] = np.arange(1, len(chosen) + 1)
        loaded = [(image, table[labels]) for image, labels in loaded]
        frames, label_maps = move_camera(loaded, self.settings.size, random, 0.25)
        return frames, label_maps, max(1, len(chosen))

    def _still(self, random: Generator, keep_targets: bool
               ) -> tuple[list[np.ndarray], list[np.ndarray], int]:
        image, labels = self._random_still(random)
        chosen = self._choose_regions(labels, random) if keep_targets else []
        label_map = np.zeros_like(labels)
        for place, label in enumerate(chosen, start=1):
            label_map[labels == label] = place
        count = self.settings.frames
        frames, label_maps = move_camera([(image, label_map)] * count, self.settings.size,
                                         random, 1.0)
        return frames, label_maps, len(chosen)

    def _random_still(self, random: Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = np.array([weight for weight, _ in self.stills])
        pairs = self.stills[random.choice(len(weights), p=weights / weights.sum())][1]
        return pairs[random.integers(len(pairs))].load(_LOADED_SIDE)

    def _choose_regions(self, labels: np.ndarray, random: Generator) -> list[int]:
        ids, counts = np.unique(labels[labels > 0], return_counts=True)
        usable = [int(i) for i, n in zip(ids, counts, strict=True)
                  if 0.003 * labels.size < n < 0.7 * labels.size and i != 255]
        random.shuffle(usable)
        return usable[:self.settings.targets if random.random() < 0.6 else 1]

    def _paste_layers(self, frames: list[np.ndarray], label_maps: list[np.ndarray], own: int,
                      random: Generator) -> None:
        """Add new targets, an occluder and a look-alike, each with a motion of its own."""
        layers = []
        free = list(range(own + 1, self.settings.targets + 1))
        wanted = 1 if own == 0 else 0
        if len(free) > wanted and random.random() < 0.5:
            wanted += 1
        for target in free[:wanted]:
            layer = self._new_layer(len(frames), target, random,
                                    leaves=random.random() < 0.2)
            if layer is not None:
                layers.append(layer)
        if random.random() < 0.4:
            twin = self._look_alike(frames, label_maps, layers, own, random)
            if twin is not None:
                layers.append(twin)
        if random.random() < 0.35:
            occluder = self._new_layer(len(frames), 0, random, leaves=False)
            if occluder is not None:
                layers.append(occluder)
        for time in range(len(frames)):
            for layer in layers:
                bent = bend(layer.cutout, random, 0.03) if random.random() < 0.5 else layer.cutout
                paste(frames[time], label_maps[time], layer, time, bent)

    def _new_layer(self, frames: int, target: int, random: Generator, leaves: bool
                   ) -> Layer | None:
        for _ in range(_ATTEMPTS):
            image, labels = self._random_still(random)
            regions = self._choose_regions(labels, random)
            if not regions:
                continue
            cutout = cut_out(image, labels == regions[0])
            if cutout is not None:
                path = path_of_layer(cutout, frames, self.settings.size, random, leaves=leaves)
                return Layer(cutout, path, target)
        return None

    def _look_alike(self, frames: list[np.ndarray], label_maps: list[np.ndarray],
                    layers: list[Layer], own: int, random: Generator) -> Layer | None:
        """A copy of a target elsewhere: of a pasted one, else of one of the scene's own."""
        cutout: Cutout | None
        if layers:
            cutout = layers[0].cutout
        elif own:
            first = np.clip(frames[0], 0, 255).astype(np.uint8)
            cutout = cut_out(first, label_maps[0] == 1)
        else:
            return None
        if cutout is None:
            return None
        path = path_of_layer(cutout, len(frames), self.settings.size, random)
        return Layer(cutout, path, 0)
