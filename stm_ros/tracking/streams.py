# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a tracker knows of each camera beside the shared memory."""
from dataclasses import dataclass
from dataclasses import field

from torch import Tensor

from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import Geometry


@dataclass
class StreamState:
    """One camera: where its targets were last, and how they are doing.

    frames: steps and references so far, the schedule's clock. masks: by target id H'×W' soft
    masks of the newest frame, of the size that `geometry` says. boxes: theirs, in pixels of the
    source image.
    """

    frames: int = 0
    stamp_ns: int | None = None
    geometry: Geometry | None = None
    masks: dict[int, Tensor] = field(default_factory=dict)
    boxes: dict[int, Box] = field(default_factory=dict)
    states: dict[int, TargetState] = field(default_factory=dict)

    def state_of(self, target: int) -> TargetState:
        """The target's state; one never seen on this stream is LOST, and looked for."""
        return self.states.get(target, TargetState.LOST)

    def see_with(self, geometry: Geometry) -> None:
        """Go on with frames of a geometry; places in frames of another mean nothing."""
        if self.geometry != geometry:
            self.forget_places()
            self.geometry = geometry

    def forget_places(self) -> None:
        """Drop where the targets were."""
        self.masks.clear()
        self.boxes.clear()

    def forget_target(self, target: int) -> None:
        """Drop what is known of a target."""
        self.masks.pop(target, None)
        self.boxes.pop(target, None)
        self.states.pop(target, None)

    def forget_past(self) -> None:
        """Drop places and the clock, as after a jump back in time; states start as LOST."""
        self.frames = 0
        self.forget_places()
        self.states.clear()
