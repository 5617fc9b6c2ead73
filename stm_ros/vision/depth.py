# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a target is in space: its mask laid over an aligned depth image."""
from dataclasses import dataclass
from math import ceil
from math import radians
from math import tan

import cv2
import numpy as np

from stm_ros.vision.camera import Camera
from stm_ros.vision.encodings import decode_samples
from stm_ros.vision.errors import InputError
from stm_ros.vision.oriented_box import OrientedBox
from stm_ros.vision.oriented_box import fit_oriented_box

DEPTH_ENCODINGS = ('16UC1', 'mono16', '32FC1')
#: fewer points than this say nothing about a box
LEAST_POINTS = 16
_MILLIMETRES = 1000.0
_FARTHEST = 1000.0
# of a surface that turns away further, depth cameras see nothing
_STEEPEST = tan(radians(80))
# masks are decoded at a quarter of the network's input, so an edge may be off by half of that
_HALF_MASK_CELL = 2.0
# pixels across which a depth camera mixes what lies in front and behind
_MIXED = 1.0
_SPREAD = 6.0
_BREADTH_SHARE = 4.0
_LEAST_REJECTED = 0.05


@dataclass(frozen=True, eq=False)
class TargetPoints:
    """The part of a depth image that is a target's surface.

    points: N×3 float32, metres, in the camera's optical frame (x right, y down, z forward). rows,
    columns: N int64, their pixels. valid_share: of the mask, cut back, what has valid depth.
    rejected_share: of that, what was taken for something else. margin: how far the mask was cut
    back, in metres at the depth of the points; 0 where there are none.
    """

    points: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    valid_share: float
    rejected_share: float
    margin: float

    @property
    def centroid(self) -> np.ndarray:
        """Mean of the points, 3 float64; there must be at least one."""
        return self.points.mean(axis=0, dtype=np.float64)

    def box(self) -> OrientedBox | None:
        """The smallest box around the points, None where they are too few."""
        if len(self.points) < LEAST_POINTS:
            return None
        return fit_oriented_box(self.points, depth_noise(float(np.median(self.points[:, 2]))))


def decode_depth(encoding: str, data: bytes | memoryview | np.ndarray, *, height: int, width: int,
                 step: int, is_bigendian: bool | int = False) -> np.ndarray:
    """
    Decode a depth image into metres: H×W float32, NaN where nothing was measured.

    16UC1 and mono16 are millimetres with 0 for nothing, 32FC1 is metres (REP 118). What is not
    finite, not positive or beyond a kilometre counts as nothing measured.

    :raises InputError: for another encoding, or as `encodings.decode` does.
    """
    if encoding not in DEPTH_ENCODINGS:
        raise InputError(f'depth encoding {encoding!r} is not accepted; accepted are '
                         f'{", ".join(DEPTH_ENCODINGS)}: aligned depth in millimetres or metres')
    samples = decode_samples(encoding, data, height=height, width=width, step=step,
                             is_bigendian=is_bigendian)[..., 0]
    depth = samples.astype(np.float32)
    if samples.dtype == np.uint16:
        depth /= _MILLIMETRES
    return measured(depth)


def measured(depth: np.ndarray) -> np.ndarray:
    """Depth in metres, H×W float32, with NaN where it is not positive or beyond a kilometre."""
    # comparisons with what is not a number are false
    return np.where((depth > 0) & (depth <= _FARTHEST), depth, np.float32(np.nan))


def depth_noise(depth: float) -> float:
    """Standard deviation in metres of a depth of so many metres.

    Nguyen, Izadi and Lovell, "Modeling Kinect Sensor Noise for Improved 3D Reconstruction and
    Tracking", 3DIMPVT 2012: structured light; later stereo and time-of-flight cameras are alike.
    """
    return 0.0012 + 0.0019 * (depth - 0.4) ** 2


def edge_width(shorter_side: int, input_size: int) -> int:
    """How far masks are cut back along their edges, in pixels of the source image.

    Half a cell of the grid on which masks are decoded, as large as it is in the source image, and
    one pixel across which the depth camera mixes near and far.

    :param input_size: shorter side that the network sees; 0 where images are left as they are.
    """
    factor = shorter_side / input_size if 0 < input_size < shorter_side else 1.0
    return ceil(_HALF_MASK_CELL * factor + _MIXED)


def cut_back(mask: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """The core of a mask (H×W bool), `width` pixels from its edge, and how many these were.

    At least half of the mask stays: what is thinner is cut back by less. The image's border is
    no edge.
    """
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    half = mask.sum() / 2
    for taken in range(width, 0, -1):
        core = distance > taken
        if core.sum() >= half:
            return core, taken
    return mask, 0


def target_points(mask: np.ndarray, depth: np.ndarray, camera: Camera, *, confidence: float,
                  edge: int) -> TargetPoints:
    """
    The points of a target in space.

    Only the mask's core counts (see `cut_back`), and of that only valid depth. Depths are sorted
    into bins that a surface cannot jump: six standard deviations of the noise, or what a surface
    turned away by 80 degrees falls within one pixel. A surface that passes a bin fills it with a
    pixel in every line across the mask; a bin with less than a quarter of that holds stray pixels,
    which are rejected. Bins without a gap make a layer. The layer with most pixels is the target.
    Of a mask whose expected IoU is `confidence`, at most a share of 1 - confidence is not the
    target (precision is never less than IoU), so a layer with more pixels than that, and than
    5 %, is a part of the target too, such as the far leg of a chair; one with fewer is rejected.

    :param mask: H×W bool. depth: H×W float32, metres, NaN where there is none.
    :param confidence: expected IoU of the mask with the truth, in [0, 1].
    :param edge: pixels to cut back, see `edge_width`.
    :raises InputError: where mask, depth and camera differ in size.
    """
    if mask.shape != depth.shape or mask.shape != camera.size:
        raise InputError(
            f'the depth image has {depth.shape[1]}×{depth.shape[0]} pixels, the image '
            f'{mask.shape[1]}×{mask.shape[0]}; depth must be aligned to it, pixel by pixel')
    left, top, across, down = cv2.boundingRect(mask.astype(np.uint8))
    # with a pixel of background around, where there is one: the image's border is no edge
    left, top = max(0, left - 1), max(0, top - 1)
    part = np.s_[top:top + down + 2, left:left + across + 2]
    core, taken = cut_back(mask[part], edge)
    rows, columns = np.nonzero(core)
    values = depth[part][rows, columns]
    rows, columns = rows + top, columns + left
    valid = np.isfinite(values)
    share = float(valid.mean()) if valid.size else 0.0
    rows, columns, values = rows[valid], columns[valid], values[valid].astype(np.float64)
    if not values.size:
        nothing = np.zeros(0, np.int64)
        return TargetPoints(np.zeros((0, 3), np.float32), nothing, nothing, share, 0.0, 0.0)
    kept = _own_layers(values, camera.focal, share * _breadth(core),
                       max(1 - confidence, _LEAST_REJECTED))
    rejected = 1 - float(kept.mean())
    rows, columns, values = rows[kept], columns[kept], values[kept]
    rays = camera.rays(rows, columns)
    points = np.column_stack((rays * values[:, None], values)).astype(np.float32)
    margin = taken * float(np.median(values)) / camera.focal if values.size else 0.0
    return TargetPoints(points, rows, columns, share, rejected, margin)


def _breadth(core: np.ndarray) -> float:
    """Mean number of pixels in a line across a mask (H×W bool, not empty)."""
    height = np.ptp(np.flatnonzero(core.any(axis=1))) + 1
    width = np.ptp(np.flatnonzero(core.any(axis=0))) + 1
    return float(core.sum() / max(height, width))


def _own_layers(values: np.ndarray, focal: float, breadth: float, least_share: float
                ) -> np.ndarray:
    """Which of some depths (N float64, metres) are the target's: N bool."""
    middle = float(np.median(values))
    width = max(_SPREAD * depth_noise(middle), _STEEPEST * middle / focal)
    bins = ((values - values.min()) / width).astype(np.int64)
    counts = np.bincount(bins)
    is_filled = counts >= max(1.0, breadth / _BREADTH_SHARE)
    starts = is_filled & ~np.concatenate(([False], is_filled[:-1]))
    layers = np.where(is_filled, np.cumsum(starts), 0)
    sizes = np.bincount(layers, weights=counts)
    sizes[0] = 0
    is_own = sizes >= max(1.0, least_share * values.size)
    is_own[int(np.argmax(sizes))] = True
    is_own[0] = False
    return is_own[layers[bins]]
