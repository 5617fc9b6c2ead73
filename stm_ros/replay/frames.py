# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What replay reads, wherever it comes from: frames, one at a time."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stm_ros.vision.errors import InputError

DEFAULT_RATE = 25.0
NANOSECONDS = 1_000_000_000
#: a frame in eleven days, and a thousand of them in a millisecond
LEAST_RATE, MOST_RATE = 1e-6, 1e6


@dataclass(frozen=True)
class Frame:
    """
    One image of a source.

    image: H×W×3 uint8 RGB. stamp_ns: the header's stamp. frame_id: the header's coordinate frame.
    recorded_ns: when a bag received it; the stamp where there is no bag.
    """

    image: np.ndarray
    stamp_ns: int
    frame_id: str
    recorded_ns: int


def check_rate(rate: float) -> None:
    """Make sure that stamps can be made of a rate, in frames per second.

    :raises InputError: where it is outside what stamps in nanoseconds can tell.
    """
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise InputError(f'a rate of {rate} frames per second cannot be used; {LEAST_RATE:g} to '
                         f'{MOST_RATE:g} are accepted')


class FrameSource(Protocol):
    """
    What replay reads: a name for people, frames per second, and the frames in their order.

    notes: what a person should know of it (gaps, damage, what was skipped), complete once all
    frames were read.
    """

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float: ...

    @property
    def notes(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Frame]: ...


def frame_at(image: np.ndarray, index: int, rate: float) -> Frame:
    """The frame `index` of a source that tells no time: stamped (index + 1) / rate seconds."""
    stamp = round((index + 1) * NANOSECONDS / rate)
    return Frame(image, stamp, 'camera', stamp)
