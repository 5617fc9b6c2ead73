# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a camera does to a video: eleven perturbations at three strengths, fixed by a seed.

The reference stays clean: the user shows a good image and the world gets worse afterwards.
Lengths in pixels are meant for 480 lines and grow with the image.
"""
from collections.abc import Callable
from dataclasses import dataclass
from math import cos
from math import pi
from math import sin
from zlib import crc32

import cv2
import numpy as np

from stm_ros.evaluation.measures import disk
from stm_ros.vision.errors import InputError

STRENGTHS = (1, 2, 3)
NOMINAL_LINES = 480
OCCLUDER_PERIOD = 24
DEFORMATION_PERIOD = 30

Random = np.random.Generator
Spoiled = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Perturbation:
    """One kind of damage at one strength (1 mild, 2 clear, 3 severe), fixed by `seed`.

    The same seed spoils the same frame of the same sequence in the same way, in whatever order
    the frames are asked for. Raises InputError for an unknown name or strength.
    """

    name: str
    strength: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the name and the strength."""
        if self.name not in PERTURBATIONS:
            raise InputError(
                f'no perturbation {self.name!r}: there are {", ".join(PERTURBATIONS)}'
            )
        if self.strength not in STRENGTHS:
            raise InputError(f'strength {self.strength!r} of {self.name}: accepted are 1, 2 and 3')

    def drops(self, sequence: str, index: int) -> bool:
        """Whether the camera loses frame `index` of the sequence of that name."""
        if self.name != 'frame_drop':
            return False
        return bool(self._random(sequence, index).random() < (0.3, 0.5, 0.75)[self.strength - 1])

    def apply(
        self, image: np.ndarray, truth: np.ndarray | None, sequence: str, index: int
    ) -> Spoiled:
        """Spoil frame `index`: an H×W×3 uint8 RGB image and its H×W uint8 truth, if there is one.

        The truth changes where things move (deformation) or are hidden (occlusion).
        """
        if self.name == 'frame_drop':
            return image, truth
        level = self.strength - 1
        if self.name == 'occlusion':
            return _occlude(image, truth, level, self._random(sequence), index)
        if self.name == 'deformation':
            return _deform(image, truth, level, self._random(sequence), index)
        # a lamp keeps its colour throughout; everything else differs from frame to frame
        random = self._random(sequence, None if self.name == 'colour' else index)
        return _PHOTOMETRIC[self.name](image, level, random), truth

    def _random(self, sequence: str, index: int | None = None) -> Random:
        """Random numbers of a whole sequence or of one of its frames."""
        words = [self.seed, crc32(self.name.encode()), crc32(sequence.encode())]
        return np.random.default_rng(words if index is None else [*words, index])


def parse_perturbations(text: str, seed: int = 0) -> list[Perturbation]:
    """Read `NAME[:STRENGTH],...` or `all`; without a strength, all three are meant.

    Raises InputError for an unknown name or strength.
    """
    chosen = []
    for word in PERTURBATIONS if text == 'all' else text.split(','):
        name, _, strength = word.strip().partition(':')
        if strength and not strength.isdecimal():
            raise InputError(f'strength {strength!r} of {name}: accepted are 1, 2 and 3')
        for value in (int(strength),) if strength else STRENGTHS:
            chosen.append(Perturbation(name, value, seed))
    return chosen


def _scale(image: np.ndarray) -> float:
    return image.shape[0] / NOMINAL_LINES


def _motion_blur(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    length = max(3, round((11, 21, 37)[level] * _scale(image)))
    angle = random.uniform(0, pi)
    kernel = np.zeros((length, length), dtype=np.float32)
    middle = (length - 1) / 2
    reach = np.array([cos(angle), sin(angle)]) * middle
    start, end = (np.rint(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, (1.0,))
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _defocus(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    kernel = disk(max(1, round((3, 6, 10)[level] * _scale(image)))).astype(np.float32)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _dark(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    return _with_gains(image, np.full(3, (0.5, 0.25, 0.1)[level]))


def _bright(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    return _with_gains(image, np.full(3, (1.5, 2.2, 3.5)[level]))


def _colour(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    """A lamp of another colour: red and blue gains move apart."""
    amount = (1.25, 1.6, 2.2)[level] ** random.choice((-1, 1))
    return _with_gains(image, np.array([amount, 1.0, 1 / amount]))


def _noise(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    deviation = np.float32((10, 25, 50)[level])
    noise = random.standard_normal(image.shape, dtype=np.float32) * deviation
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, (30, 12, 5)[level]]
    _, encoded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _low_res(image: np.ndarray, level: int, random: Random) -> np.ndarray:
    height, width = image.shape[:2]
    factor = (2, 4, 8)[level]
    small = (max(1, width // factor), max(1, height // factor))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)


def _with_gains(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiply the channels in linear light, as less light or another lamp does."""
    codes = np.arange(256)[:, None] / 255
    table = np.clip(codes**2.2 * gains[None, :], 0, 1) ** (1 / 2.2) * 255
    return cv2.LUT(image, np.rint(table).astype(np.uint8)[None])


def _occlude(
    image: np.ndarray, truth: np.ndarray | None, level: int, random: Random, index: int
) -> Spoiled:
    """Textured posts wander across the image; what they hide is not part of the truth."""
    height, width = image.shape[:2]
    post = max(1, round(width * (0.08, 0.16, 0.28)[level]))
    start = random.random()
    blocks = (max(2, height // 16), max(2, post // 16), 3)
    texture = random.integers(60, 180, 3) + random.integers(-40, 41, blocks)
    painted = cv2.resize(texture.astype(np.uint8), (post, height), interpolation=cv2.INTER_LINEAR)
    left = round(((start + index / OCCLUDER_PERIOD) % 1.0) * (width + post)) - post
    shown = slice(max(left, 0), min(left + post, width))
    image = image.copy()
    image[:, shown] = painted[:, shown.start - left:shown.stop - left]
    if truth is not None:
        truth = truth.copy()
        truth[:, shown] = 0
    return image, truth


def _deform(
    image: np.ndarray, truth: np.ndarray | None, level: int, random: Random, index: int
) -> Spoiled:
    """A smooth field of displacements that swings in time; the truth moves with the image."""
    height, width = image.shape[:2]
    amplitude = (6.0, 12.0, 24.0)[level] * _scale(image)
    phases = random.uniform(0, 2 * pi, (2, 4, 6))
    field = np.sin(phases + 2 * pi * index / DEFORMATION_PERIOD).astype(np.float32) * amplitude
    columns, rows = (
        cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in field
    )
    columns += np.arange(width, dtype=np.float32)[None, :]
    rows += np.arange(height, dtype=np.float32)[:, None]
    image = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if truth is not None:
        truth = cv2.remap(truth, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return image, truth


_PHOTOMETRIC: dict[str, Callable[[np.ndarray, int, Random], np.ndarray]] = {
    'motion_blur': _motion_blur,
    'defocus': _defocus,
    'dark': _dark,
    'bright': _bright,
    'colour': _colour,
    'noise': _noise,
    'jpeg': _jpeg,
    'low_res': _low_res,
}
PERTURBATIONS = (
    'motion_blur', 'defocus', 'dark', 'bright', 'colour', 'noise', 'jpeg', 'occlusion',
    'deformation', 'low_res', 'frame_drop',
)
"""The names, in the order in which tables list them."""
