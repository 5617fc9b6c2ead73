# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pixels of ROS image messages, decoded by numpy and OpenCV alone.

Encodings are named as in `sensor_msgs/image_encodings.hpp`. Everything becomes H×W×3 uint8 RGB:
16-bit samples are divided by 257 and rounded (so 0 and 65535 become 0 and 255), 32-bit floats
must lie in [0, 1], YUV is ITU-R BT.601 with limited range, and `8UC3`/`8UC4` are taken in OpenCV's
order, blue first.
"""
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.pictures import MAX_MEGAPIXELS
from stm_ros.vision.pictures import decode_picture

_ByteSource = bytes | bytearray | memoryview | np.ndarray


@dataclass(frozen=True)
class _Layout:
    """How an encoding stores a row: `channels` samples of `sample` dtype per pixel."""

    channels: int
    sample: str
    to_rgb: Callable[[np.ndarray], np.ndarray]


def _grey_to_rgb(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples, 3, axis=2)


def _first_three(samples: np.ndarray) -> np.ndarray:
    return samples[..., :3].copy()


def _three_reversed(samples: np.ndarray) -> np.ndarray:
    # OpenCV, because numpy takes ten times as long to write the channels in another order
    return cv2.cvtColor(samples[..., :3], cv2.COLOR_BGR2RGB)


def _convert(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda samples: cv2.cvtColor(np.ascontiguousarray(samples), code)


def _demosaic(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda samples: cv2.cvtColor(np.ascontiguousarray(samples[..., 0]), code)


_BAYER = {
    'rggb': cv2.COLOR_BayerRGGB2RGB, 'bggr': cv2.COLOR_BayerBGGR2RGB,
    'gbrg': cv2.COLOR_BayerGBRG2RGB, 'grbg': cv2.COLOR_BayerGRBG2RGB}
_UYVY = _Layout(2, 'u1', _convert(cv2.COLOR_YUV2RGB_UYVY))
_YUYV = _Layout(2, 'u1', _convert(cv2.COLOR_YUV2RGB_YUYV))
_LAYOUTS = {
    'mono8': _Layout(1, 'u1', _grey_to_rgb), '8UC1': _Layout(1, 'u1', _grey_to_rgb),
    'mono16': _Layout(1, 'u2', _grey_to_rgb), '16UC1': _Layout(1, 'u2', _grey_to_rgb),
    '32FC1': _Layout(1, 'f4', _grey_to_rgb),
    'rgb8': _Layout(3, 'u1', _first_three), 'bgr8': _Layout(3, 'u1', _three_reversed),
    'rgba8': _Layout(4, 'u1', _first_three), 'bgra8': _Layout(4, 'u1', _three_reversed),
    '8UC3': _Layout(3, 'u1', _three_reversed), '8UC4': _Layout(4, 'u1', _three_reversed),
    'rgb16': _Layout(3, 'u2', _first_three), 'bgr16': _Layout(3, 'u2', _three_reversed),
    'rgba16': _Layout(4, 'u2', _first_three), 'bgra16': _Layout(4, 'u2', _three_reversed),
    'yuv422': _UYVY, 'uyvy': _UYVY, 'yuv422_yuy2': _YUYV, 'yuyv': _YUYV,
    **{f'bayer_{order}{bits}': _Layout(1, sample, _demosaic(code))
       for order, code in _BAYER.items() for bits, sample in ((8, 'u1'), (16, 'u2'))}}
# rows of the buffer per image row: luma and, after it, the interleaved chroma plane
_PLANAR_ROWS = {'nv12': 1.5, 'nv21': 1.5, 'nv24': 3.0}
_MASK_ENCODINGS = ('mono8', '8UC1', 'mono16', '16UC1')
_MOSAICS = tuple(name for name in _LAYOUTS if name.startswith('bayer_'))
_VIDEO_CODECS = ('h264', 'h.264', 'hevc', 'h265', 'h.265', 'vp8', 'vp9', 'av1', 'mpeg4', 'ffmpeg',
                 'theora', 'libx264', 'libx265')
ENCODINGS = tuple(sorted((*_LAYOUTS, *_PLANAR_ROWS)))


def decode(encoding: str, data: _ByteSource, height: int, width: int, step: int,
           is_bigendian: bool | int = False) -> np.ndarray:
    """
    Decode the pixels of a `sensor_msgs/Image` into H×W×3 uint8 RGB (a fresh array).

    `step` is the length of a row in bytes, padding included; `nv12`, `nv21` and `nv24` have
    `step` bytes per row of luma, followed by the interleaved chroma plane.

    :raises InputError: for an unknown encoding, an empty image, a `step` too short for the
        width, a buffer whose length is not what step and height say, or floats outside [0, 1].
    """
    if encoding in _PLANAR_ROWS:
        return _decode_planar(encoding, data, height, width, step)
    if encoding not in _LAYOUTS:
        raise InputError(
            f'image encoding {encoding!r} is unknown; accepted are {", ".join(ENCODINGS)}')
    layout = _LAYOUTS[encoding]
    if layout.channels == 2 and width % 2:
        raise InputError(f'a {encoding} image is {width} pixels wide; the width must be even')
    samples = _samples(layout, encoding, data, height, width, step, is_bigendian)
    return np.ascontiguousarray(_to_eight_bits(_to_rgb(encoding, samples)))


def decode_mask(encoding: str, data: _ByteSource, height: int, width: int, step: int,
                is_bigendian: bool | int = False) -> np.ndarray:
    """
    Decode the values of a mask's `sensor_msgs/Image` into H×W uint8 or uint16, unscaled.

    Accepted are mono8, 8UC1, mono16 and 16UC1; what the values mean is told by
    `stm_ros.vision.masks`.

    :raises InputError: for another encoding (named), and as `decode` does.
    """
    if encoding not in _MASK_ENCODINGS:
        raise InputError(
            f'mask encoding {encoding!r} is not accepted; a mask holds one value per pixel: '
            f'{", ".join(_MASK_ENCODINGS)}')
    samples = _samples(_LAYOUTS[encoding], encoding, data, height, width, step, is_bigendian)
    return np.array(samples[..., 0])


def decode_samples(encoding: str, data: _ByteSource, *, height: int, width: int, step: int,
                   is_bigendian: bool | int = False) -> np.ndarray:
    """
    The samples of a `sensor_msgs/Image` as they are: H×W×C uint8, uint16 or float32.

    :raises InputError: for an encoding that is planar or unknown, and as `decode` does.
    """
    if encoding not in _LAYOUTS:
        raise InputError(f'image encoding {encoding!r} has no samples to take as they are')
    return _samples(_LAYOUTS[encoding], encoding, data, height, width, step, is_bigendian)


def decode_compressed(image_format: str, data: _ByteSource,
                      max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """
    Decode the data of a `sensor_msgs/CompressedImage` (JPEG, PNG, ...) into H×W×3 uint8 RGB.

    The picture's header is read first. As cv_bridge does, the orientation that a photograph's EXIF
    tells is left alone. A grey picture of a Bayer encoding is the mosaic, and is demosaiced.

    :param image_format: the message's `format` field, such as `jpeg`, `rgb8; jpeg compressed bgr8`
        or `bayer_rggb8; png compressed `.
    :param max_megapixels: millions of pixels; a larger picture is refused undecoded.
    :raises InputError: for depth, video, and data that is no picture, cut short or too large.
    """
    encoding, target = _format_parts(image_format)
    buffer = np.frombuffer(data, np.uint8)
    name = f'compressed image of {buffer.size} bytes, format {image_format!r},'
    pixels, _ = decode_picture(buffer.data, name, max_megapixels)
    is_mosaic = encoding.startswith('bayer_') and pixels.ndim == 2 and not target
    if is_mosaic:
        pixels = _to_rgb(encoding, pixels[..., None])
    elif pixels.ndim == 2:
        if pixels.dtype == np.uint16 and encoding not in ('mono16', *_MOSAICS):
            raise InputError(f'{name} holds 16-bit grey: depth, unless the format says mono16, as '
                             "in 'mono16; png compressed '")
        pixels = _grey_to_rgb(pixels[..., None])
    return np.ascontiguousarray(_to_eight_bits(pixels))


def _format_parts(image_format: str) -> tuple[str, str]:
    """The encoding of the image that was compressed, and what it was turned into before; or ''.

    :raises InputError: where it says depth, video, or an encoding that cannot be a picture.
    """
    if 'compressedDepth' in image_format:
        raise InputError(
            f'compressed image format {image_format!r} is depth; a colour or grey image is needed')
    encoding, separator, coding = (part.strip() for part in image_format.partition(';'))
    codec = (coding if separator else encoding).split(' ')[0].lower()
    if codec in _VIDEO_CODECS:
        raise InputError(f'compressed image format {image_format!r} is video, whose messages are '
                         'no pictures of their own; JPEG, PNG and other pictures are accepted')
    if not separator:
        return '', ''
    if encoding in ('16UC1', '32FC1') or encoding not in _LAYOUTS and (
            encoding[:2] in ('8S', '16', '32', '64')):
        raise InputError(f'compressed image format {image_format!r}: {encoding} is depth, or has '
                         'no scale; a colour or grey image (mono8, mono16, ...) is needed')
    if encoding.startswith('bayer_') and encoding not in _MOSAICS:
        raise InputError(f'compressed image format {image_format!r}: the Bayer pattern is unknown; '
                         f'known are {", ".join(_MOSAICS)}')
    return encoding, coding.partition('compressed')[2].strip()


def _rows(encoding: str, data: _ByteSource, rows: int, row_bytes: int, step: int) -> np.ndarray:
    """Return the buffer as rows×step uint8 after checking its length; a view, no copy."""
    if step < row_bytes:
        raise InputError(
            f'{encoding} image: step is {step} bytes, but a row needs at least {row_bytes}')
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size != rows * step:
        raise InputError(
            f'{encoding} image: the data holds {buffer.size} bytes, but {rows} rows of '
            f'{step} bytes make {rows * step}')
    return buffer.reshape(rows, step)


def _check_size(encoding: str, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise InputError(f'{encoding} image: {width}×{height} pixels is an empty image')


def _samples(layout: _Layout, encoding: str, data: _ByteSource, height: int, width: int,
             step: int, is_bigendian: bool | int) -> np.ndarray:
    """Return the samples as H×W×channels in native byte order."""
    _check_size(encoding, height, width)
    sample = np.dtype(layout.sample).newbyteorder('>' if is_bigendian else '<')
    row_bytes = width * layout.channels * sample.itemsize
    packed = np.ascontiguousarray(_rows(encoding, data, height, row_bytes, step)[:, :row_bytes])
    samples = packed.view(sample).reshape(height, width, layout.channels)
    return samples.astype(layout.sample, copy=False)


def _to_rgb(encoding: str, samples: np.ndarray) -> np.ndarray:
    try:
        return _LAYOUTS[encoding].to_rgb(samples)
    except cv2.error as error:
        raise InputError(f'{encoding} image of {samples.shape[1]}×{samples.shape[0]} pixels '
                         f'cannot be converted: {error.err or error}') from error


def _to_eight_bits(samples: np.ndarray) -> np.ndarray:
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.uint16:
        return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not ((samples >= 0) & (samples <= 1)).all():
        raise InputError(
            f'the floating point image spans {samples.min()} to {samples.max()}; values in '
            '[0, 1] are accepted, and nothing that is not a number')
    return np.rint(samples * 255).astype(np.uint8)


def _decode_planar(encoding: str, data: _ByteSource, height: int, width: int,
                   step: int) -> np.ndarray:
    _check_size(encoding, height, width)
    if encoding != 'nv24' and (height % 2 or width % 2):
        raise InputError(
            f'a {encoding} image is {width}×{height} pixels; both numbers must be even')
    rows = _rows(encoding, data, int(height * _PLANAR_ROWS[encoding]), width, step)
    if encoding == 'nv24':
        chroma = rows[height:].reshape(height, 2 * step)[:, :2 * width]
        return _from_yuv444(rows[:height, :width], chroma.reshape(height, width, 2))
    code = cv2.COLOR_YUV2RGB_NV12 if encoding == 'nv12' else cv2.COLOR_YUV2RGB_NV21
    return cv2.cvtColor(np.ascontiguousarray(rows[:, :width]), code)


def _from_yuv444(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Convert H×W luma and H×W×2 (U, V) by ITU-R BT.601, limited range; OpenCV lacks NV24."""
    brightness = 1.164 * (luma.astype(np.float32) - 16)
    blue, red = np.moveaxis(chroma.astype(np.float32) - 128, 2, 0)
    rgb = np.stack((
        brightness + 1.596 * red,
        brightness - 0.813 * red - 0.391 * blue,
        brightness + 2.018 * blue), axis=2)
    return np.rint(rgb).clip(0, 255).astype(np.uint8)
