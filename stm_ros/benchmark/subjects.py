# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is measured, made ready: the tracker or the plain baseline, its memory full."""
from abc import ABC
from abc import abstractmethod
from typing import cast

import torch

from stm_ros.benchmark.frames import BenchmarkClip
from stm_ros.benchmark.frames import CameraFrame
from stm_ros.benchmark.frames import benchmark_clip
from stm_ros.benchmark.plain import PlainSTM
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.stopwatch import Stopwatch
from stm_ros.inference.runner import NoTimer
from stm_ros.inference.runner import StageTimer
from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.networks.stm import STM
from stm_ros.networks.stm_lite import STMLite
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig

CLIP_PERIOD = 24
_SEED = 0
_NEVER = 1_000_000
_LEAST_MAX_FRAMES = 2
_TORCH_THREADS = torch.get_num_threads()


class MemoryNotFullError(RuntimeError):
    """A measured frame read another number of memory frames than was asked for."""


class Subject(ABC):
    """Something that steps frame by frame, its memory as full as its settings say."""

    def __init__(self, settings: Settings) -> None:
        """Make the clip; `weights` says what the network runs with."""
        self.settings = settings
        self._set_threads()
        self.clip: BenchmarkClip = benchmark_clip(settings.size, settings.targets, CLIP_PERIOD)
        self.network, self.weights = _network(settings)
        self._next = 1
        #: H×W uint8, of the last frame answered
        self.label_map = self.clip.reference

    def step(self) -> None:
        """Answer the next frame and memorise it.

        :raises MemoryNotFullError: where it read another number of memory frames than it should.
        """
        self._set_threads()
        read = self.answer(self.clip.frame(self._next))
        self._next += 1
        self.synchronize()
        if read != self.settings.memory:
            raise MemoryNotFullError(f'{read} memory frames were read, not '
                                     f'{self.settings.memory}')

    @property
    def frames_seen(self) -> int:
        """Frames answered so far, and the reference."""
        return self._next

    def synchronize(self) -> None:
        """Wait until the device is done with what it was given."""
        if torch.device(self.settings.device).type == 'cuda':
            torch.cuda.synchronize(self.settings.device)

    def _set_threads(self) -> None:
        # each time: the number holds for the process, and subjects may take turns
        wanted = self.settings.threads or _TORCH_THREADS
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)

    @abstractmethod
    def answer(self, frame: CameraFrame) -> int:
        """Answer one frame; the memory frames that were read."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """The precision that the network runs in."""


class TrackerSubject(Subject):
    """The tracker as it ships."""

    def __init__(self, settings: Settings) -> None:
        """Show the targets and fill the memory."""
        super().__init__(settings)
        self._timer: StageTimer = NoTimer()
        self.tracker = Tracker(self.network, tracker_config(settings), settings.device)
        self.tracker.add_reference(self.clip.frame(0).decoded(), self.clip.reference)
        for _ in range(settings.memory - 1):
            self.answer(self.clip.frame(self._next))
            self._next += 1

    @property
    def dtype(self) -> str:
        """The precision that the network runs in."""
        return self.tracker.precision

    def answer(self, frame: CameraFrame) -> int:
        """Convert, step and memorise, as the node does."""
        with self._timer.stage('convert'):
            image = frame.decoded()
        result = self.tracker.step(image)
        self.tracker.settle()
        self.label_map = result.label_map
        return len(result.memory.slots)

    def follow(self, other: 'TrackerSubject') -> None:
        """Step the same frames as `other` from now on."""
        self._next = other._next

    def attach(self, stopwatch: Stopwatch) -> None:
        """Time the stages of every further step."""
        self._timer = stopwatch
        self.tracker.time_with(stopwatch)


class PlainSubject(Subject):
    """The plain baseline, filled with every frame and then held at the memory asked for."""

    def __init__(self, settings: Settings) -> None:
        """Show the targets and fill the memory."""
        super().__init__(settings)
        network = cast(STM, self.network).to(settings.device, getattr(torch, settings.dtype))
        self.plain = PlainSTM(network, memorize_every=1)
        self.plain.start(self.clip.frame(0).decoded(), self.clip.reference)
        for _ in range(settings.memory - 1):
            self.answer(self.clip.frame(self._next))
            self._next += 1
        self.plain.memorize_every = _NEVER

    @property
    def dtype(self) -> str:
        """The precision that the network runs in."""
        return self.settings.dtype

    def answer(self, frame: CameraFrame) -> int:
        """Convert and step, which memorises the frame before."""
        self.label_map, _ = self.plain.step(frame.decoded())
        return self.plain.memory_frames


def tracker_config(settings: Settings) -> TrackerConfig:
    """A tracker that reads `settings.memory` frames in every frame, whatever weights say.

    Memory is sized for the default number of targets or more. One of a single frame is the
    reference, beside which nothing is written.
    """
    return TrackerConfig(
        input_size=0, max_frames=max(_LEAST_MAX_FRAMES, settings.memory),
        policy='unconditional' if settings.memory > 1 else 'reference_only',
        max_targets=max(TrackerConfig.max_targets, settings.targets), memorize_by='frames',
        memorize_every=1, top_k=settings.top_k, dtype=settings.dtype, compile=settings.compile,
        full_look_seconds=settings.full_look_seconds)


def make_subject(settings: Settings) -> Subject:
    """The subject that `settings` describe."""
    return PlainSubject(settings) if settings.plain else TrackerSubject(settings)


def _network(settings: Settings) -> tuple[SpaceTimeNetwork, str]:
    """The network, and where its weights come from."""
    if settings.weights is not None:
        return load_network(settings.model, settings.weights), settings.weights
    if settings.model == STMLite.name and SHIPPED_WEIGHTS.is_file():
        return load_network(settings.model), 'shipped with stm_ros'
    return (random_network(settings.model),
            f'random, seed {_SEED} (no weights ship for {settings.model}): only timings mean '
            'anything')


def random_network(model: str) -> SpaceTimeNetwork:
    """A network with random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = NETWORKS[model]()
    return network.eval().requires_grad_(False)
