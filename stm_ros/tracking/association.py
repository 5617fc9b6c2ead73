# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which of the candidates is which track: appearance proposes, place decides.

Memory compares what things look like, so that the copy of a target is found with it. A candidate
is a connected part of what looks like a target. Every part of it belongs to the nearest track whose
gate it is in; what is in nobody's gate, while the target is where it was expected, is another
thing. So is a part apart that comes into the gate and is less like the references than the rest.
What is large enough is a distractor: it gets a track of its own, and what is found there later is
not the target's either. Where two tracks meet, both coast until they part.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stm_ros.inference.runner import Seen
from stm_ros.tracking.cells import Cells
from stm_ros.tracking.kinematics import GATE
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.boxes import shared_area
from stm_ros.vision.prepare import Geometry

#: tracks of distractors that one target has at most, the largest first
MOST_DISTRACTORS = 4
#: of a target's pixels when it was last believed, the share that must be in its gate for the rest
#: to be another thing, and the share of what is there now that a distractor has at least
IN_PLACE = 0.5
LEAST_SHARE = 0.25
# half and twice of both change nothing, MET three times as large costs one clip in four a switch:
# the ablation in docs/notes/reliability.md
#: share of the target's expected box that a distractor's covers, from which the two have met
MET = 0.1
#: a part that was not expected and is less like the target, by its references, than what was
#: expected by so much (e to the 2.4th times) is another thing that comes close: the ablation in
#: docs/notes/reliability.md
UNLIKE = 0.3


class Sighting(NamedTuple):
    """What is known of where a target may be, on grids of cells over the image.

    alike: h×w bool on `cells`, all that looks like it. likeness: h'×w' float32 on `coarse`, how
    like it each cell is by the references alone. expected: h'×w' bool, where it was expected.
    """

    alike: np.ndarray
    cells: Cells
    likeness: np.ndarray
    expected: np.ndarray
    coarse: Cells


class Claim(NamedTuple):
    """What of a target's mask is its own: H×W bool, and the distractors beside it after this frame.

    shared: of the target's expected box, the share that a distractor's covers, in [0, 1].
    """

    own: np.ndarray
    distractors: tuple[Track, ...]
    shared: float


@dataclass(frozen=True)
class Decision:
    """One owner a pixel: the label map H×W uint8, and what it rests on.

    shared: by target id, see Claim. distractors: all tracks of distractors after this frame.
    """

    label_map: np.ndarray
    shared: dict[int, float]
    distractors: tuple[Track, ...]

    def is_met(self, target: int) -> bool:
        """Whether a target and a distractor are in one place: both coast until they part."""
        return self.shared.get(target, 0.0) > MET


def sightings_of(seen: Seen, geometry: Geometry) -> list[Sighting]:
    """What was seen of each target, in the order of `seen`."""
    cells, coarse = Cells.of_input(geometry, 4), Cells.of_input(geometry, 8)
    return [Sighting(alike, cells, likeness, expected, coarse)
            for alike, likeness, expected in zip(seen.alike, seen.likeness, seen.expected,
                                                 strict=True)]


def associate(found: np.ndarray, sightings: Sequence[Sighting], targets: Sequence[Track],
              distractors: Sequence[Track]) -> Decision:
    """Decide for every target what of a frame is its own.

    :param found: H×W uint8, target ids as the network gives them.
    :param sightings: one for each target.
    :param targets: their tracks, moved on to this frame. :param distractors: likewise.
    """
    owned, shared, after = found, {}, list[Track]()
    taken = np.zeros_like(found)
    for target, sighting in zip(targets, sightings, strict=True):
        assert target.id is not None
        mask = found == target.id
        claim = claim_of(mask, sighting, target,
                         [each for each in distractors if each.resembles == target.id])
        shared[target.id] = claim.shared
        after.extend(claim.distractors)
        if claim.own is not mask:
            taken[mask & ~claim.own] = target.id
    if taken.any():
        owned = np.where(taken > 0, _other_owners(taken, targets), found).astype(np.uint8)
    return Decision(owned, shared, tuple(after))


def claim_of(mask: np.ndarray, sighting: Sighting, target: Track, known: Sequence[Track]) -> Claim:
    """Divide what looks like a target among it and its distractors.

    :param mask: H×W bool, the target's as the network gives it.
    """
    alike, cells = sighting.alike, sighting.cells
    motions = [each.motion for each in known if each.motion is not None]
    place = target.motion
    if place is None or not alike.any():
        own = _without(mask, motions) if motions else mask
        return Claim(own, _followed(known, alike, cells, place=None, met=False), 0.0)
    shared = max((_covered(place.box, each.box) for each in motions), default=0.0)
    met = shared > MET
    inside = cells.distance(place) <= GATE
    in_gate = int((alike & inside).sum())
    # whether enough of what looks like it is in its gate for the rest to be other things
    in_place = in_gate > 0 and in_gate * cells.area >= IN_PLACE * target.area
    new = []
    if in_place and not met and in_gate < int(alike.sum()):
        new = _parts_beside(alike, inside, cells, motions)[:MOST_DISTRACTORS - len(known)]
    after = _followed(known, alike, cells, place, met)
    if not motions and not new:
        return Claim(_reached(mask, place, sighting) if in_place else mask, after, shared)
    born = [Track(resembles=target.id, motion=Motion.at(box)) for box in new]
    others = motions + [track.motion for track in born if track.motion is not None]
    return Claim(_nearer(mask, place, others), (*after, *born), shared)


def _parts_beside(alike: np.ndarray, inside: np.ndarray, cells: Cells, others: Sequence[Motion]
                  ) -> list[Box]:
    """Boxes of connected parts that are in nobody's gate, the largest first.

    :param inside: h×w bool on `cells`, the target's gate.
    """
    least = LEAST_SHARE * int((alike & inside).sum())
    gated = np.any([inside, *(cells.distance(other) <= GATE for other in others)], axis=0)
    numbers, parts = cells.parts_of(alike)
    reached = set(np.unique(numbers[gated & alike]).tolist())
    beside = [part for part in parts if part.number not in reached and part.cells >= least]
    return [part.box for part in sorted(beside, key=lambda part: -part.cells)]


def _followed(known: Sequence[Track], alike: np.ndarray, cells: Cells, place: Motion | None,
              met: bool) -> tuple[Track, ...]:
    """The distractors' tracks after a frame: seen where they are nearest, else coasting."""
    motions = [track.motion for track in known if track.motion is not None]
    if not motions or met:
        return tuple(known)
    distances = np.stack([cells.distance(motion) for motion in motions])
    nearest = distances.argmin(axis=0)
    is_theirs = distances.min(axis=0) <= (
        GATE if place is None else np.minimum(GATE, cells.distance(place)))
    after = []
    for index, (track, motion) in enumerate(zip(known, motions, strict=True)):
        box = cells.box_of(alike & is_theirs & (nearest == index))
        after.append(track if box is None
                     else replace(track, motion=motion.seen(box, is_whole=False)))
    return tuple(after)


def _reached(mask: np.ndarray, place: Motion, sighting: Sighting) -> np.ndarray:
    """The connected parts of a mask H×W bool that are the target's; all where none is.

    Something of them is in the gate, and they were expected there or look like the references.
    """
    box = box_of_mask(mask)
    if box is None:
        return mask
    rows, columns = _slices(box)
    cells = Cells.of_pixels(box)
    numbers, parts = cells.parts_of(mask[rows, columns])
    if len(parts) < 2:
        return mask
    inside = cells.distance(place) <= GATE
    reached = np.unique(numbers[inside & mask[rows, columns]])
    reached = reached[~_is_intruder(numbers, box, sighting)[reached]]
    if len(reached) in (0, len(parts)):
        return mask
    own = np.zeros_like(mask)
    own[rows, columns] = np.isin(numbers, reached)
    return own


def _is_intruder(numbers: np.ndarray, box: Box, sighting: Sighting) -> np.ndarray:
    """Which of the parts that are numbered in a box were not expected and look like another thing.

    :param numbers: h×w, one for each pixel of the box, 0 for none. :return: bool, by number.
    """
    count = int(numbers.max()) + 1
    rows, columns = (np.floor(middles - least).astype(int) for middles, least in (
        (sighting.coarse.rows, box.y_min), (sighting.coarse.columns, box.x_min)))
    row, column = (np.flatnonzero((each >= 0) & (each < most))
                   for each, most in zip((rows, columns), numbers.shape, strict=True))
    part = numbers[np.ix_(rows[row], columns[column])].ravel()
    at = np.ix_(row, column)
    cells = np.bincount(part, minlength=count)
    likeness = np.bincount(part, sighting.likeness[at].ravel(), minlength=count)
    was = np.bincount(part, sighting.expected[at].ravel(), minlength=count) > 0
    was[0] = False
    if not was.any():
        return was
    usual = likeness[was].sum() / cells[was].sum()
    return ~was & (cells > 0) & (likeness < (usual - UNLIKE) * cells)


def _nearer(mask: np.ndarray, place: Motion, others: Sequence[Motion]) -> np.ndarray:
    """What of a mask H×W bool is in the target's gate, and nearer to it than to the others."""
    box = box_of_mask(mask)
    if box is None:
        return mask
    rows, columns = _slices(box)
    cells = Cells.of_pixels(box)
    distance = cells.distance(place)
    rest = np.stack([cells.distance(other) for other in others]).min(axis=0)
    inside = mask[rows, columns]
    mine = inside & (distance <= GATE) & (distance <= rest)
    own = np.zeros_like(mask)
    # where nothing is left at its place it has leapt, and not to where a distractor is
    own[rows, columns] = mine if mine.any() else inside & (rest > GATE)
    return own


def _without(mask: np.ndarray, others: Sequence[Motion]) -> np.ndarray:
    """What of a mask H×W bool is in no gate of the others."""
    box = box_of_mask(mask)
    if box is None:
        return mask
    rows, columns = _slices(box)
    cells = Cells.of_pixels(box)
    own = mask.copy()
    for other in others:
        own[rows, columns] &= cells.distance(other) > GATE
    return own


def _other_owners(taken: np.ndarray, targets: Sequence[Track]) -> np.ndarray:
    """Ids H×W uint8 of the targets in whose gate pixels are that were taken from another one.

    :param taken: H×W uint8, the ids of those who lost a pixel, 0 for none.
    """
    owners, nearest = np.zeros_like(taken), np.full(taken.shape, GATE, np.float32)
    cells = Cells.of_pixels(Box(0, 0, taken.shape[1], taken.shape[0]))
    for target in targets:
        if target.motion is None or len(targets) == 1:
            continue
        distance = cells.distance(target.motion)
        nearer = (distance <= nearest) & (taken > 0) & (taken != target.id)
        owners[nearer] = target.id
        nearest[nearer] = distance[nearer]
    return owners


def _covered(one: Box, other: Box) -> float:
    """The share of one box that lies in the other."""
    return min(1.0, shared_area(one, other) / (one.width * one.height))


def _slices(box: Box) -> tuple[slice, slice]:
    return (slice(int(box.y_min), int(box.y_min + box.height)),
            slice(int(box.x_min), int(box.x_min + box.width)))
