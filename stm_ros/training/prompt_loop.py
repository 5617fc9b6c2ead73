# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training of the head that turns prompts into masks; the trunk stays as it is."""
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from stm_ros.networks.prompting import PREFIX
from stm_ros.networks.prompting import PromptHead
from stm_ros.networks.trunks import EfficientNetLite0
from stm_ros.training.configuration import read_data_sets
from stm_ros.training.configuration import read_yaml
from stm_ros.training.export import write_half
from stm_ros.training.prompt_samples import PromptSampler
from stm_ros.training.prompt_samples import with_correction
from stm_ros.training.running import stopped_by_signals
from stm_ros.training.running import update_average
from stm_ros.training.sources import DataSet

CHECKPOINT = 'checkpoint.pth'
_LOG_EVERY = 20


@dataclass(frozen=True)
class PromptTrainingConfig:
    """What `stm train-prompt` does: AdamW, warm-up, then a cosine to zero."""

    data_sets: tuple[DataSet, ...]
    licence: str
    iterations: int
    seed: int = 1
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: int = 100
    average_decay: float = 0.995
    checkpoint_seconds: float = 240.0


def load_prompt_config(path: Path, data_root: Path) -> PromptTrainingConfig:
    """
    Read a configuration; folders of data sets are relative to `data_root`.

    :raises InputError: for an unknown key, an unknown kind of data set or a missing folder.
    """
    content = read_yaml(path, PromptTrainingConfig, ('data_sets',))
    data_sets = read_data_sets(path, content.pop('data_sets'), data_root)
    return PromptTrainingConfig(data_sets=data_sets, **content)


class PromptTrainer:
    """Trains a head on a frozen trunk; goes on from its last checkpoint."""

    def __init__(self, config: PromptTrainingConfig, folder: Path, trunk: EfficientNetLite0,
                 head: PromptHead | None = None) -> None:
        """Prepare training in `folder`, on a GPU where there is one.

        :param head: to start from, changed by the training; a new one without it.
        """
        torch.manual_seed(config.seed)
        self.config = config
        self.folder = folder
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.trunk = trunk.to(self.device).eval().requires_grad_(False)
        self.head = (head or PromptHead()).to(self.device).train().requires_grad_(True)
        for module in (self.trunk, self.head):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: tensor.detach().clone()
                        for name, tensor in self.head.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.head.parameters(), config.rate,
                                           weight_decay=config.weight_decay)
        self.sampler = PromptSampler(config.data_sets)
        self.iteration = 0
        self.stopping = False
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self) -> bool:
        """Train to the end; False where SIGTERM or SIGINT stopped it after a checkpoint."""
        saved = began = time.monotonic()
        losses: list[tuple[float, ...]] = []
        with stopped_by_signals(self._stop):
            while self.iteration < self.config.iterations and not self.stopping:
                losses.append(self._step())
                self.iteration += 1
                if self.iteration % _LOG_EVERY == 0:
                    self._report(losses, time.monotonic() - began)
                    losses, began = [], time.monotonic()
                if time.monotonic() - saved > self.config.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return not self.stopping

    def export(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the averaged head as float16 safetensors, whole or not at all."""
        write_half({PREFIX + name: tensor for name, tensor in self.average.items()}, path, metadata)

    def _step(self) -> tuple[float, ...]:
        random = np.random.default_rng([self.config.seed, self.iteration])
        samples = [self.sampler.sample(random) for _ in range(self.config.batch)]
        image = self._stack([s.image for s in samples]).permute(0, 3, 1, 2).float() / 255
        truth = self._stack([s.truth for s in samples]).float()
        counts = self._stack([s.counts for s in samples]).float()
        planes = [s.planes for s in samples]
        for group in self.optimizer.param_groups:
            group['lr'] = self.config.rate * self._factor()
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                features = self.trunk(image)
            first = self.head(image, features, self._stack(planes))
        loss, iou = prompt_loss(first.logits, first.quality, truth, counts)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        found = functional.interpolate(first.logits.detach().float()[:, None], scale_factor=2,
                                       mode='bilinear').sigmoid()[:, 0].cpu().numpy()
        # half of the batch is corrected: the other half would teach little more
        half = slice(0, self.config.batch // 2)
        better = [with_correction(s.planes, f, s.truth, random)
                  for s, f in zip(samples[half], found[half], strict=True)]
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            second = self.head(image[half], type(features)(*(f[half] for f in features)),
                               self._stack(better))
        loss_again, iou_again = prompt_loss(second.logits, second.quality, truth[half],
                                            counts[half])
        (0.5 * loss_again).backward()
        norm = nn.utils.clip_grad_norm_(self.head.parameters(), 3.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            update_average(self.average, self.head, self.config.average_decay, self.iteration)
        return float(loss.detach()), float(loss_again.detach()), iou, iou_again

    def _stack(self, arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)

    def _factor(self) -> float:
        if self.iteration < self.config.warm_up:
            return (self.iteration + 1) / self.config.warm_up
        done = self.iteration / self.config.iterations
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))

    def _report(self, losses: list[tuple[float, ...]], seconds: float) -> None:
        mean = np.mean(losses, axis=0)
        left = (self.config.iterations - self.iteration) * seconds / len(losses) / 60
        print(f'iteration {self.iteration}/{self.config.iterations}  loss {mean[0]:.3f}  '
              f'corrected {mean[1]:.3f}  iou {mean[2]:.3f}  corrected {mean[3]:.3f}  '
              f'{seconds / len(losses):.2f} s each, {left:.0f} min left', flush=True)

    def _save(self) -> None:
        partial = self.folder / f'{CHECKPOINT}.partial'
        torch.save({'iteration': self.iteration, 'head': self.head.state_dict(),
                    'average': self.average, 'optimizer': self.optimizer.state_dict()}, partial)
        partial.replace(self.folder / CHECKPOINT)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        content = torch.load(path, map_location=self.device, weights_only=True)
        self.iteration = content['iteration']
        self.head.load_state_dict(content['head'])
        self.average = content['average']
        self.optimizer.load_state_dict(content['optimizer'])
        print(f'going on at iteration {self.iteration}')

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True


def prompt_loss(logits: Tensor, quality: Tensor, truth: Tensor, counts: Tensor
                ) -> tuple[Tensor, float]:
    """
    Cross entropy, Dice and the error of the predicted IoU; and the mean IoU.

    :param logits: N×h×w, half the sides of `truth` and of `counts` (N×H×W, 0 or 1).
    """
    wanted = functional.avg_pool2d(truth[:, None], 2)[:, 0]
    weight = functional.avg_pool2d(counts[:, None], 2)[:, 0]
    logits = logits.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, weight, reduction='sum')
    entropy = entropy / weight.sum().clamp(min=1)
    soft = torch.sigmoid(logits) * weight
    wanted = wanted * weight
    overlap = (soft * wanted).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (soft.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    with torch.no_grad():
        hard, sure = (soft > 0.5).float(), (wanted > 0.5).float()
        shared = (hard * sure).sum((1, 2))
        iou = shared / (hard.sum((1, 2)) + sure.sum((1, 2)) - shared).clamp(min=1)
    guessed = functional.binary_cross_entropy_with_logits(quality.float(), iou)
    return 2 * entropy + dice.mean() + 0.1 * guessed, float(iou.mean())
