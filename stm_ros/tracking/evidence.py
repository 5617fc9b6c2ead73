# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Crops of targets, kept with memory frames as evidence for people and language models."""
import cv2
import numpy as np

from stm_ros.vision.boxes import Box

JPEG_QUALITY = 90
_MARGIN = 0.15


def crop_jpeg(image: np.ndarray, box: Box, size: int) -> bytes:
    """Cut `box` with a margin out of `image` (H×W×3 uint8 RGB) and encode it as JPEG.

    :param size: the longer side of the crop is at most this many pixels.
    """
    margin = _MARGIN * max(box.width, box.height)
    left, top = max(0, int(box.x_min - margin)), max(0, int(box.y_min - margin))
    right = int(np.ceil(box.x_min + box.width + margin))
    bottom = int(np.ceil(box.y_min + box.height + margin))
    crop = image[top:bottom, left:right]
    factor = size / max(crop.shape[:2])
    if factor < 1:
        shape = (max(1, round(crop.shape[1] * factor)), max(1, round(crop.shape[0] * factor)))
        crop = cv2.resize(crop, shape, interpolation=cv2.INTER_AREA)
    encoded, code = cv2.imencode('.jpg', cv2.cvtColor(crop, cv2.COLOR_RGB2BGR),
                                 [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise RuntimeError('OpenCV could not encode a JPEG')
    return code.tobytes()
