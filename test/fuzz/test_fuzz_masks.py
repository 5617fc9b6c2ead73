# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever file is handed over as a mask: understood and said, or refused; never changed."""
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from fuzz_settings import FUZZ
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from stm_ros.evaluation.annotations import read_annotation
from stm_ros.evaluation.annotations import read_prediction
from stm_ros.evaluation.annotations import style_of
from stm_ros.replay.reference import show_reference
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.masks import MIN_ID_PIXELS
from stm_ros.vision.masks import show_targets
from stm_ros.vision.palette import PALETTE

SIDES = st.integers(1, 24)
FORMS = st.sampled_from(['PNG', 'JPEG', 'WEBP', 'TIFF', 'BMP', 'PPM'])


@st.composite
def values(draw) -> np.ndarray:
    """H×W uint8 with few values in blocks, or noise, or a ramp."""
    height, width = draw(SIDES), draw(SIDES)
    kind = draw(st.sampled_from(['blocks', 'noise', 'ramp', 'binary']))
    if kind == 'noise':
        return draw(arrays.arrays(np.uint8, (height, width)))
    if kind == 'ramp':
        step = draw(st.integers(1, 40))
        return (np.add.outer(np.arange(height), np.arange(width)) * step).astype(np.uint8)
    levels = st.sampled_from([0, 255]) if kind == 'binary' else st.integers(0, 255)
    picture = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        picture[top:top + draw(SIDES), left:left + draw(SIDES)] = draw(levels)
    return picture


@st.composite
def pictures(draw) -> Image.Image:
    """A picture of any mode that a mask was ever stored in."""
    plane = draw(values())
    mode = draw(st.sampled_from(['L', '1', 'P', 'LA', 'RGB', 'RGBA', 'I;16', 'F', 'CMYK', 'davis']))
    if mode == 'davis':
        return Image.fromarray(PALETTE[plane])
    if mode == 'P':
        picture = Image.fromarray(plane, 'P')
        size = draw(st.integers(0, 256))
        picture.putpalette(draw(st.binary(min_size=3 * size, max_size=3 * size)))
        return picture
    if mode == 'I;16':
        return Image.fromarray(plane.astype(np.uint16) * np.uint16(draw(st.integers(1, 257))))
    if mode == 'F':
        return Image.fromarray(plane.astype(np.float32) / np.float32(draw(st.integers(1, 300))))
    if mode in ('LA', 'RGBA'):
        alpha = np.resize(draw(values()), plane.shape)
        colours = [plane] * (1 if mode == 'LA' else 3)
        return Image.fromarray(np.dstack((*colours, alpha)), mode)
    return Image.fromarray(plane).convert(mode)


@st.composite
def files(draw) -> bytes:
    """A picture file, whole or damaged."""
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(0, 9))
    try:
        draw(pictures()).save(buffer, draw(FORMS), exif=exif)
    except (OSError, ValueError, KeyError):
        return draw(st.binary(max_size=64))
    return damaged(draw, buffer.getvalue())


def damaged(draw, data: bytes) -> bytes:
    how = draw(st.sampled_from(['whole', 'whole', 'cut', 'changed']))
    if how == 'cut':
        return data[:draw(st.integers(0, len(data)))]
    if how == 'changed':
        changed = bytearray(data)
        for _ in range(draw(st.integers(1, 8))):
            changed[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    return data


def check(label_map: np.ndarray, meaning: str) -> None:
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    assert label_map.dtype == np.uint8 and meaning
    assert counts[1:].any() and not counts[255]
    assert all(count == 0 or count >= MIN_ID_PIXELS for count in counts[1:])


@FUZZ
@given(values(), st.none() | st.integers(-1, 256), st.booleans(), st.booleans())
@example(np.full((5, 5), 255, np.uint8), None, False, False)
def test_values(plane, target, is_lossy, is_wide):
    before = plane.copy()
    shown = plane.astype(np.uint16) * np.uint16(257 if is_lossy else 1) if is_wide else plane
    try:
        found = show_targets(shown, target, is_lossy=is_lossy)
    except InputError as error:
        assert len(str(error)) > 20
    else:
        check(found.label_map, found.meaning)
        assert (found.label_map == 0).any(), 'some background is left'
        assert target is None or found.ids == (target,)
    assert np.array_equal(plane, before)


@FUZZ
@given(files(), st.none() | st.integers(1, 254))
def test_files(data, target):
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'mask.png'
        path.write_bytes(data)
        try:
            image = read_image(path)
        except InputError:
            image = np.zeros((8, 8, 3), np.uint8)
        assert image.ndim == 3 and image.dtype == np.uint8
        try:
            found = show_reference(image, path, path, target_id=target)
        except InputError as error:
            assert str(path) in str(error) or len(str(error)) > 20
        else:
            check(found.label_map, found.meaning)
        try:
            style, ids = style_of(path)
            for read in (read_annotation, read_prediction):
                assert read(path, style, frozenset(ids or (1,))).dtype == np.uint8
        except InputError:
            pass
        assert path.read_bytes() == data
        assert list(Path(folder).iterdir()) == [path]
