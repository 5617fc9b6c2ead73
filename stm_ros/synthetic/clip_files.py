# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Clips on disk: the folders that training reads, and those of DAVIS-2017.

A clip appears under its name when all of it is written, so that a training may read the folder
while it grows.
"""
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.output_folder import write_result

LAYOUTS = ('training', 'davis')
_QUALITY = 93
_RESOLUTION = '480p'
#: millimetres, as in REP 118's 16-bit depth images; 0 is no depth
_DEPTH_SCALE = 1000.0


@dataclass(frozen=True)
class TrueFrame:
    """image: H×W×3 uint8 RGB; label_map: H×W uint8; depth: H×W float32 metres, or None."""

    image: np.ndarray
    label_map: np.ndarray
    depth: np.ndarray | None = None


@dataclass(frozen=True)
class ClipFolder:
    """Where clips are written: a folder and one of `LAYOUTS`; split: the name of DAVIS' list."""

    root: Path
    layout: str
    split: str = 'dev'

    def holds(self, name: str) -> bool:
        """Whether a clip of that name is there, whole."""
        return all(folder.is_dir() for folder in self._places(name).values())

    def write(self, name: str, frames: Iterable[TrueFrame]) -> None:
        """Write a clip; what is left of an earlier, interrupted attempt is replaced.

        :raises InputError: where something else has its name.
        """
        # beside the root, where nobody who reads it takes half a clip for a whole one
        unfinished = self.root.parent / f'.unfinished_{self.root.name}_{name}'
        for part, place in self._places(name).items():
            if place.exists() and not _was_moved(unfinished, part):
                raise InputError(f'{place} is there, but is no whole clip that stm wrote: name '
                                 'another folder, or move it away')
        self._list_may_be_written()
        shutil.rmtree(unfinished, ignore_errors=True)
        for index, frame in enumerate(frames):
            self._write_frame(unfinished, index, frame)
        for part, place in self._places(name).items():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            source = unfinished if part == '' else unfinished / part
            source.rename(place)
        shutil.rmtree(unfinished, ignore_errors=True)
        if self.layout == 'davis':
            self._list()

    def _places(self, name: str) -> dict[str, Path]:
        """Which part of an unfinished clip goes where; '' is all of it."""
        if self.layout == 'training':
            return {'': self.root / name}
        return {'masks': self.root / 'Annotations' / _RESOLUTION / name,
                'images': self.root / 'JPEGImages' / _RESOLUTION / name}

    def _list(self) -> None:
        names = sorted(path.name for path in (self.root / 'JPEGImages' / _RESOLUTION).iterdir())
        write_result(self._list_file(), ('\n'.join(names) + '\n').encode())

    def _list_file(self) -> Path:
        return self.root / 'ImageSets' / '2017' / f'{self.split}.txt'

    def _list_may_be_written(self) -> None:
        if self.layout == 'davis':
            OutputFolder(self._list_file().parent, [self._list_file().name], shared=True)

    def _write_frame(self, folder: Path, index: int, frame: TrueFrame) -> None:
        for part in ('images', 'masks') + (('depth',) if frame.depth is not None else ()):
            (folder / part).mkdir(parents=True, exist_ok=True)
        name = f'{index:05d}'
        _write_bytes(folder / 'images' / f'{name}.jpg', frame.image[..., ::-1],
                     [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if self.layout == 'davis':
            write_label_map(folder / 'masks' / f'{name}.png', frame.label_map)
        else:
            _write_bytes(folder / 'masks' / f'{name}.png', frame.label_map)
        if frame.depth is not None:
            _write_bytes(folder / 'depth' / f'{name}.png', depth_in_millimetres(frame.depth))


def _was_moved(unfinished: Path, part: str) -> bool:
    """Whether an attempt that was broken off had moved one of its parts into place."""
    if part == '' or (unfinished / part).exists():
        return False
    return unfinished.is_dir() and any(unfinished.glob('*/*'))


def depth_in_millimetres(depth: np.ndarray) -> np.ndarray:
    """Return H×W float metres as uint16 millimetres; 0 for what is infinite or past 65.535 m."""
    millimetres = np.rint(np.where(np.isfinite(depth), depth, 0) * _DEPTH_SCALE)
    return np.where(millimetres <= np.iinfo(np.uint16).max, millimetres, 0).astype(np.uint16)


def _write_bytes(path: Path, pixels: np.ndarray, options: list[int] | None = None) -> None:
    _, code = cv2.imencode(path.suffix, np.ascontiguousarray(pixels), options or [])
    path.write_bytes(code.tobytes())
