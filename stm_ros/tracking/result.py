# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a step returns. What nobody asks for is not computed."""
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property

import cv2
import numpy as np

from stm_ros.inference.judge import TrackCues
from stm_ros.tracking.targets import TargetResult


class StaleResultError(RuntimeError):
    """A result was asked for something after its tracker had moved on."""


@dataclass(frozen=True)
class SlotReport:
    """One memory frame that was read: kind is 'reference', 'recent' or 'memory'.

    usage: attention mass received over the last frames, decayed.
    """

    stamp_ns: int
    stream: str
    kind: str
    confidence: float
    usage: float


@dataclass(frozen=True)
class MemoryReport:
    """Which memory frames the prediction rests on.

    attention: by target id, the mass on each of `slots`, S float32, sums to 1.
    entropy: by target id, of that distribution, in nats.
    """

    slots: tuple[SlotReport, ...] = ()
    attention: dict[int, np.ndarray] = field(default_factory=dict)
    entropy: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Readout:
    """The values gathered from memory, the tool page's "retrieved feature map".

    features: N×C×h×w float32 for `target_ids`; one position covers stride×stride pixels of the
    network's input.
    """

    target_ids: tuple[int, ...]
    features: np.ndarray
    stride: int


@dataclass(frozen=True)
class Evidence:
    """A memory frame's crop of a target; weight: its attention mass. jpeg: the crop, encoded."""

    stamp_ns: int
    stream: str
    kind: str
    weight: float
    jpeg: bytes

    @cached_property
    def crop(self) -> np.ndarray:
        """The crop, H×W×3 uint8 RGB."""
        code = np.frombuffer(self.jpeg, np.uint8)
        return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class LazyParts:
    """How a result computes what is asked for later; each raises StaleResultError when late."""

    soft_masks: Callable[[], np.ndarray]
    readout: Callable[[], Readout]
    attention_maps: Callable[[int], list[np.ndarray]]
    evidence: Callable[[int, int], tuple[Evidence, ...]]


@dataclass(frozen=True)
class Result:
    """One frame's answer, with the source frame's stream and stamp.

    label_map: H×W uint8 at the source image's size, 0 background, else target id.
    targets: one entry for every target, by id.
    memorized: whether the frame will be written to memory. found: H×W uint8, the label map before
    anything was withheld. cues: by target id, what the judge went by.
    """

    stream: str
    stamp_ns: int
    label_map: np.ndarray
    targets: tuple[TargetResult, ...]
    memory: MemoryReport
    memorized: bool
    lazy: LazyParts = field(repr=False, compare=False)
    found: np.ndarray = field(repr=False, compare=False)
    cues: dict[int, tuple[list[float], TrackCues]] = field(
        default_factory=dict, repr=False, compare=False)

    def soft_masks(self) -> np.ndarray:
        """Probabilities (N+1)×H×W float32: background, then the targets in order.

        :raises StaleResultError: after the tracker's next step.
        """
        return self.lazy.soft_masks()

    def readout(self) -> Readout:
        """The retrieved feature map of every target, of the whole frame.

        Where only a window of the frame was looked at, it is encoded as a whole now: the image that
        was given to the step must not have changed.

        :raises StaleResultError: after the tracker's next step.
        """
        return self.lazy.readout()

    def attention_maps(self, target_id: int) -> list[np.ndarray]:
        """Attention mass over each memory frame: S arrays h×w float32, sum 1.

        Positions of a frame that were not remembered hold 0.

        :raises StaleResultError: after the tracker's next step.
        """
        return self.lazy.attention_maps(target_id)

    def evidence(self, target_id: int, count: int = 3) -> tuple[Evidence, ...]:
        """The crops of the memory frames that attention rests on, largest mass first.

        :raises StaleResultError: after the tracker's next step.
        """
        return self.lazy.evidence(target_id, count)
