# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What looks like a target and is another thing: appearance ties, place decides.

Memory compares what things look like, so that the copy of a target is found with it. Where a
target is known to be in one place, what is found elsewhere at the same time is something else; it
is followed by its place, and what is found there later is not the target's either. Where the
two meet, nobody can tell them apart by looks: both go on as they went until they part.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from stm_ros.tracking.motion import Motion
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_around
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.boxes import iou_of_boxes
from stm_ros.vision.boxes import shared_area
from stm_ros.vision.prepare import Geometry

#: share of the largest connected part's pixels under which another part is a speck
SPECK_SHARE = 0.1
#: of a target that are followed, the largest first
MOST_LOOK_ALIKES = 4
#: share of the target's pixels that something has at least to be taken for its double
LEAST_SHARE = 0.25
#: for so many frames after the last trusted one a foretold box is exact enough to compare with
EXACT_FRAMES = 5
#: IoU of what is found with the box that was expected, from which it is the same thing
LEAST_OVERLAP = 0.4
#: share of the target's expected box that a look-alike's may hide before they count as met
MOST_SHARED = 0.1
#: by which the sides of something change in a frame at most, where its double may be in the way
MOST_SHRINKING = 0.02
MOST_GROWTH = 0.1
#: frames in which both were seen, from which it is certain that there are two
SURE_FRAMES = 10
#: distance from a box's middle, in half sides, up to which what is found there may belong to it
_REACH = 1.3
#: up to which it may belong to a look-alike that has moved
_FAR = 2.0
_BOX_FIELDS = (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)


@dataclass(frozen=True)
class LookAlike:
    """Something that looks like a target: its motion, and frames in which both were seen."""

    motion: Motion
    together: int = 0


class Parting(NamedTuple):
    """What of a mask is the target's: H×W bool, and its look-alikes after this frame.

    shared: of the target's expected box, the share that the nearest look-alike's covers, in [0, 1].
    """

    own: np.ndarray
    look_alikes: tuple[LookAlike, ...]
    shared: float


class _Part(NamedTuple):
    """A connected part: its number, how many cells it has, and its box in the image."""

    number: int
    cells: int
    box: Box


class Cells:
    """A grid of cells over an image or a part of it, one for each pixel or coarser."""

    def __init__(self, columns: np.ndarray, rows: np.ndarray, size: tuple[float, float]) -> None:
        """Prepare a grid, in pixels of the image.

        :param columns: middles of the cells, and `rows`. :param size: width and height of a cell.
        """
        self.columns = columns.astype(np.float32)
        self.rows = rows.astype(np.float32)
        self.size = size

    @classmethod
    def of_pixels(cls, box: Box) -> 'Cells':
        """The pixels in a box of whole numbers."""
        return cls(box.x_min + np.arange(box.width) + 0.5, box.y_min + np.arange(box.height) + 0.5,
                   (1.0, 1.0))

    @classmethod
    def of_input(cls, geometry: Geometry, size: int) -> 'Cells':
        """Cells of size×size pixels of the network's padded input."""
        scales = [source / resized
                  for source, resized in zip(geometry.source, geometry.resized, strict=True)]
        rows, columns = (
            ((np.arange(padded // size) + 0.5) * size - offset) * scale for padded, offset, scale
            in zip(geometry.padded, geometry.offset, scales, strict=True))
        return cls(columns, rows, (scales[1] * size, scales[0] * size))

    def distance(self, box: Box) -> np.ndarray:
        """H×W: from a box's middle, in half sides, along the worse axis; 1 on its edge."""
        across = np.abs(self.columns - (box.x_min + box.width / 2)) / (box.width / 2)
        down = np.abs(self.rows - (box.y_min + box.height / 2)) / (box.height / 2)
        return np.maximum(across[None], down[:, None])

    def box_of(self, found: np.ndarray) -> Box | None:
        """The box around cells, H×W bool, specks left out; None where there are none."""
        _, parts = self.parts_of(found)
        least = SPECK_SHARE * max((part.cells for part in parts), default=0)
        boxes = [part.box for part in parts if part.cells >= least]
        return box_around(boxes) if boxes else None

    def in_image(self, inner: Box) -> Box:
        """The box in the image of one that is counted in cells."""
        width, height = self.size
        return Box(float(self.columns[int(inner.x_min)]) - width / 2,
                   float(self.rows[int(inner.y_min)]) - height / 2,
                   inner.width * width, inner.height * height)

    def parts_of(self, found: np.ndarray) -> tuple[np.ndarray, list[_Part]]:
        """Number the connected parts of cells, H×W bool: the numbers H×W, and the parts."""
        count, numbers, table, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
        boxes = [Box(*(float(table[number, field]) for field in _BOX_FIELDS))
                 for number in range(1, count)]
        return numbers, [_Part(number, int(table[number, cv2.CC_STAT_AREA]), self.in_image(box))
                         for number, box in enumerate(boxes, start=1)]


def tell_apart(mask: np.ndarray, alike: np.ndarray, cells: Cells, motion: Motion | None,
         known: Sequence[LookAlike]) -> Parting:
    """Take what is a look-alike's out of a mask H×W bool of the target.

    :param alike: h×w bool, on `cells`: all that looks like the target's references.
    :param motion: the target's, None where nobody knows its place.
    :param known: its look-alikes until now.
    """
    expected = None if motion is None else motion.expected_box
    boxes = [each.motion.expected_box for each in known]
    shared = max((_covered(expected, box) for box in boxes), default=0.0) if expected else 0.0
    # two that have met cannot be told apart by what they look like
    met = shared > MOST_SHARED
    own = mask
    if known:
        own = _own(mask, expected, boxes)
        theirs = _divide(alike, cells, expected, boxes)
        moved = [_follow(each, cells.box_of(found), met, bool(own.any()))
                 for each, found in zip(known, theirs, strict=True)]
        known = [each for each in moved if each is not None]
    if expected is not None and motion is not None and motion.coasted <= EXACT_FRAMES and not met:
        new = _discover(alike, cells, expected, boxes)
        if new and _is_in_place(own, expected):
            own = _own(own, expected, [*boxes, *(each.motion.box for each in new)])
            known = [*known, *new]
    return Parting(own, tuple(known[:MOST_LOOK_ALIKES]), shared)


def _own(mask: np.ndarray, expected: Box | None, others: Sequence[Box]) -> np.ndarray:
    """What of a mask H×W bool is nearer to where the target is expected than to the others."""
    box = box_of_mask(mask)
    if box is None:
        return mask
    place, cells = _slices(box), Cells.of_pixels(box)
    distances = np.stack([cells.distance(other) for other in others]).min(axis=0)
    if expected is None:
        found = mask[place] & (distances > _REACH)
    else:
        to_target = cells.distance(expected)
        found = _near_parts(
            mask[place] & ((to_target <= distances) | (to_target <= 1)), cells, expected)
    own = np.zeros_like(mask)
    own[place] = found
    return own


def _near_parts(found: np.ndarray, cells: Cells, expected: Box) -> np.ndarray:
    """What of cells H×W bool comes near where the target is expected, specks left out."""
    numbers, parts = cells.parts_of(found)
    least = SPECK_SHARE * max((part.cells for part in parts if _is_near(part.box, expected)),
                              default=0)
    away = [part.number for part in parts
            if part.cells < least or not _is_near(part.box, expected)]
    return found & ~np.isin(numbers, away) if away else found


def _is_in_place(mask: np.ndarray, expected: Box) -> bool:
    """Whether the target, a mask H×W bool and perhaps more, is where it was expected."""
    box = box_of_mask(mask)
    if box is None:
        return False
    cells = Cells.of_pixels(box)
    near = box_of_mask(_near_parts(mask[_slices(box)], cells, expected))
    return near is not None and iou_of_boxes(cells.in_image(near), expected) >= LEAST_OVERLAP


def _divide(alike: np.ndarray, cells: Cells, expected: Box | None, others: Sequence[Box]
            ) -> list[np.ndarray]:
    """What of `alike` is whose: each one's is what is in its box, or nearest to it."""
    distances = np.stack([cells.distance(box) for box in others])
    nearest = distances.argmin(axis=0)
    is_own = False if expected is None else cells.distance(expected) <= distances.min(axis=0)
    return [alike & (nearest == index) & (distance <= _FAR) & ((distance <= 1) | ~is_own)
            for index, distance in enumerate(distances)]


def _follow(known: LookAlike, box: Box | None, met: bool, target_seen: bool
            ) -> LookAlike | None:
    """A look-alike after a frame; None where it has not been seen for too long."""
    if met or box is None or iou_of_boxes(box, known.motion.expected_box) < LEAST_OVERLAP:
        moved = known.motion.unseen()
        return None if moved is None else LookAlike(moved, known.together)
    whole = completed(box, known.motion.expected_box)
    return LookAlike(known.motion.seen(whole), known.together + target_seen)


def completed(seen: Box, expected: Box) -> Box:
    """The box of something of which perhaps a part was seen: hardly another size than expected,
    and no farther from where it was expected than what was seen of it demands."""
    x_min, width = _completed(seen.x_min, seen.width, expected.x_min, expected.width)
    y_min, height = _completed(seen.y_min, seen.height, expected.y_min, expected.height)
    return Box(x_min, y_min, width, height)


def _completed(seen: float, seen_extent: float, expected: float, extent: float
               ) -> tuple[float, float]:
    """Start and extent along one axis."""
    extent = min(max(seen_extent, (1 - MOST_SHRINKING) * extent), (1 + MOST_GROWTH) * extent)
    first, last = sorted((seen, seen + seen_extent - extent))
    return min(max(expected, first), last), extent


def _discover(alike: np.ndarray, cells: Cells, expected: Box, others: Sequence[Box]
              ) -> list[LookAlike]:
    """What looks like the target and is apart from it, and from what is known."""
    box = box_of_mask(alike)
    if box is None or _covered(cells.in_image(box), _enlarged(expected)) >= 1:
        return []
    _, parts = cells.parts_of(alike)
    least = LEAST_SHARE * max((part.cells for part in parts if _is_near(part.box, expected)),
                              default=np.inf)
    away = [part for part in parts if part.cells >= least and not any(
        _is_near(part.box, place) for place in (expected, *others))]
    return [LookAlike(Motion(part.box), 1)
            for part in sorted(away, key=lambda part: -part.cells)]


def _is_near(box: Box, place: Box) -> bool:
    """Whether a box comes within reach of a place."""
    return _covered(box, _enlarged(place)) > 0


def _enlarged(box: Box) -> Box:
    more = _REACH - 1
    return Box(box.x_min - more / 2 * box.width, box.y_min - more / 2 * box.height,
               _REACH * box.width, _REACH * box.height)


def _covered(one: Box, other: Box) -> float:
    """The share of one box that lies in the other."""
    return min(1.0, shared_area(one, other) / (one.width * one.height))


def _slices(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box of whole numbers."""
    return (slice(int(box.y_min), int(box.y_min + box.height)),
            slice(int(box.x_min), int(box.x_min + box.width)))
