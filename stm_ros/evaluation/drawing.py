# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A frame with what was found and what is true."""
import cv2
import numpy as np

from stm_ros.evaluation.measures import boundary_map
from stm_ros.evaluation.measures import disk
from stm_ros.vision.palette import PALETTE


def draw_frame(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image (H×W×3 uint8 RGB) with the prediction tinted and the truth's contour in white."""
    colours = PALETTE[prediction]
    tinted = cv2.addWeighted(image, 0.5, colours, 1.0, 0)
    picture = np.where(prediction[..., None] > 0, tinted, image)
    for ident in np.unique(truth[truth > 0]):
        contour = cv2.dilate(boundary_map(truth == ident).astype(np.uint8), disk(1))
        picture[contour > 0] = 255
    return picture
