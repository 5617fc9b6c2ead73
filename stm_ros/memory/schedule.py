# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Schedules: which of the frames that earned it stay after they are no longer the newest."""
from abc import ABC
from abc import abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A frame that may stay.

    frames: how many its stream has had before. seconds: since the newest frame kept of its
    stream, None where there is none. novelty: how far its targets look from every frame kept,
    see stm_ros.memory.descriptors, None where there is nothing to compare with.
    """

    frames: int
    seconds: float | None
    novelty: float | None


class Schedule(ABC):
    """Decides by what is known of a frame, never by where anything is stored."""

    name: str

    @abstractmethod
    def keeps(self, candidate: Candidate) -> bool:
        """Whether this frame stays."""


@dataclass(frozen=True)
class EveryNthFrame(Schedule):
    """Every `every`th frame of a stream, as the paper does with 5."""

    every: int
    name = 'frames'

    def keeps(self, candidate: Candidate) -> bool:
        """Count the stream's frames."""
        return candidate.frames % self.every == 0


@dataclass(frozen=True)
class EverySoManySeconds(Schedule):
    """A frame that is at least `seconds` newer than the last that stayed."""

    seconds: float
    name = 'seconds'

    def keeps(self, candidate: Candidate) -> bool:
        """Compare stamps."""
        return candidate.seconds is None or candidate.seconds >= self.seconds


@dataclass(frozen=True)
class WhatLooksNew(Schedule):
    """A frame whose targets look at least `distance` different from every frame that stayed."""

    distance: float
    name = 'novelty'

    def keeps(self, candidate: Candidate) -> bool:
        """Compare appearances."""
        return candidate.novelty is None or candidate.novelty >= self.distance


SCHEDULES = (EveryNthFrame.name, EverySoManySeconds.name, WhatLooksNew.name)


def make_schedule(name: str, every: int, seconds: float, distance: float) -> Schedule:
    """The schedule of one of the names in SCHEDULES, with the setting that it goes by."""
    return {EveryNthFrame.name: EveryNthFrame(every),
            EverySoManySeconds.name: EverySoManySeconds(seconds),
            WhatLooksNew.name: WhatLooksNew(distance)}[name]
