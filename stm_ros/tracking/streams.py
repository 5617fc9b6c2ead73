# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a tracker knows of each camera beside the shared memory."""
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import numpy as np
import torch
from torch import Tensor

from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.look_alikes import EXACT_FRAMES
from stm_ros.tracking.look_alikes import LEAST_OVERLAP
from stm_ros.tracking.look_alikes import SURE_FRAMES
from stm_ros.tracking.look_alikes import Cells
from stm_ros.tracking.look_alikes import LookAlike
from stm_ros.tracking.look_alikes import completed
from stm_ros.tracking.look_alikes import tell_apart
from stm_ros.tracking.motion import Motion
from stm_ros.tracking.motion import shift_mask
from stm_ros.tracking.regions import Region
from stm_ros.tracking.regions import reaches_out
from stm_ros.tracking.regions import region_around
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_around
from stm_ros.vision.boxes import iou_of_boxes
from stm_ros.vision.prepare import Geometry

#: IoU with the expected box from which a mask in doubt shows where the target goes
SAME_PLACE = 0.75
#: steadiness of a motion from which a box elsewhere is no motion
STEADY = 0.8


@dataclass
class StreamState:
    """One camera: where its targets were last, and how they are doing.

    frames: steps and references so far, the schedule's clock. masks: by target id H'×W' soft
    masks, of the size that `geometry` says: where each target was, or is likely to be by its
    motion. everywhere: targets whose next place may be any. look_alikes: by target id, other
    things that look like it.
    """

    frames: int = 0
    stamp_ns: int | None = None
    geometry: Geometry | None = None
    masks: dict[int, Tensor] = field(default_factory=dict)
    motions: dict[int, Motion] = field(default_factory=dict)
    states: dict[int, TargetState] = field(default_factory=dict)
    everywhere: set[int] = field(default_factory=set)
    look_alikes: dict[int, tuple[LookAlike, ...]] = field(default_factory=dict)

    def state_of(self, target: int) -> TargetState:
        """The target's state; one never seen on this stream is LOST, and looked for."""
        return self.states.get(target, TargetState.LOST)

    def see_with(self, geometry: Geometry) -> None:
        """Go on with frames of a geometry; places in images of another size mean nothing."""
        if self.geometry is not None and self.geometry.source == geometry.source:
            if self.geometry != geometry:
                self.masks.clear()
        else:
            self.forget_places()
        self.geometry = geometry

    def prior(self, order: Sequence[int]) -> Tensor | None:
        """Where the targets of `order` are likely to be: N×H'×W', zeros where nobody knows."""
        if not self.masks:
            return None
        blank = torch.zeros_like(next(iter(self.masks.values())))
        return torch.stack([self.masks.get(target, blank) for target in order])

    def expects(self, target: int, box: Box | None) -> bool:
        """Whether a target is likely to be in `box`, in pixels of the source image.

        Boxes are compared only for a few frames after a trusted one, and where the target used
        to be where it was expected. Where nothing has been seen yet, any place will do.
        """
        if self.geometry is None:
            return True
        motion = self.motions.get(target)
        if motion is None or box is None:
            return False
        return (motion.coasted >= EXACT_FRAMES or motion.steadiness < STEADY
                or iou_of_boxes(box, motion.expected_box) >= LEAST_OVERLAP)

    def tell_apart(self, target: int, mask: np.ndarray, alike: np.ndarray
                   ) -> tuple[np.ndarray, float]:
        """What of a mask H×W bool is the target's and no look-alike's, which are followed.

        :param alike: H'/4×W'/4, positive in all that looks like the target's references.
        :return: the mask, and the share in [0, 1] of the target's place that a look-alike shares.
        """
        if self.geometry is None:
            return mask, 0.0
        own, look_alikes, shared = tell_apart(
            mask, alike > 0, Cells.of_input(self.geometry, 4), self.motions.get(target),
            self.look_alikes.get(target, ()))
        self.look_alikes[target] = look_alikes
        return own, shared

    def owners(self, order: Sequence[int], taken: np.ndarray) -> np.ndarray:
        """The ids H×W uint8 of targets in whose place pixels are that were taken from others.

        :param taken: H×W uint8, the ids of those from whom a pixel was taken, 0 for none.
        """
        owners, nearest = np.zeros_like(taken), np.ones(taken.shape, np.float32)
        cells = Cells.of_pixels(Box(0, 0, taken.shape[1], taken.shape[0]))
        for target in order:
            motion = self.motions.get(target)
            if motion is not None and self.state_of(target) != TargetState.LOST:
                distance = cells.distance(motion.expected_box)
                nearer = (distance <= nearest) & (taken > 0) & (taken != target)
                owners[nearer] = target
                nearest[nearer] = distance[nearer]
        return owners

    def region_of(self, target: int, stride: int, config: TrackerConfig) -> Region | None:
        """Where a target is looked for: around its last place, mostly; None for everywhere.

        Wider around one that is in doubt, the longer it is; everywhere for one that is lost.

        :param stride: of the network, in pixels.
        """
        motion = self.motions.get(target)
        if (motion is None or self.geometry is None or target in self.everywhere
                or self.state_of(target) == TargetState.LOST
                or self.frames % config.full_look_every == 0):
            return None
        box = box_around([motion.expected_box, *(
            each.motion.expected_box for each in self.look_alikes.get(target, ()))])
        return region_around(box, self.geometry, stride, config.region_margin, motion.coasted)

    def remember(self, targets: Sequence[TargetResult], masks: dict[int, Tensor],
                 regions: dict[int, Region | None], stride: int) -> None:
        """Take over where the targets of a frame are.

        :param masks: soft masks H'×W' by id. :param regions: where each was looked for.
        """
        geometry = self.geometry
        assert geometry is not None
        self.everywhere = {
            target.id for target in targets
            if target.box is not None and (region := regions[target.id]) is not None
            and reaches_out(target.box, region, geometry, stride)}
        for target in targets:
            if target.box is not None and (target.state == TargetState.TRACKING
                                           or self.is_in_place(target.id, target.box)):
                self.trust(target.id, target.box, masks[target.id])
            else:
                if target.state == TargetState.UNCERTAIN and self._was_seen(target.id):
                    # there may be a double of it, which would explain the doubt
                    self.everywhere.add(target.id)
                self.coast(target.id)

    def _was_seen(self, target: int) -> bool:
        motion = self.motions.get(target)
        return motion is not None and motion.coasted == 0

    def is_in_place(self, target: int, box: Box) -> bool:
        """Whether a target in doubt is in a box just where it was expected, and no double is."""
        motion = self.motions.get(target)
        return (motion is not None and iou_of_boxes(box, motion.expected_box) >= SAME_PLACE
                and not any(iou_of_boxes(box, each.motion.box)
                            for each in self.look_alikes.get(target, ())))

    def is_only_confused(self, target: int, box: Box) -> bool:
        """Whether a double explains the doubt about a target, which is just where it should be."""
        return bool(self.look_alikes.get(target)) and self.is_in_place(target, box)

    def trust(self, target: int, box: Box, mask: Tensor) -> None:
        """Remember where a target is."""
        motion = self.motions.get(target)
        if motion is not None and self.look_alikes.get(target):
            box = completed(box, motion.expected_box)
        self.motions[target] = Motion(box) if motion is None else motion.seen(box)
        self.masks[target] = mask

    def coast(self, target: int) -> None:
        """Move a target that cannot be trusted on as it went; in the end its place is unknown."""
        motion, mask = self.motions.pop(target, None), self.masks.pop(target, None)
        moved = None if motion is None else motion.unseen()
        if motion is None or moved is None or self.geometry is None:
            # now it may be anywhere, and be what was taken for its double by mistake
            self.look_alikes[target] = tuple(
                each for each in self.look_alikes.get(target, ()) if each.together >= SURE_FRAMES)
            return
        self.motions[target] = moved
        if mask is not None:
            self.masks[target] = shift_mask(mask, motion, self.geometry)

    def forget_places(self) -> None:
        """Drop where the targets were."""
        self.everywhere.clear()
        self.masks.clear()
        self.motions.clear()
        self.look_alikes.clear()

    def forget_target(self, target: int) -> None:
        """Drop what is known of a target."""
        self.everywhere.discard(target)
        self.masks.pop(target, None)
        self.motions.pop(target, None)
        self.look_alikes.pop(target, None)
        self.states.pop(target, None)

    def forget_past(self) -> None:
        """Drop places and the clock, as after a jump back in time; states start as LOST."""
        self.frames = 0
        self.forget_places()
        self.states.clear()
