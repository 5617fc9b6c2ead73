# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth as image_transport's plugin compressedDepth sends it: twelve bytes, then a PNG."""
import struct

import numpy as np

from stm_ros.vision.depth import measured
from stm_ros.vision.errors import InputError
from stm_ros.vision.pictures import MAX_MEGAPIXELS
from stm_ros.vision.pictures import decode_picture

#: the plugin's kind of format, and the two numbers that 32FC1 was quantised by, little-endian
HEADER = struct.Struct('<iff')
_ENCODINGS = ('16UC1', '32FC1')
_MILLIMETRES = 1000.0


def decode_compressed_depth(image_format: str, data: bytes | memoryview | np.ndarray,
                            max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """
    Decode the data of a compressedDepth message into metres: H×W float32, NaN for nothing.

    Of 16UC1 the PNG holds millimetres. Of 32FC1 it holds d, of which depth is A / (d - B) with the
    header's A and B, and 0 for nothing (compressed_depth_image_transport).

    :param image_format: the message's `format`, as `16UC1; compressedDepth png`; `png` may be left
        out, as older releases do.
    :param max_megapixels: millions of pixels; a larger picture is refused undecoded.
    :raises InputError: for another format, such as rvl, and for data that is cut short, no PNG of
        16-bit grey, or too large.
    """
    encoding, _, how = (part.strip() for part in image_format.partition(';'))
    words = how.split()
    if encoding not in _ENCODINGS or words not in (['compressedDepth'], ['compressedDepth', 'png']):
        raise InputError(f'depth of format {image_format!r} is not accepted; accepted are '
                         f'{" and ".join(f"{each}; compressedDepth png" for each in _ENCODINGS)}')
    data = np.frombuffer(data, np.uint8).data
    name = f'compressed depth of {len(data)} bytes, format {image_format!r},'
    if len(data) <= HEADER.size:
        raise InputError(f'{name} is cut short: its header alone has {HEADER.size} bytes')
    _, scale, offset = HEADER.unpack_from(data)
    pixels, _ = decode_picture(data[HEADER.size:], name, max_megapixels)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise InputError(f'{name} holds no 16-bit grey but {pixels.dtype} of shape {pixels.shape}')
    if encoding == '16UC1':
        return measured(pixels.astype(np.float32) / _MILLIMETRES)
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.float32(scale) / (pixels.astype(np.float32) - np.float32(offset))
    return measured(np.where(pixels > 0, depth, np.float32(np.nan)))
