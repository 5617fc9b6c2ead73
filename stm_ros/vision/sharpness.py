# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How much of a picture can be made out: fine detail, which blur and darkness take away."""
import cv2
import numpy as np

LEAST_SIDE = 8


def detail(picture: np.ndarray, longer_side: int) -> float:
    """Standard deviation of the Laplacian of a picture's grey values, in grey levels.

    Blur and darkness lower it, and so does enlarging: pictures are comparable at one size only,
    to which `picture` (H×W×3 uint8 RGB) is reduced first. Single pixels are smoothed away, since
    noise is no detail.

    :param longer_side: of the reduced picture, in pixels; smaller ones are left as they are.
    """
    grey: np.ndarray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    factor = max(LEAST_SIDE, longer_side) / max(grey.shape)
    if factor < 1:
        size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(cv2.GaussianBlur(grey, (3, 3), 0), cv2.CV_32F).std())
