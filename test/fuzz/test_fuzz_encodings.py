# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever an image message claims and holds: an image, or a refusal."""
from io import BytesIO

import numpy as np
from fuzz_settings import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_fuzz_masks import damaged
from test_fuzz_masks import pictures

from stm_ros.vision.encodings import ENCODINGS
from stm_ros.vision.encodings import decode
from stm_ros.vision.encodings import decode_compressed
from stm_ros.vision.encodings import decode_mask
from stm_ros.vision.errors import InputError

NAMES = st.sampled_from([*ENCODINGS, '', 'rgb', '32FC3', '8SC1']) | st.text(max_size=12)
NUMBERS = st.integers(0, 12) | st.sampled_from([0, 1, 2**31, 2**32 - 1])
FORMATS = st.sampled_from([
    '', 'jpeg', 'png', 'rgb8; jpeg compressed bgr8', 'bayer_rggb8; png compressed ',
    'bayer_grbg16; png compressed ', 'mono16; png compressed ', '16UC1; compressedDepth',
    'bayer_x; jpeg compressed ', 'h264']) | st.text(max_size=20)


@FUZZ
@given(NAMES, st.binary(max_size=300), NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_raw_images(encoding, data, height, width, step, big):
    for read, channels in ((decode, (3,)), (decode_mask, ())):
        try:
            found = read(encoding, data, height, width, step, big)
        except InputError as error:
            assert str(error)
        else:
            assert found.shape == (height, width, *channels)


@st.composite
def fitting(draw) -> tuple[str, bytes, int, int, int]:
    """A message whose length is what its sizes say."""
    encoding = draw(st.sampled_from(ENCODINGS))
    height, width, padding = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(NUMBERS)
    padding = min(padding, 16)
    step = width * draw(st.sampled_from([1, 2, 3, 4, 6, 8])) + padding
    rows = draw(st.sampled_from([height, height * 3 // 2, 3 * height]))
    size = rows * step
    return encoding, draw(st.binary(min_size=size, max_size=size)), height, width, step


@FUZZ
@given(fitting(), st.booleans())
def test_raw_images_of_the_right_length(message, big):
    encoding, data, height, width, step = message
    try:
        found = decode(encoding, data, height, width, step, big)
    except InputError:
        return
    assert found.shape == (height, width, 3) and found.dtype == np.uint8
    found[:] = 7
    assert decode(encoding, data, height, width, step, big).shape == found.shape


@st.composite
def compressed(draw) -> bytes:
    """A picture, whole or damaged, or none."""
    buffer = BytesIO()
    try:
        draw(pictures()).save(buffer, draw(st.sampled_from(['PNG', 'JPEG', 'WEBP', 'TIFF'])))
    except (OSError, ValueError, KeyError):
        return draw(st.binary(max_size=64))
    return damaged(draw, buffer.getvalue())


@FUZZ
@given(FORMATS, compressed(), st.sampled_from([64.0, 0.0001]))
def test_compressed_images(form, data, most):
    try:
        found = decode_compressed(form, data, most)
    except InputError as error:
        assert str(error)
    else:
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
        assert found.shape[0] * found.shape[1] <= most * 1e6
        assert Image.open(BytesIO(data)).size == (found.shape[1], found.shape[0])
