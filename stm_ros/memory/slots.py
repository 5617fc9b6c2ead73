# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the bank knows of each memory frame beside its tensors."""
from dataclasses import dataclass
from dataclasses import field
from enum import Enum
from typing import NamedTuple

import numpy as np

from stm_ros.memory.fine_keys import FineKeys


class SlotKind(str, Enum):
    """Why a memory frame is kept."""

    REFERENCE = 'reference'
    RECENT = 'recent'
    MEMORY = 'memory'


class Extent(NamedTuple):
    """What part of a frame was kept, in positions: height and width, where it begins (row,
    column), and the height and width of the whole frame."""

    height: int
    width: int
    top: int
    left: int
    frame_height: int
    frame_width: int

    def slices_of(self, core: 'Extent') -> tuple[slice, slice]:
        """Rows and columns of a smaller part in this one."""
        top, left = core.top - self.top, core.left - self.left
        return slice(top, top + core.height), slice(left, left + core.width)

    def in_frame(self, part: np.ndarray) -> np.ndarray:
        """A map of the part, of height·width values, as a map of the frame; zeros around it."""
        whole = np.zeros((self.frame_height, self.frame_width), part.dtype)
        whole[self.top:self.top + self.height, self.left:self.left + self.width] = part.reshape(
            self.height, self.width)
        return whole


@dataclass(frozen=True)
class ReferenceSource:
    """The image and label map that a reference was given by, as PNG bytes: exact, and small."""

    image_png: bytes
    mask_png: bytes


@dataclass
class Slot:
    """One memory frame.

    order: counts writes, so that the oldest is the smallest. extent: what part of the frame it is.
    core: the part that is kept when it is no longer the newest, None for all.
    targets: ids that can be read here. usage: attention mass received, decayed.
    descriptor: Ck float32, what its targets look like, see stm_ros.memory.descriptors.
    crops: JPEG bytes by id.
    due: whether the schedule wants this frame kept when a newer one arrives.
    source: of a reference, what it was given by. fine: what is matched at stride 8, of references
    and the newest frames. kept_for: those of `targets` that may be read here when it is no longer
    the newest, None for all.
    """

    kind: SlotKind
    stream: str
    stamp_ns: int
    confidence: float
    order: int
    extent: Extent
    targets: frozenset[int]
    descriptor: np.ndarray
    crops: dict[int, bytes] = field(default_factory=dict)
    usage: float = 0.0
    due: bool = False
    source: ReferenceSource | None = None
    core: Extent | None = None
    fine: FineKeys | None = None
    kept_for: frozenset[int] | None = None

    @property
    def positions(self) -> int:
        """How many positions of the bank's tensors the frame fills."""
        return self.extent.height * self.extent.width
