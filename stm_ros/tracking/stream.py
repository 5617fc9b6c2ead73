# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A stream: one camera, its clock, and the tracks of all that is followed in it."""
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

import torch
from torch import Tensor

from stm_ros.inference.windows import Region
from stm_ros.inference.windows import region_around
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import box_around
from stm_ros.vision.errors import InputError
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import shift_mask

#: time between frames that carry no stamps, or the same
FRAME_NS = 33_333_333
#: of a place's standard deviation, what a window has around the box: 99.7 % of all places
_SURE = 3.0


class LateFrameError(InputError):
    """A frame is older than what its stream has had; it was refused and nothing was changed."""


@dataclass(frozen=True)
class Stream:
    """One camera at the time of its last frame; never changed, only replaced.

    frames: steps and references so far, the paper's clock. stamp_ns: of the last frame, None before
    the first. looked_ns: when a frame was last searched as a whole. tracks: of targets by id.
    distractors: what looks like one of them and is another thing.
    """

    frames: int = 0
    stamp_ns: int | None = None
    looked_ns: int = 0
    geometry: Geometry | None = None
    tracks: dict[int, Track] = field(default_factory=dict)
    distractors: tuple[Track, ...] = ()

    def track(self, target: int) -> Track:
        """The target's track; of one never seen on this stream nobody knows the place."""
        return self.tracks.get(target, Track(target))

    def next_stamp(self, stamp_ns: int | None) -> int:
        """The time of the next frame: its own stamp, or one frame after the last."""
        if stamp_ns is not None:
            return stamp_ns
        return 0 if self.stamp_ns is None else self.stamp_ns + FRAME_NS

    def has_jumped(self, name: str, stamp_ns: int, most_seconds: float) -> bool:
        """Whether a stamp is so far before the last that the stream `name` starts anew.

        :raises LateFrameError: where it is older by no more than `most_seconds`.
        """
        if self.stamp_ns is None or stamp_ns >= self.stamp_ns:
            return False
        behind = (self.stamp_ns - stamp_ns) / 1e9
        if behind > most_seconds:
            return True
        raise LateFrameError(f'a frame of stream {name!r} is {behind:.3f} s older than the last '
                             f'one and comes too late; from {most_seconds:g} s on the stream '
                             'starts anew')

    def predict(self, stamp_ns: int, geometry: Geometry, config: TrackerConfig) -> 'Stream':
        """The stream at a frame of `stamp_ns`: every track moved on by the seconds that passed.

        Places in images of another size mean nothing; masks for another input do not either.
        """
        before = self.seen_with(geometry)
        elapsed = FRAME_NS
        if self.stamp_ns is not None and stamp_ns > self.stamp_ns:
            elapsed = stamp_ns - self.stamp_ns
        seconds = elapsed / 1e9
        distractors = (track.after(seconds, config.coast_seconds) for track in before.distractors)
        return replace(
            before, stamp_ns=stamp_ns,
            tracks={target: track.after(seconds, config.coast_seconds)
                    for target, track in before.tracks.items()},
            distractors=tuple(track for track in distractors if track.motion is not None)
            if config.follow_distractors else ())

    def seen_with(self, geometry: Geometry) -> 'Stream':
        """The stream once its images are seen with a geometry."""
        if self.geometry == geometry:
            return self
        if self.geometry is not None and self.geometry.source == geometry.source:
            return replace(self, geometry=geometry, tracks={
                target: track.without_mask() for target, track in self.tracks.items()})
        return replace(self, geometry=geometry, distractors=(), tracks={
            target: track.nowhere() for target, track in self.tracks.items()})

    def prior(self, order: Sequence[int]) -> Tensor | None:
        """Where the targets of `order` are likely to be: N×H'×W', zeros where nobody knows."""
        masks = {target: self._moved_mask(self.track(target)) for target in order}
        known = [mask for mask in masks.values() if mask is not None]
        if not known:
            return None
        blank = torch.zeros_like(known[0])
        return torch.stack([blank if mask is None else mask for mask in masks.values()])

    def _moved_mask(self, track: Track) -> Tensor | None:
        if track.mask is None or track.motion is None or self.geometry is None:
            return None
        (x, y), (column, row) = track.motion.box.center, track.mask_center
        return shift_mask(track.mask, (x - column, y - row), self.geometry)

    def is_due(self, config: TrackerConfig) -> bool:
        """Whether the frame at this time is searched as a whole for all targets."""
        assert self.stamp_ns is not None
        return self.stamp_ns - self.looked_ns >= 1e9 * config.full_look_seconds

    def region_of(self, target: int, stride: int, config: TrackerConfig) -> Region | None:
        """Where a target is looked for: around its expected box, mostly; None for everywhere.

        :param stride: of the network, in pixels.
        """
        track = self.track(target)
        if (track.motion is None or self.geometry is None or track.everywhere
                or track.state == TargetState.LOST or self.is_due(config)):
            return None
        beside = [each.motion for each in self.distractors
                  if each.resembles == target and each.motion is not None]
        box = box_around([motion.box.grown(_SURE * motion.spread, _SURE * motion.spread)
                          for motion in (track.motion, *beside)])
        return region_around(box, self.geometry, stride, config.region_margin)

    def with_reference(self, tracks: Sequence[Track]) -> 'Stream':
        """The stream once targets were shown in it: their tracks are those, distractors go."""
        ids = {track.id for track in tracks}
        return replace(
            self, frames=max(1, self.frames),
            tracks={**self.tracks, **{track.id: track for track in tracks
                                      if track.id is not None}},
            distractors=tuple(each for each in self.distractors if each.resembles not in ids))

    def without_target(self, target: int) -> 'Stream':
        """The stream without what is known of a target."""
        return replace(
            self, tracks={id: track for id, track in self.tracks.items() if id != target},
            distractors=tuple(each for each in self.distractors if each.resembles != target))
