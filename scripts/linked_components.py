# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Turn masks of everything that moves into objects with consistent ids.

Such a mask tells moving from still and no more. Its connected components are taken as objects
and linked over consecutive frames by overlap.
"""
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from itertools import count
from pathlib import Path

import cv2
import numpy as np

UNKNOWN = 255
SPECK_AREA = 60
"""Components with fewer pixels become unknown."""
CHUNK_FRAMES = (20, 60)
"""Where components are objects, a sequence is cut into chunks this long."""
SIGNIFICANT = 0.25
"""The share of the smaller region from which on an overlap links two regions."""
MERGING_PART, SPLIT_PART = 0.05, 0.12
"""From this size on, relative to the largest part, objects merge and parts of one split off."""
SHORT_TRACK = 5
"""Objects seen on fewer frames of a chunk become unknown."""


@dataclass(frozen=True)
class Frame:
    """An image file and its H×W uint8 label map."""

    image: Path
    labels: np.ndarray


@dataclass
class Track:
    """One object of a chunk: where it was last and how far it moved since the frame before."""

    mask: np.ndarray
    centre: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    ambiguous: bool = False

    def predicted(self) -> np.ndarray:
        """The mask (H×W bool), moved on by one frame."""
        across, down = self.velocity
        move = np.array([[1, 0, across], [0, 1, down]], dtype=np.float32)
        size = self.mask.shape[1], self.mask.shape[0]
        return cv2.warpAffine(self.mask.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST) > 0

    def follow(self, mask: np.ndarray) -> None:
        """Take over the mask of the next frame."""
        centre = centre_of(mask)
        self.velocity, self.centre, self.mask = centre - self.centre, centre, mask


def centre_of(mask: np.ndarray) -> np.ndarray:
    """The mean (x, y) of the true pixels."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def components_of(foreground: np.ndarray) -> list[np.ndarray]:
    """The 8-connected components (H×W bool each) that are no specks."""
    total, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8))
    large = [index for index in range(1, total) if stats[index, cv2.CC_STAT_AREA] >= SPECK_AREA]
    return [labels == index for index in large]


class Linker:
    """
    Gives components of consecutive frames consistent ids.

    A component goes on with the object it overlaps most, moved on by its last motion, or else
    with the closest free object of like size. Where two large parts merge, or one object falls
    into two, the result is a new track, marked ambiguous: the objects before are still in it, so
    calling it background for them, or theirs, would be wrong.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self._idents = count(1)

    def step(self, components: list[np.ndarray]) -> tuple[dict[int, np.ndarray], bool]:
        """
        Link the components of the next frame.

        Returns a mask (H×W bool) for each visible id, and whether objects merged or split.
        """
        owners, torn = self._owners(components)
        self._adopt_close(components, owners, torn)
        visible: dict[int, np.ndarray] = {}
        for index, component in enumerate(components):
            ident = owners.get(index)
            if ident is None:
                ident = next(self._idents)
                self.tracks[ident] = Track(component, centre_of(component),
                                           ambiguous=index in torn)
            visible[ident] = visible[ident] | component if ident in visible else component
        for ident in list(self.tracks):
            if ident in visible:
                self.tracks[ident].follow(visible[ident])
            else:
                del self.tracks[ident]
        return visible, bool(torn)

    def _owners(self, components: list[np.ndarray]) -> tuple[dict[int, int], set[int]]:
        """The track each component continues, by overlap, and the merged or split components."""
        links: dict[tuple[int, int], int] = {}
        areas = [int(component.sum()) for component in components]
        sizes = {}
        for ident, track in self.tracks.items():
            predicted = track.predicted()
            sizes[ident] = int(predicted.sum())
            for index, component in enumerate(components):
                overlap = int((predicted & component).sum())
                if overlap and overlap >= SIGNIFICANT * min(sizes[ident], areas[index]):
                    links[ident, index] = overlap
        owners: dict[int, int] = {}
        torn: set[int] = set()
        for index in range(len(components)):
            parents = [ident for ident, child in links if child == index]
            if not parents:
                continue
            owners[index] = max(parents, key=lambda ident: links[ident, index])
            if len(large_parts({ident: sizes[ident] for ident in parents}, MERGING_PART)) > 1:
                torn.add(index)
        for ident in self.tracks:
            children = {index: areas[index] for parent, index in links if parent == ident}
            large = large_parts(children, SPLIT_PART)
            if len(large) > 1:
                torn.update(large)
        known = {index for index in torn if self.tracks[owners[index]].ambiguous}
        for index in torn - known:
            del owners[index]
        return owners, torn - known

    def _adopt_close(self, components: list[np.ndarray], owners: dict[int, int],
                     torn: set[int]) -> None:
        """Link what moved too fast to overlap: the closest pairs first."""
        free = set(self.tracks) - set(owners.values())
        pairs = []
        for index in set(range(len(components))) - set(owners) - torn:
            centre, area = centre_of(components[index]), components[index].sum()
            for ident in free:
                track = self.tracks[ident]
                distance = np.linalg.norm(centre - track.centre - track.velocity)
                ratio = area / track.mask.sum()
                if distance <= np.sqrt(area) and 0.5 <= ratio <= 2:
                    pairs.append((distance, index, ident))
        for _, index, ident in sorted(pairs):
            if index not in owners and ident in free:
                owners[index] = ident
                free.remove(ident)

    def any_ambiguous(self) -> bool:
        """Whether a merged or split object is in view."""
        return any(track.ambiguous for track in self.tracks.values())


def large_parts(areas: dict[int, int], share: float) -> list[int]:
    """The keys whose areas have at least this share of the largest."""
    return [key for key, area in areas.items() if area >= share * max(areas.values())]


def painted(frame: Frame, visible: dict[int, np.ndarray], linker: Linker) -> np.ndarray:
    """H×W int32 ids; what is unknown, a speck or ambiguous is -1."""
    ids = np.where(frame.labels > 0, -1, 0).astype(np.int32)
    for ident, mask in visible.items():
        ids[mask] = -1 if linker.tracks[ident].ambiguous else ident
    return ids


def chunks_of(frames: Iterable[Frame]) -> Iterator[list[tuple[Frame, np.ndarray]]]:
    """
    Cut a sequence and link its objects; labels are 0, 1 (objects, all of them) or 255.

    A chunk ends at its longest length and, once it has the shortest, where objects merge or
    split: there the next one starts, with fresh ids.
    """
    shortest, longest = CHUNK_FRAMES
    chunk: list[tuple[Frame, np.ndarray]] = []
    linker = Linker()
    for frame in frames:
        components = components_of(frame.labels == 1)
        visible, torn = linker.step(components)
        full = len(chunk) >= longest
        if full or (len(chunk) >= shortest and (torn or linker.any_ambiguous())):
            yield chunk
            chunk, linker = [], Linker()
            visible, _ = linker.step(components)
        chunk.append((frame, painted(frame, visible, linker)))
    yield chunk


def renumbered(chunk: list[tuple[Frame, np.ndarray]]) -> list[Frame]:
    """The chunk with ids 1..n by first appearance; empty frames at either end are left out."""
    seen: dict[int, int] = {}
    for _, ids in chunk:
        for ident in np.unique(ids[ids > 0]):
            seen[int(ident)] = seen.get(int(ident), 0) + 1
    kept = [ident for ident, frames in seen.items() if frames >= SHORT_TRACK][:UNKNOWN - 1]
    result = []
    for frame, ids in chunk:
        labels = np.where(ids == 0, 0, UNKNOWN).astype(np.uint8)
        for new, old in enumerate(kept, start=1):
            labels[ids == old] = new
        result.append(Frame(frame.image, labels))
    return trimmed(result)


def trimmed(frames: list[Frame]) -> list[Frame]:
    """The frames from the first to the last that shows an object."""
    used = [index for index, frame in enumerate(frames)
            if np.any((frame.labels > 0) & (frame.labels != UNKNOWN))]
    return frames[used[0]:used[-1] + 1] if used else []
