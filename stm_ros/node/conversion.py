# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Between image messages and arrays: cv_bridge where it can, our own decoding elsewhere."""
from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.vision.encodings import decode
from stm_ros.vision.encodings import decode_compressed
from stm_ros.vision.encodings import decode_mask
from stm_ros.vision.masks import check_image
from stm_ros.vision.pictures import MAX_MEGAPIXELS
from stm_ros.vision.pictures import check_pixel_count

# cv_bridge's release on PyPI fails on the others, or misreads them without a word
_BRIDGED = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4}
_NANOSECONDS = 1_000_000_000

_bridge = CvBridge()


def image_of(message: Image | CompressedImage,
             max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """The pixels of a message: H×W×3 uint8 RGB.

    :param max_megapixels: millions of pixels; a larger image is refused undecoded.
    :raises InputError: for an unknown encoding, an empty or too large image, or data of the wrong
        length, cut short or damaged.
    """
    if isinstance(message, CompressedImage):
        return check_image(decode_compressed(message.format, message.data, max_megapixels))
    check_pixel_count(message.width, message.height, 'the image', max_megapixels)
    channels = _BRIDGED.get(message.encoding)
    tight = channels is not None and message.step == channels * message.width
    if tight and len(message.data) == message.step * message.height > 0:
        return np.ascontiguousarray(_bridge.imgmsg_to_cv2(message, 'rgb8'))
    return check_image(decode(message.encoding, message.data, message.height, message.width,
                              message.step, message.is_bigendian))


def mask_of(message: Image, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """The values of a mask message: H×W uint8 or uint16.

    :raises InputError: for an encoding that holds no ids, too many pixels, or data of the wrong
        length.
    """
    check_pixel_count(message.width, message.height, 'the mask', max_megapixels)
    return decode_mask(message.encoding, message.data, message.height, message.width,
                       message.step, message.is_bigendian)


def image_message(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """A message of H×W or H×W×C uint8 `pixels` with the source's `header`."""
    pixels = np.ascontiguousarray(pixels)
    data = array('B')
    data.frombytes(pixels.data.cast('B'))
    return Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 is_bigendian=0, step=pixels.strides[0], data=data)


def jpeg_message(header: Header, pixels: np.ndarray, quality: int = 90) -> CompressedImage:
    """A JPEG message of H×W×3 uint8 RGB `pixels`."""
    _, code = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded_message(header, code.tobytes())


def encoded_message(header: Header, jpeg: bytes) -> CompressedImage:
    """A message of a JPEG that is encoded already."""
    return CompressedImage(header=header, format='jpeg', data=array('B', jpeg))


def nanoseconds(stamp: Time) -> int:
    """A stamp as nanoseconds since its clock's epoch."""
    return stamp.sec * _NANOSECONDS + stamp.nanosec


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a stamp."""
    return Time(sec=stamp_ns // _NANOSECONDS, nanosec=stamp_ns % _NANOSECONDS)
