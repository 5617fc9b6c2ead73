# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What replay and demo leave behind: an annotated video, label maps, predictions.json, a result bag.

Every writer takes frames one by one and keeps none, so a recording may be as long as it likes.
"""
import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

import cv2
import numpy as np

from stm_ros.replay.bag_options import BagOptions
from stm_ros.replay.bag_options import bag_options
from stm_ros.replay.frames import Frame
from stm_ros.tracking import Result
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.overlay import DrawnTarget
from stm_ros.vision.overlay import draw_overlay

if TYPE_CHECKING:
    from stm_ros.replay.result_bag import ResultBagWriter

BAG_STORAGES = ('mcap', 'sqlite3')


class RecordedTarget(DrawnTarget, Protocol):
    """What is recorded of a target; a tracker's TargetResult is one."""

    @property
    def area(self) -> int: ...


_LEAST_VIDEO_RATE, _MOST_VIDEO_RATE = 0.1, 1000.0


class VideoWriter:
    """An mp4 video (MPEG-4 Part 2) of H×W×3 uint8 RGB pictures, all of the first one's size."""

    def __init__(self, path: str | Path, rate: float) -> None:
        """Prepare; the file is made with the first picture."""
        self._path = Path(path)
        # what the container can tell; recordings of other rates are watched faster or slower
        self._rate = min(max(rate, _LEAST_VIDEO_RATE), _MOST_VIDEO_RATE)
        self._size: tuple[int, int] | None = None
        self._video: cv2.VideoWriter | None = None

    def write(self, picture: np.ndarray) -> None:
        """Append a picture; others than the first one's size are fitted into it."""
        if self._video is None:
            self._open(picture)
        size = (picture.shape[1], picture.shape[0])
        if size != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))  # type: ignore[union-attr]

    def _open(self, picture: np.ndarray) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # the codec halves colour and needs even sides
        self._size = (picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2)
        code = cv2.VideoWriter.fourcc(*'mp4v')
        self._video = cv2.VideoWriter(str(self._path), code, self._rate, self._size)
        if not self._video.isOpened():
            raise OSError(f'{self._path}: this OpenCV cannot write mp4 videos')

    def close(self) -> None:
        """Finish the file."""
        if self._video is not None:
            self._video.release()


class PredictionsWriter:
    """
    predictions.json: what `about` says, and an entry for every frame.

    An entry holds index, stamp_ns, per target id, label, state, confidence, box [x, y, width,
    height] or null, and area, and whatever else is given.
    """

    def __init__(self, path: str | Path, about: dict[str, Any]) -> None:
        """Create the file and write `about`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._file = Path(path).open('w', encoding='utf-8')
        body = json.dumps(about, indent=2, ensure_ascii=False)
        self._file.write(body.removesuffix('}').rstrip() + (',' if about else '')
                         + '\n  "frames": [')
        self._count = 0

    def write(self, stamp_ns: int, targets: Iterable[RecordedTarget], **more: Any) -> None:
        """Append a frame."""
        entry = {'index': self._count, 'stamp_ns': stamp_ns,
                 'targets': [target_entry(target) for target in targets], **more}
        self._file.write((',' if self._count else '') + '\n    '
                         + json.dumps(entry, ensure_ascii=False))
        self._count += 1

    def close(self, **summary: Any) -> None:
        """Write `summary` after the frames and finish the file."""
        self._file.write('\n  ]')
        for name, value in summary.items():
            self._file.write(f',\n  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}')
        self._file.write('\n}\n')
        self._file.close()


class ResultFolder:
    """
    A folder: `annotated.mp4`, `masks/00000.png`..., `predictions.json` and, if asked for, `bag`.

    Used in a `with` statement. They appear when it ends, in place of what an earlier run of stm
    left there, and of nothing else (see OutputFolder); also where it ends by an error, unless that
    came before the first frame. What else belongs to the results is written below `path` meanwhile.
    """

    def __init__(self, path: str | Path, rate: float, about: dict[str, Any],
                 bag_storage: str | BagOptions | None = None, *, inputs: Iterable[str | Path] = (),
                 more: Iterable[str] = ()) -> None:
        """
        Check that the folder can be written; nothing is changed.

        :param inputs: files and folders that are read, which must stay as they are.
        :param more: names of what else is written below `path`.
        :raises InputError: where something in the folder is not ours to replace.
        """
        self._output = result_output(path, bag_storage, inputs, more)
        self._files = ExitStack()
        self._rate = rate
        self._about = about
        self._storage = bag_storage
        self._count = 0
        self.path: Path = self._output.path
        self.summary: dict[str, Any] = {}

    def write(self, frame: Frame, label_map: np.ndarray, targets: Iterable[RecordedTarget],
              result: Result | None = None, **more: Any) -> np.ndarray:
        """Write one frame everywhere and return its annotated picture (H×W×3 uint8 RGB)."""
        listed = list(targets)
        picture = draw_overlay(frame.image, label_map, listed)
        self._video.write(picture)
        mask = f'masks/{self._count:05d}.png'
        write_label_map(self.path / mask, label_map)
        self._predictions.write(frame.stamp_ns, listed, mask=mask, **more)
        if self._bag is not None and result is not None:
            self._bag.write(frame, result)
        self._count += 1
        self._output.keep_partial = True
        return picture

    def __enter__(self) -> 'ResultFolder':
        """Make the folder and open the files."""
        with ExitStack() as files:
            self.path = files.enter_context(self._output).staging
            self._video = VideoWriter(self.path / 'annotated.mp4', self._rate)
            self._predictions = PredictionsWriter(self.path / 'predictions.json', self._about)
            self._bag: ResultBagWriter | None = None
            if self._storage is not None:
                self._bag = _result_bag(self.path / 'bag', self._storage)
                files.callback(self._bag.close)
            files.callback(lambda: self._predictions.close(**self.summary))
            files.callback(self._video.close)
            self._files = files.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Finish all files, also where reading broke off: what was answered stays readable."""
        self._files.__exit__(kind, error, trace)


def result_output(path: str | Path, bag_storage: str | BagOptions | None = None,
                  inputs: Iterable[str | Path] = (), more: Iterable[str] = ()) -> OutputFolder:
    """The folder that a ResultFolder fills, checked; nothing is changed.

    :raises InputError: where something in it is not ours to replace.
    """
    bag = () if bag_storage is None else ('bag',)
    return OutputFolder(path, ('annotated.mp4', 'masks', 'predictions.json', *bag, *more), inputs)


def _result_bag(path: Path, storage: str | BagOptions) -> 'ResultBagWriter':
    # rosbags is needed for bags only
    from stm_ros.replay.result_bag import ResultBagWriter
    options = bag_options(storage)
    return ResultBagWriter(path, options.storage, options.node, options.with_images)


def target_entry(target: RecordedTarget) -> dict[str, Any]:
    """Return a target as predictions.json holds it."""
    box = target.box
    return {
        'id': target.id, 'label': target.label, 'state': target.state.name,
        'confidence': round(float(target.confidence), 6),
        'box': None if box is None else [box.x_min, box.y_min, box.width, box.height],
        'area': target.area}
