# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images and label maps on disk, the way the benchmarks store them.

Label maps are palette PNGs. OpenCV turns a palette into colours and loses the ids, hence Pillow.
"""
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from stm_ros.vision.errors import InputError

PNG_COMPRESSION = 1
"""Label maps are mostly flat: level 1 costs a fifth of the default's time and little size."""


def benchmark_palette() -> np.ndarray:
    """The 256×3 uint8 RGB palette that PASCAL VOC, DAVIS and YouTube-VOS share.

    The three lowest bits of the id become the highest bits of red, green and blue, and so on.
    """
    ids = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette


_PALETTE = benchmark_palette().tobytes()


def write_label_map(path: Path, label_map: np.ndarray) -> None:
    """Write an H×W uint8 label map as a palette PNG; the folder must exist."""
    picture = Image.fromarray(label_map)
    picture.putpalette(_PALETTE)
    picture.save(path, format='PNG', compress_level=PNG_COMPRESSION)


def read_label_file(path: Path) -> np.ndarray:
    """Read a palette or grey PNG as H×W uint8 values, exactly as stored.

    A colour PNG is accepted when it is grey (some masks of DAVIS-2016 are stored so); one with
    colours is refused, because colours are not ids. Raises InputError where it is neither.
    """
    try:
        with Image.open(path) as picture:
            values = np.asarray(picture)
    except UnidentifiedImageError as error:
        raise InputError(f'{path} is not an image') from error
    if values.ndim == 3:
        colours = values[..., :3]
        if np.any(colours != colours[..., :1]):
            raise InputError(
                f'{path} holds colours, not ids: store label maps as palette or grey PNGs'
            )
        values = colours[..., 0]
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.dtype != np.uint8:
        raise InputError(f'{path} holds {values.dtype} values: label maps are 8 bits deep')
    return values


def read_image(path: Path) -> np.ndarray:
    """Read an image file as H×W×3 uint8 RGB; raises InputError where it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f'{path} is not an image that OpenCV can read')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
