# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: resumable, with an average of the weights, a log and a plot."""
import csv
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch import nn
from torch.utils.data import DataLoader

from stm_ros.networks.stm_lite import STMLite
from stm_ros.training.clips import ClipDataset
from stm_ros.training.clips import ClipSettings
from stm_ros.training.configuration import Phase
from stm_ros.training.configuration import TrainingConfig
from stm_ros.training.forward import ClipForward
from stm_ros.training.losses import clip_loss
from stm_ros.training.plot import plot_log
from stm_ros.training.running import stopped_by_signals
from stm_ros.training.running import update_average

#: the files that a training writes into its folder
WRITTEN = ('checkpoint.pt', 'log.csv', 'log.png')
_CHECKPOINT, _LOG, _PLOT = WRITTEN
_LOG_FIELDS = ('iteration', 'seconds', 'loss', 'cross_entropy', 'dice', 'quality', 'iou',
               'dev_j_and_f')
_LOG_EVERY = 20
_QUICK_DECAY = 0.98


class Trainer:
    """Trains STM-lite as a configuration says; continues from its last checkpoint."""

    def __init__(self, config: TrainingConfig, folder: Path, network: STMLite,
                 validate: Callable[[STMLite], float] | None = None, start: int = 0) -> None:
        """Prepare training in `folder`, on a GPU where there is one.

        :param network: with its trunk's ImageNet weights loaded, or trained for a while.
        :param start: iterations that `network` was trained for already.
        :param validate: J&F in [0, 100] of a network in eval mode, called now and then.
        """
        self.config = config
        self.folder = folder
        self.validate = validate
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.network = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze_fixed_parts(self.network)
        self.average = {name: tensor.detach().clone()
                        for name, tensor in self.network.state_dict().items()}
        self.optimizer = make_optimizer(self.network, config)
        self.start = self.iteration = start
        self.stopping = False
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self) -> bool:
        """Train to the end; False where SIGTERM or SIGINT stopped it after a checkpoint."""
        with stopped_by_signals(self._stop):
            for phase in self.config.phases:
                if self.iteration < phase.until and not self.stopping:
                    self._run_phase(phase)
        self._save()
        log = self.folder / _LOG
        if log.exists():
            plot_log(log, self.folder / _PLOT)
        return not self.stopping

    def _run_phase(self, phase: Phase) -> None:
        settings = ClipSettings(phase.size, phase.frames, 2, self.config.shares, phase.max_skip,
                                self.config.seed)
        left = phase.until - self.iteration
        clips = ClipDataset(list(self.config.data_sets), settings, left * phase.batch,
                            self.iteration * phase.batch)
        loader = DataLoader(clips, phase.batch, num_workers=self.config.workers,
                            prefetch_factor=4 if self.config.workers else None,
                            worker_init_fn=ignore_signals)
        forward = ClipForward(self.network)
        self._learn(phase.only_quality)
        began, saved, sums = time.monotonic(), time.monotonic(), _Means()
        for images, masks in loader:
            torch.manual_seed(self.config.seed * 1_000_003 + self.iteration)
            sums.add(self._step(forward, images.to(self.device), masks.to(self.device), phase))
            self.iteration += 1
            if self.iteration % _LOG_EVERY == 0:
                seconds = (time.monotonic() - began) / _LOG_EVERY
                began = time.monotonic()
                self._report(sums.take(), seconds)
            if time.monotonic() - saved > self.config.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if self.iteration % self.config.validate_every == 0:
                self._validate()
                began = time.monotonic()
            if self.stopping:
                return

    def _learn(self, only_quality: bool) -> None:
        """Choose what has gradients: the IoU head alone, or all but the trunk's fine stages."""
        self.network.requires_grad_(not only_quality)
        self.network.quality.requires_grad_(True)
        for name in self.config.frozen:
            self.network.get_submodule(name).requires_grad_(False)
        freeze_fixed_parts(self.network)

    def _step(self, forward: ClipForward, images: Tensor, masks: Tensor, phase: Phase
              ) -> dict[str, float]:
        factor = 1.0 if phase.only_quality else learning_rate_factor(
            self.iteration, self.start, self.config.warm_up,
            self.config.cosine_until or self.config.iterations)
        for group in self.optimizer.param_groups:
            group['lr'] = group['base_rate'] * factor
        share = 1.0
        if self.iteration >= self.config.bootstrap_from:
            share = self.config.bootstrap_share
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            predictions = forward(images.float() / 255, masks.float())
        loss, parts = clip_loss(predictions, masks.float(), share)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 3.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            # a head that starts anew must not be averaged with what it was at first
            update_average(self.average, self.network, _QUICK_DECAY if phase.only_quality
                           else self.config.average_decay, self.iteration)
        return {'loss': float(loss.detach()), **parts}

    def averaged_network(self) -> STMLite:
        """A network of its own with the averaged weights, in eval mode."""
        network = STMLite().to(self.device)
        network.load_state_dict(self.average)
        network.reads_fine = self.network.reads_fine
        return network.eval()

    def _validate(self) -> None:
        self._save()
        if self.validate is None:
            return
        score = self.validate(self.averaged_network())
        print(f'iteration {self.iteration}: dev J&F {score:.2f}', flush=True)
        self._log({'iteration': self.iteration, 'dev_j_and_f': round(score, 3)})

    def _report(self, means: dict[str, float], seconds: float) -> None:
        left = (self.config.iterations - self.iteration) * seconds
        print(f'iteration {self.iteration}/{self.config.iterations}  '
              + '  '.join(f'{name} {value:.3f}' for name, value in means.items())
              + f'  {seconds:.2f} s each, {left / 60:.0f} min left', flush=True)
        self._log({'iteration': self.iteration, 'seconds': round(seconds, 3),
                   **{name: round(value, 5) for name, value in means.items()}})

    def _log(self, row: dict[str, float]) -> None:
        path = self.folder / _LOG
        is_new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.DictWriter(file, _LOG_FIELDS)
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def _stop(self, number: int, frame: object) -> None:
        print('stopping after this iteration', flush=True)
        self.stopping = True

    def _save(self) -> None:
        content = {'iteration': self.iteration, 'start': self.start,
                   'network': self.network.state_dict(),
                   'average': self.average, 'optimizer': self.optimizer.state_dict()}
        partial = self.folder / f'{_CHECKPOINT}.partial'
        torch.save(content, partial)
        partial.replace(self.folder / _CHECKPOINT)

    def _resume(self) -> None:
        path = self.folder / _CHECKPOINT
        if not path.exists():
            return
        content = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(content['network'])
        self.average = content['average']
        self.optimizer.load_state_dict(content['optimizer'])
        self.start, self.iteration = content.get('start', 0), content['iteration']
        print(f'continuing from iteration {self.iteration}', flush=True)


def ignore_signals(worker: int) -> None:
    """Leave SIGTERM and SIGINT to the trainer, which saves before it ends its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class _Means:
    """Sums of named numbers, taken as means."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: value / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def freeze_fixed_parts(network: STMLite) -> None:
    """Stop gradients of matching and below stride 16: ImageNet features serve as they are."""
    for module in (network.trunk.stem, *network.trunk.blocks[:5], network.match_key):
        module.requires_grad_(False)


def make_optimizer(network: STMLite, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with the trunk at its own, lower rate."""
    trunk = [p for p in network.trunk.parameters() if p.requires_grad]
    inside = {id(p) for p in network.trunk.parameters()}
    heads = [p for p in network.parameters() if id(p) not in inside]
    groups = [{'params': heads, 'base_rate': config.head_rate},
              {'params': trunk, 'base_rate': config.trunk_rate}]
    return torch.optim.AdamW(groups, lr=config.head_rate, weight_decay=config.weight_decay)


def learning_rate_factor(iteration: int, start: int, warm_up: int, iterations: int) -> float:
    """A cosine to a hundredth over all iterations, with a linear warm-up from `start` on."""
    warmed = min(1.0, (iteration - start + 1) / max(1, warm_up))
    share = max(0, iteration - warm_up) / max(1, iterations - warm_up)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return warmed * (0.01 + 0.99 * cosine)
