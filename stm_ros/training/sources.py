# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where training images come from: folders of images with masks, videos and stills."""
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.masks import binary_of

#: of the frames of annotated video
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


@dataclass(frozen=True)
class DataSet:
    """One folder of the training configuration.

    kind: 'video' (a folder of sequences, each with images/ and masks/ of instance ids, 255 for
    what is not known), 'instances' (ids tell objects apart), 'binary' (one object, as 1 or 255;
    soft edges are cut at half) or 'regions' (every region can be a target; none is a whole
    scene's object).
    """

    name: str
    folder: Path
    kind: str
    licence: str
    weight: float = 1.0


@dataclass(frozen=True)
class Pair:
    """Paths of an image and of its mask, aligned pixel for pixel."""

    image: Path
    mask: Path
    binary: bool

    def load(self, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Image H×W×3 uint8 RGB and label map H×W uint8, the longer side at most `longest`.

        :raises InputError: where a file cannot be read, or their sizes differ.
        """
        image = read_image(self.image)
        values = read_mask(self.mask)
        if values.shape != image.shape[:2]:
            raise InputError(f'{self.mask} has {values.shape[1]}×{values.shape[0]} pixels and its '
                             f'image {image.shape[1]}×{image.shape[0]}: both need the same size')
        mask = (binary_of(values) if self.binary else values).astype(np.uint8)
        factor = longest / max(image.shape[:2])
        if factor < 1:
            size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        return image, mask


def pairs_in(folder: Path, binary: bool) -> list[Pair]:
    """The image and mask pairs of a folder with images/ and masks/, in order of name.

    :raises InputError: where the folder holds none.
    """
    images = sorted(path for path in (folder / 'images').glob('*')
                    if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.'))
    pairs = [Pair(path, folder / 'masks' / f'{path.stem}.png', binary) for path in images]
    if not pairs:
        raise InputError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)}) in images/ with '
                         'masks of the same name in masks/*.png')
    return pairs


def videos_in(folder: Path) -> list[list[Pair]]:
    """The sequences below `folder`, each a list of consecutive frames.

    :raises InputError: where the folder holds none.
    """
    sequences = [pairs_in(path, False) for path in sorted(folder.iterdir())
                 if path.is_dir() and not path.name.startswith('.')]
    if not sequences:
        raise InputError(f'{folder} holds no sequences')
    return sequences
