# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Crops of targets, kept with memory frames as evidence for people and language models."""
import cv2
import numpy as np

from stm_ros.vision.boxes import Box
from stm_ros.vision.crops import crop_around_box

JPEG_QUALITY = 90


def crop_jpeg(image: np.ndarray, box: Box, size: int) -> bytes:
    """Cut `box` with a margin out of `image` (H×W×3 uint8 RGB) and encode it as JPEG.

    :param size: the longer side of the crop is at most this many pixels.
    """
    crop = crop_around_box(image, box)
    factor = size / max(crop.shape[:2])
    if factor < 1:
        shape = (max(1, round(crop.shape[1] * factor)), max(1, round(crop.shape[0] * factor)))
        crop = cv2.resize(crop, shape, interpolation=cv2.INTER_AREA)
    encoded, code = cv2.imencode('.jpg', cv2.cvtColor(crop, cv2.COLOR_RGB2BGR),
                                 [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise RuntimeError('OpenCV could not encode a JPEG')
    return code.tobytes()
