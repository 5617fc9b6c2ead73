# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The `~/describe` service: what a vision-language model needs to know, on demand."""
from typing import Any

import cv2
import numpy as np
from std_msgs.msg import Header

from stm_ros.node.conversion import jpeg_message
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.messages import context_message
from stm_ros.tracking import Tracker
from stm_ros.tracking.clean_evidence import MOST_CLEAN
from stm_ros.vision.errors import InputError
from stm_ros.vision.marks import draw_marks
from stm_ros.vision.masks import check_target_id

_LONGER_SIDE = 1024


def describe(tracker: Tracker, request: Any, response: Any, *, image: np.ndarray, header: Header,
             stream: str) -> Any:
    """Look for the targets in `image` (H×W×3 uint8 RGB), memory untouched, and describe them.

    :raises InputError: for a target that is not tracked, or a number of views out of range.
    """
    if not 0 <= request.max_evidence <= MOST_CLEAN:
        raise InputError(f'max_evidence is {request.max_evidence}; accepted are 1..{MOST_CLEAN}, '
                         'and 0 for as many as there may be')
    wanted = request.target_id and check_target_id(request.target_id)
    if wanted and wanted not in tracker.targets:
        raise InputError(f'target {wanted} is not tracked; targets are '
                         f'{", ".join(map(str, tracker.targets)) or "none"}')
    result = tracker.segment(image, stream, nanoseconds(header.stamp))
    chosen = [target for target in result.targets if wanted in (0, target.id)]
    response.targets = [context_message(header, result, target, image,
                                        request.max_evidence or MOST_CLEAN) for target in chosen]
    if not request.without_frame:
        picture = _reduced(draw_marks(image, result.label_map, [item.id for item in chosen]))
        response.frame = [jpeg_message(header, picture)]
    found = sum(target.box is not None for target in chosen)
    response.success = True
    response.message = f'{found} of {len(chosen)} targets are in view'
    return response


def _reduced(picture: np.ndarray) -> np.ndarray:
    factor = _LONGER_SIDE / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
