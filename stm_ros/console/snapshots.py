# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the ROS thread publishes to the web: immutable, and small enough to replace whole."""
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType

import numpy as np

STATES = ('TRACKING', 'UNCERTAIN', 'LOST')


@dataclass(frozen=True)
class TargetView:
    """A target in one frame; `box` is x, y, width, height in pixels, None where it is lost.

    confidence: expected IoU, range [0, 1]. area: pixels of the source image.
    """

    id: int
    label: str
    state: str
    confidence: float
    box: tuple[float, float, float, float] | None
    area: int

    @property
    def name(self) -> str:
        """Its label, or its id where it has none."""
        return self.label or f'target {self.id}'


@dataclass(frozen=True)
class View:
    """A camera's frame and, where the node has answered it, the answer.

    sequence: counts the views of a stream. stamp_ns, frame_id: of the source image. pixels: H×W×3
    uint8 RGB. label_map: H×W uint8, or None. body: what the browser gets, see `pictures.pack`.
    """

    sequence: int
    stamp_ns: int
    frame_id: str
    pixels: np.ndarray
    label_map: np.ndarray | None
    targets: tuple[TargetView, ...]
    body: bytes

    @property
    def bytes(self) -> int:
        """What it holds in memory."""
        return self.pixels.nbytes + len(self.body) + (
            0 if self.label_map is None else self.label_map.nbytes)


@dataclass(frozen=True)
class SlotView:
    """A memory frame: when and where it was seen, what for, and how much it is read."""

    stamp_ns: int
    stream: str
    kind: str
    confidence: float
    usage: float

    @property
    def key(self) -> tuple[str, int]:
        """What its picture is kept under."""
        return self.stream, self.stamp_ns


@dataclass(frozen=True)
class MemoryView:
    """The slots read for a frame and, by target id, the attention mass on each (sums to 1)."""

    stamp_ns: int = 0
    slots: tuple[SlotView, ...] = ()
    attention: Mapping[int, tuple[float, ...]] = field(
        default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class EvidenceView:
    """A clean crop (JPEG) of a target out of memory, and the attention mass it drew."""

    stamp_ns: int
    stream: str
    kind: str
    weight: float
    jpeg: bytes


@dataclass(frozen=True)
class ContextView:
    """A target now (crop as JPEG, empty where it is lost) beside the frames that anchor it."""

    stamp_ns: int
    state: str
    sentence: str
    crop: bytes
    evidence: tuple[EvidenceView, ...]


@dataclass(frozen=True)
class Sample:
    """A point of a timeline: seconds of the console's monotonic clock, confidence, state."""

    time: float
    confidence: float
    state: str


@dataclass(frozen=True)
class Fault:
    """Something that an operator must know: a title, and lines that say what to do."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """What a stream does, measured here: per second over the last seconds, and seconds.

    delay: from the arrival of an image here to that of its answer, median; None before the first.
    silence: since the last image; None before the first. answer_silence: since the last answer.
    """

    images: float = 0.0
    answers: float = 0.0
    delay: float | None = None
    silence: float | None = None
    answer_silence: float | None = None


@dataclass(frozen=True)
class StreamView:
    """One stream. `views`: the newest frames, oldest first, for references drawn by hand."""

    name: str
    views: tuple[View, ...] = ()
    targets: tuple[TargetView, ...] = ()
    memory: MemoryView = MemoryView()
    contexts: Mapping[int, ContextView] = field(default_factory=lambda: MappingProxyType({}))
    timelines: Mapping[int, tuple[Sample, ...]] = field(
        default_factory=lambda: MappingProxyType({}))
    thumbnails: Mapping[tuple[str, int], bytes] = field(
        default_factory=lambda: MappingProxyType({}))
    figures: Figures = Figures()
    diagnostics: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: Fault | None = None

    @property
    def newest(self) -> View | None:
        """The newest view."""
        return self.views[-1] if self.views else None

    @property
    def newest_answered(self) -> View | None:
        """The newest view that the node has answered, while one is held."""
        return next((view for view in reversed(self.views) if view.label_map is not None), None)

    def view(self, sequence: int) -> View | None:
        """The view of that number, while it is held."""
        return next((view for view in self.views if view.sequence == sequence), None)


@dataclass(frozen=True)
class ConsoleView:
    """All that the page shows. `now`: the monotonic second at which it was published."""

    node: str
    now: float = 0.0
    streams: Mapping[str, StreamView] = field(default_factory=lambda: MappingProxyType({}))
    diagnostics: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: Fault | None = None
