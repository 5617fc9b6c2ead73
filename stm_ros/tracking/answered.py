# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A frame that was answered and is still to be committed."""
from dataclasses import dataclass

import numpy as np

from stm_ros.inference.runner import Seen
from stm_ros.inference.windows import Region
from stm_ros.inference.windows import reaches_out
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking.association import Decision
from stm_ros.tracking.compose import Answer
from stm_ros.tracking.stream import Stream
from stm_ros.vision.prepare import Geometry


@dataclass(frozen=True)
class AnsweredFrame:
    """Targets are in the bank's `order`, slots at `indices`."""

    image: np.ndarray
    geometry: Geometry
    predicted: Stream
    order: list[int]
    indices: list[int]
    regions: list[Region | None]
    seen: Seen
    decided: Decision
    answer: Answer

    @property
    def mass(self) -> np.ndarray:
        """Attention N×S on each slot: of a target's pixels, or of all positions if it is lost."""
        which = [int(target in self.answer.lost) for target in self.order]
        return self.seen.mass[np.arange(len(which)), which]

    @property
    def reached_out(self) -> set[int]:
        """Targets that may go on where they were not looked for."""
        region_of = dict(zip(self.order, self.regions, strict=True))
        stride = SpaceTimeNetwork.stride
        return {target.id for target in self.answer.targets if target.box is not None
                and (region := region_of[target.id]) is not None
                and reaches_out(target.box, region, self.geometry, stride)}
