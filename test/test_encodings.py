# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every encoding of an image message, against pixels computed here in another way."""
import array
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.vision.encodings import ENCODINGS
from stm_ros.vision.encodings import decode
from stm_ros.vision.encodings import decode_compressed
from stm_ros.vision.encodings import decode_mask
from stm_ros.vision.errors import InputError

HEIGHT, WIDTH = 6, 8


def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def grey() -> np.ndarray:
    return picture()[..., 0]


def rows_of(samples: np.ndarray, big: bool = False, padding: int = 0) -> tuple[bytes, int]:
    """Lay samples out as a message does, with `padding` bytes of 0xAB after each row."""
    stored = samples.astype(samples.dtype.newbyteorder('>' if big else '<'))
    packed = [row.tobytes() + b'\xab' * padding for row in stored]
    return b''.join(packed), len(packed[0])


def as_grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=2)


WIDE = picture().astype(np.uint16) * 257
CASES = {
    'mono8': (grey(), as_grey(grey())),
    '8UC1': (grey(), as_grey(grey())),
    'mono16': (WIDE[..., 0], as_grey(grey())),
    '16UC1': (WIDE[..., 0], as_grey(grey())),
    '32FC1': (grey().astype(np.float32) / 255, as_grey(grey())),
    'rgb8': (picture(), picture()),
    'bgr8': (picture()[..., ::-1], picture()),
    '8UC3': (picture()[..., ::-1], picture()),
    'rgba8': (np.dstack((picture(), grey())), picture()),
    'bgra8': (np.dstack((picture()[..., ::-1], grey())), picture()),
    '8UC4': (np.dstack((picture()[..., ::-1], grey())), picture()),
    'rgb16': (WIDE, picture()),
    'bgr16': (WIDE[..., ::-1], picture()),
    'rgba16': (np.dstack((WIDE, WIDE[..., 0])), picture()),
    'bgra16': (np.dstack((WIDE[..., ::-1], WIDE[..., 0])), picture())}


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('encoding', sorted(CASES))
def test_interleaved_encodings(encoding, big, padding):
    samples, expected = CASES[encoding]
    data, step = rows_of(samples, big, padding)
    assert np.array_equal(decode(encoding, data, HEIGHT, WIDTH, step, big), expected)


def test_accepts_what_rclpy_hands_over():
    data, step = rows_of(picture())
    for container in (array.array('B', data), bytearray(data), np.frombuffer(data, np.uint8)):
        assert np.array_equal(decode('rgb8', container, HEIGHT, WIDTH, step), picture())


def test_the_result_is_fresh_and_writable():
    data = np.frombuffer(rows_of(picture())[0], np.uint8).copy()
    rgb = decode('rgb8', data, HEIGHT, WIDTH, WIDTH * 3)
    rgb[:] = 0
    assert data.any()


@given(value=st.integers(0, 65535))
def test_sixteen_bits_round_to_the_nearest_eighth(value):
    data = np.array([value], '<u2').tobytes()
    assert decode('mono16', data, 1, 1, 2)[0, 0, 0] == int(value / 257 + 0.5)


@pytest.mark.parametrize('order', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_of_one_colour(order, bits):
    """A mosaic of one colour must give that colour everywhere; each site has its own filter."""
    colour = {'r': 200, 'g': 90, 'b': 20}
    scale = 257 if bits == 16 else 1
    tile = np.array([colour[c] for c in order]).reshape(2, 2) * scale
    mosaic = np.tile(tile, (HEIGHT // 2, WIDTH // 2)).astype(np.uint16 if bits == 16 else np.uint8)
    data, step = rows_of(mosaic, big=True, padding=4)
    rgb = decode(f'bayer_{order}{bits}', data, HEIGHT, WIDTH, step, True)
    assert (rgb == (200, 90, 20)).all()


def yuv_to_rgb(luma: float, blue: float, red: float) -> np.ndarray:
    """ITU-R BT.601, limited range, from the standard's own constants."""
    y = (luma - 16) * 255 / 219
    u, v = (np.array((blue, red)) - 128) * 255 / 224
    return np.array((y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u)).clip(0, 255)


def yuv_planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma that changes at every pixel, chroma constant in blocks of 2×2."""
    rng = np.random.default_rng(7)
    luma = rng.integers(16, 236, (HEIGHT, WIDTH), dtype=np.uint8)
    blocks = rng.integers(60, 196, (2, HEIGHT // 2, WIDTH // 2), dtype=np.uint8)
    blue, red = blocks.repeat(2, axis=1).repeat(2, axis=2)
    return luma, blue, red


def pack_yuv(encoding: str) -> np.ndarray:
    """Return the buffer's rows (rows×bytes) for `yuv_planes` in `encoding`."""
    luma, blue, red = yuv_planes()
    chroma = np.where(np.arange(WIDTH) % 2 == 0, blue, red)
    if encoding in ('yuv422', 'uyvy'):
        return np.dstack((chroma, luma)).reshape(HEIGHT, -1)
    if encoding in ('yuv422_yuy2', 'yuyv'):
        return np.dstack((luma, chroma)).reshape(HEIGHT, -1)
    if encoding == 'nv24':
        return np.vstack((luma, np.dstack((blue, red)).reshape(2 * HEIGHT, WIDTH)))
    swapped = np.where(np.arange(WIDTH) % 2 == 0, red, blue)
    return np.vstack((luma, (chroma if encoding == 'nv12' else swapped)[::2]))


YUV = ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'nv24']


@pytest.mark.parametrize('encoding', YUV)
def test_yuv_encodings(encoding):
    luma, blue, red = (plane.astype(float) for plane in yuv_planes())
    rows = pack_yuv(encoding)
    rgb = decode(encoding, rows.tobytes(), HEIGHT, WIDTH, rows.shape[1])
    expected = np.array([[yuv_to_rgb(luma[y, x], blue[y, x], red[y, x])
                          for x in range(WIDTH)] for y in range(HEIGHT)])
    assert np.abs(rgb - expected).max() <= 2


@pytest.mark.parametrize('encoding', [name for name in YUV if name != 'nv24'])
def test_padded_yuv(encoding):
    rows = pack_yuv(encoding)
    padded = np.pad(rows, ((0, 0), (0, 6)), constant_values=171)
    assert np.array_equal(
        decode(encoding, padded.tobytes(), HEIGHT, WIDTH, padded.shape[1]),
        decode(encoding, rows.tobytes(), HEIGHT, WIDTH, rows.shape[1]))


def test_padded_nv24():
    luma, blue, red = yuv_planes()
    chroma = np.dstack((blue, red)).reshape(HEIGHT, 2 * WIDTH)
    padded = (np.pad(luma, ((0, 0), (0, 3))).tobytes()
              + np.pad(chroma, ((0, 0), (0, 6))).tobytes())
    assert np.array_equal(
        decode('nv24', padded, HEIGHT, WIDTH, WIDTH + 3),
        decode('nv24', pack_yuv('nv24').tobytes(), HEIGHT, WIDTH, WIDTH))


def test_every_encoding_has_a_test():
    bayer = {name for name in ENCODINGS if name.startswith('bayer_')}
    assert set(ENCODINGS) == {*CASES, *YUV, *bayer} and len(bayer) == 8


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'mono16', '16UC1'])
@pytest.mark.parametrize('big', [False, True])
def test_masks_keep_their_values(encoding, big):
    samples = CASES[encoding][0] if encoding.endswith(('mono8', '8UC1')) \
        else grey().astype(np.uint16)
    data, step = rows_of(samples, big, padding=3)
    assert np.array_equal(decode_mask(encoding, data, HEIGHT, WIDTH, step, big), grey())


def test_masks_of_other_encodings_are_refused_by_name():
    with pytest.raises(InputError, match="'rgb8'"):
        decode_mask('rgb8', b'\0' * 12, 2, 2, 6)
    assert decode_mask('mono16', np.array([256], '<u2').tobytes(), 1, 1, 2).tolist() == [[256]]


@pytest.mark.parametrize(('arguments', 'told'), [
    (('32FC3', b'\0' * 48, 2, 2, 24), "'32FC3'"),
    (('', b'', 1, 1, 1), "''"),
    (('rgb8', b'\0' * 11, 2, 2, 6), '11 bytes'),
    (('rgb8', b'\0' * 13, 2, 2, 6), '13 bytes'),
    (('rgb8', b'\0' * 10, 2, 2, 5), 'at least 6'),
    (('rgb8', b'', 0, 2, 6), 'empty'),
    (('nv12', b'', 2, 0, 0), 'empty'),
    (('nv12', b'\0' * 18, 3, 4, 4), 'even'),
    (('yuv422', b'\0' * 6, 1, 3, 6), 'even'),
    (('nv21', b'\0' * 16, 4, 4, 4), '16 bytes'),
    (('32FC1', np.float32(1.5).tobytes(), 1, 1, 4), '1.5'),
    (('32FC1', np.float32('nan').tobytes(), 1, 1, 4), 'nan')])
def test_refusals_say_what_is_wrong(arguments, told):
    with pytest.raises(InputError, match=told):
        decode(*arguments)


def test_compressed_images():
    png = cv2.imencode('.png', picture()[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_compressed('rgb8; png compressed bgr8', png), picture())
    wide = cv2.imencode('.png', WIDE[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_compressed('png', wide), picture())
    mono = cv2.imencode('.png', grey())[1].tobytes()
    assert np.array_equal(decode_compressed('png', mono), as_grey(grey()))
    flat = np.full((16, 16, 3), (10, 200, 60), np.uint8)
    jpeg = cv2.imencode('.jpg', flat[..., ::-1])[1].tobytes()
    assert np.abs(decode_compressed('jpeg', jpeg).astype(int) - flat).max() <= 3


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


@pytest.mark.parametrize('order', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_compressed_mosaics_are_demosaiced(order, bits):
    """As the raw message of the same mosaic is; what the driver made colours of already is not."""
    mosaic = grey() if bits == 8 else WIDE[..., 0]
    data, step = rows_of(mosaic)
    expected = decode(f'bayer_{order}{bits}', data, HEIGHT, WIDTH, step)
    found = decode_compressed(f'bayer_{order}{bits}; png compressed ', png(mosaic))
    assert np.array_equal(found, expected)
    colour = decode_compressed(f'bayer_{order}{bits}; png compressed bgr8', png(picture()))
    assert np.array_equal(colour, picture()[..., ::-1])
    mono = decode_compressed(f'bayer_{order}{bits}; png compressed mono8', png(grey()))
    assert np.array_equal(mono, as_grey(grey()))


def test_sixteen_bits_of_grey_need_a_name():
    deep = png(WIDE[..., 0])
    assert np.array_equal(decode_compressed('mono16; png compressed ', deep), as_grey(grey()))
    for form in ('png', '16UC1; png compressed ', 'mono8; png compressed '):
        with pytest.raises(InputError, match='depth'):
            decode_compressed(form, deep)


@pytest.mark.parametrize(('form', 'told'), [
    ('16UC1; compressedDepth png', 'is depth'), ('32FC1; png compressed ', '32FC1 is depth'),
    ('16SC1; png compressed ', '16SC1 is depth'), ('64FC1; tiff compressed ', '64FC1'),
    ('h264', 'is video'), ('bgr8; hevc', 'is video'), ('bayer_xxxx8; png compressed ', 'pattern')])
def test_formats_that_are_no_pictures_are_refused_by_name(form, told):
    with pytest.raises(InputError, match=told):
        decode_compressed(form, png(grey()))


def header_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and which ends there."""
    body = b'IHDR' + width.to_bytes(4, 'big') + height.to_bytes(4, 'big') + bytes([8, 2, 0, 0, 0])
    return (b'\x89PNG\r\n\x1a\n' + (13).to_bytes(4, 'big') + body
            + zlib.crc32(body).to_bytes(4, 'big') + (8).to_bytes(4, 'big') + b'IDAT')


def test_the_header_is_read_before_the_pixels():
    for width, height in ((60_000, 60_000), (9_000, 9_000), (65_000_001, 1)):
        with pytest.raises(InputError, match='million'):
            decode_compressed('png', header_of(width, height))
    large = png(np.zeros((100, 150, 3), np.uint8))
    with pytest.raises(InputError, match='150×100 pixels.*up to 0.014 million'):
        decode_compressed('png', large, 0.014)
    assert decode_compressed('png', large, 0.015).shape == (100, 150, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tiff', '.bmp'])
@pytest.mark.parametrize('share', [0.3, 0.7, 0.95])
def test_cut_pictures_are_refused(suffix, share):
    rng = np.random.default_rng(2)
    whole = cv2.imencode(suffix, rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))[1].tobytes()
    with pytest.raises(InputError, match='cut short|not a picture|damaged'):
        decode_compressed('x', whole[:int(share * len(whole))])


def test_compressed_refusals():
    with pytest.raises(InputError, match='depth'):
        decode_compressed('16UC1; compressedDepth png', b'\0' * 20)
    for data in (b'', b'no picture'):
        with pytest.raises(InputError, match=f'{len(data)} bytes'):
            decode_compressed('jpeg', data)
