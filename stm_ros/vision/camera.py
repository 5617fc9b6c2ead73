# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A calibrated camera: which direction each pixel looks in."""
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stm_ros.vision.errors import InputError

_RADIAL = ('', 'plumb_bob', 'rational_polynomial')
_FISHEYE = ('equidistant', 'fisheye')
_FISHEYE_COEFFICIENTS = 4
_OPENCV_COEFFICIENTS = (4, 5, 8, 12, 14)


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of an image as it is, crop and binning included.

    matrix: 3×3 float64, pixels; the centre of the upper left pixel is (0, 0). distortion: of
    `model`, a ROS distortion model; empty where lines are straight. size: (H, W) in pixels.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    distortion: np.ndarray
    model: str = 'plumb_bob'

    def __post_init__(self) -> None:
        """Check that pixels have directions.

        :raises InputError: without a focal length, or for an unknown distortion model.
        """
        if not (np.isfinite(self.matrix).all() and self.matrix[0, 0] > 0 < self.matrix[1, 1]):
            raise InputError('the camera is not calibrated: its CameraInfo has focal lengths '
                             f'{self.matrix[0, 0]:g} and {self.matrix[1, 1]:g}; positive ones are '
                             'needed')
        if not self.distortion.size:
            return
        if self.model not in (*_RADIAL, *_FISHEYE):
            raise InputError(f'distortion model {self.model!r} is unknown; known are '
                             f'{", ".join([*_RADIAL[1:], *_FISHEYE])}')
        accepted = ((_FISHEYE_COEFFICIENTS,) if self.model in _FISHEYE else _OPENCV_COEFFICIENTS)
        if self.distortion.size not in accepted:
            raise InputError(f'{self.distortion.size} coefficients of distortion; accepted are '
                             f'{", ".join(map(str, accepted))}')

    @property
    def focal(self) -> float:
        """Mean focal length, px."""
        return float((self.matrix[0, 0] + self.matrix[1, 1]) / 2)

    def rays(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where pixels look: N×2 float64, x and y at a depth of 1, in the optical frame."""
        pixels = np.stack((columns, rows), axis=1).astype(np.float64)
        if self.distortion.size and len(pixels):
            undistort = (cv2.fisheye.undistortPoints if self.model in _FISHEYE
                         else cv2.undistortPoints)
            return undistort(pixels[:, None], self.matrix, self.distortion)[:, 0]
        y = (pixels[:, 1] - self.matrix[1, 2]) / self.matrix[1, 1]
        # cameras of ROS may have skew, which is nearly always 0
        x = (pixels[:, 0] - self.matrix[0, 2] - self.matrix[0, 1] * y) / self.matrix[0, 0]
        return np.stack((x, y), axis=1)


@dataclass(frozen=True)
class Calibration:
    """What sensor_msgs/CameraInfo says; see there for the fields' meaning."""

    size: tuple[int, int]
    k: Sequence[float]
    p: Sequence[float]
    d: Sequence[float]
    model: str = 'plumb_bob'
    binning: tuple[int, int] = (1, 1)
    offset: tuple[int, int] = (0, 0)


def camera_of(calibration: Calibration, image_size: tuple[int, int],
              is_rectified: bool = False) -> Camera:
    """The camera of an image of `image_size` (H, W).

    :param is_rectified: the image was rectified: P holds its intrinsics, and there is no
        distortion.
    :raises InputError: where the calibration is of another size or has no focal length.
    """
    flat = np.asarray(calibration.p if is_rectified else calibration.k, np.float64)
    matrix = (flat.reshape(3, 4)[:, :3] if is_rectified else flat.reshape(3, 3)).copy()
    across, down = (max(1, number) for number in calibration.binning)
    left, top = calibration.offset
    matrix[0, 2] -= left
    matrix[1, 2] -= top
    matrix[0] /= across
    matrix[1] /= down
    distortion = np.zeros(0) if is_rectified else np.asarray(calibration.d, np.float64)
    if not distortion.any():
        distortion = np.zeros(0)
    if image_size != calibration.size:
        raise InputError(
            f'the CameraInfo is of images of {calibration.size[1]}×{calibration.size[0]} pixels, '
            f'the image has {image_size[1]}×{image_size[0]}; they must be the same')
    return Camera(matrix, image_size, distortion, calibration.model)
