# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures between camera and browser: JPEG, outlines of masks, thumbnails, painted masks."""
import base64
import binascii
import json
import struct
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from stm_ros.console.snapshots import TargetView
from stm_ros.vision.errors import InputError
from stm_ros.vision.overlay import target_colour

#: longest side in pixels of the picture that a browser gets; masks keep the source's pixels
LONGEST_SIDE = 1280
THUMBNAIL_HEIGHT = 108
MAX_OUTLINE_POINTS = 3000
MAX_MASK_BYTES = 900_000
_VIEW_QUALITY = 82
_THUMBNAIL_QUALITY = 80
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_LENGTH = struct.Struct('>I')


def jpeg(pixels: np.ndarray, quality: int = _VIEW_QUALITY) -> bytes:
    """H×W×3 uint8 RGB as JPEG."""
    _, code = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, quality])
    return code.tobytes()


def thumbnail(pixels: np.ndarray) -> bytes:
    """H×W×3 uint8 RGB as a JPEG of THUMBNAIL_HEIGHT rows."""
    height, width = pixels.shape[:2]
    columns = max(1, min(4 * THUMBNAIL_HEIGHT, round(width * THUMBNAIL_HEIGHT / height)))
    return jpeg(cv2.resize(pixels, (columns, THUMBNAIL_HEIGHT), interpolation=cv2.INTER_AREA),
                _THUMBNAIL_QUALITY)


def outlines(label_map: np.ndarray, target_id: int) -> list[list[int]]:
    """The closed outlines of a target, holes included, each as x0, y0, x1, y1, ... in pixels.

    Together they have about MAX_OUTLINE_POINTS at most: a frayed mask is drawn more coarsely.
    """
    mask = (label_map == target_id).astype(np.uint8)
    found = list(cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0])
    slack = 0.5
    while sum(map(len, found)) > MAX_OUTLINE_POINTS:
        least = slack * slack
        found = [cv2.approxPolyDP(each, slack, True) for each in found
                 if cv2.contourArea(each) >= least]
        slack *= 2
    return [each.reshape(-1).tolist() for each in found if len(each)]


def css_colour(target_id: int) -> str:
    """The colour of a target, as the overlays of the node have it."""
    return '#{:02x}{:02x}{:02x}'.format(*target_colour(target_id))


def pack(pixels: np.ndarray, label_map: np.ndarray | None, targets: Sequence[TargetView],
         sequence: int, stamp_ns: int) -> bytes:
    """What the browser draws: the length of a JSON (4 bytes, big-endian), the JSON, a JPEG."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    # a stamp has more digits than a number of JavaScript
    about: dict[str, Any] = {
        'sequence': sequence, 'stamp': f'{stamp_ns / 1e9:.3f}', 'width': width, 'height': height,
        'answered': label_map is not None, 'targets': [
            {'id': each.id, 'name': each.name, 'state': each.state, 'box': each.box,
             'confidence': round(each.confidence, 3), 'colour': css_colour(each.id),
             'outlines': [] if label_map is None else outlines(label_map, each.id)}
            for each in targets]}
    text = json.dumps(about, separators=(',', ':')).encode()
    return _LENGTH.pack(len(text)) + text + jpeg(pixels)


def mask_url(mask: np.ndarray) -> str:
    """H×W bool as a data URL of a PNG, white where it is true and transparent elsewhere."""
    picture = np.zeros((*mask.shape, 4), np.uint8)
    picture[mask] = 255
    code = cv2.imencode('.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1].tobytes()
    return data_url(code, 'png')


def data_url(code: bytes, kind: str = 'jpeg') -> str:
    """An encoded picture as a URL that the page can show without asking for it."""
    return f'data:image/{kind};base64,' + base64.b64encode(code).decode()


def painted_mask(url: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The mask H×W bool that a browser painted: a PNG as data URL, opaque where it is true.

    :param shape: H and W that it must have, pixels.
    :raises InputError: where it is no such picture, too large, or nothing is painted.
    """
    head, _, text = url.partition(',') if isinstance(url, str) else ('', '', '')
    if head != 'data:image/png;base64' or len(text) > MAX_MASK_BYTES:
        raise InputError('the painted mask is no PNG, or larger than '
                         f'{MAX_MASK_BYTES // 1000} kB')
    try:
        code = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InputError('the painted mask is damaged') from error
    size = code[16:24]
    # the size is read before any pixel is unpacked
    if code[:8] != _PNG_SIGNATURE or size != struct.pack('>II', shape[1], shape[0]):
        raise InputError(f'the painted mask is not a PNG of {shape[1]}×{shape[0]} pixels')
    pixels = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        raise InputError('the painted mask is not a PNG of 8 bits with transparency')
    mask = pixels[..., 3] > 127
    if not mask.any():
        raise InputError('nothing is marked yet: draw a box, click on the target or paint it')
    return mask
