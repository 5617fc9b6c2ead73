# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the bank knows of each memory frame beside its tensors."""
from dataclasses import dataclass
from dataclasses import field
from enum import Enum

import numpy as np


class SlotKind(str, Enum):
    """Why a memory frame is kept."""

    REFERENCE = 'reference'
    RECENT = 'recent'
    MEMORY = 'memory'


@dataclass(frozen=True)
class ReferenceSource:
    """The image and label map that a reference was given by, as PNG bytes: exact, and small."""

    image_png: bytes
    mask_png: bytes


@dataclass
class Slot:
    """One memory frame.

    order: counts writes, so that the oldest is the smallest. grid: height and width in positions.
    targets: ids that can be read here. usage: attention mass received, decayed.
    descriptor: Ck float32, what its targets look like, see stm_ros.memory.descriptors.
    crops: JPEG bytes by id.
    due: whether the schedule wants this frame kept when a newer one arrives.
    source: of a reference, what it was given by.
    """

    kind: SlotKind
    stream: str
    stamp_ns: int
    confidence: float
    order: int
    grid: tuple[int, int]
    targets: frozenset[int]
    descriptor: np.ndarray
    crops: dict[int, bytes] = field(default_factory=dict)
    usage: float = 0.0
    due: bool = False
    source: ReferenceSource | None = None

    @property
    def positions(self) -> int:
        """How many positions of the bank's tensors the frame fills."""
        return self.grid[0] * self.grid[1]
