# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What each service does, on the worker's thread: requests become tracker calls and replies."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stm_ros.inference.prompting import segmenter_for
from stm_ros.memory.snapshot import is_snapshot
from stm_ros.node.conversion import image_message
from stm_ros.node.conversion import image_of
from stm_ros.node.conversion import mask_of
from stm_ros.node.conversion import nanoseconds
from stm_ros.node.describe import describe
from stm_ros.node.messages import features_message
from stm_ros.node.messages import memory_message
from stm_ros.node.messages import targets_message
from stm_ros.node.stored import stored_memories
from stm_ros.node.streams import CameraStream
from stm_ros.tracking import Tracker
from stm_ros.tracking.reference_folder import export_references
from stm_ros.tracking.reference_folder import import_references
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import MAX_TARGET_ID
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.masks import refuse_specks
from stm_ros.vision.masks import show_targets
from stm_ros.vision.pictures import MAX_MEGAPIXELS
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter

SNAPSHOT_SUFFIX = '.safetensors'
_MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class _ReferenceImage:
    """A reference's pixels H×W×3 uint8 RGB, its header, and whether it is the newest frame."""

    pixels: np.ndarray
    header: Header
    is_current: bool


class Requests:
    """Answers the services' requests; each method fills and returns the given response.

    :raises InputError, SnapshotError: from every method, where a request is refused.
    """

    def __init__(self, tracker: Tracker, streams: dict[str, CameraStream],
                 snapshot_dir: Path, max_megapixels: float = MAX_MEGAPIXELS,
                 segmenter: Segmenter | None = None) -> None:
        """Answer for `tracker`, which only the worker's thread may use.

        :param max_megapixels: millions of pixels of an image or mask; more are refused.
        :param segmenter: what turns prompts into masks; None for what ships.
        """
        self.segmenter = segmenter or segmenter_for()
        self.max_megapixels = max_megapixels
        self.tracker = tracker
        self.streams = streams
        self.snapshot_dir = snapshot_dir

    def set_reference(self, request: Any, response: Any) -> Any:
        """Memorise an image with a mask."""
        stream = self._stream(request.stream)
        reference = self._reference_image(request.image, request.stamp, stream)
        if request.mask.height * request.mask.width == 0:
            raise InputError('the mask is empty: it has no pixels')
        wanted = request.target_id or None
        shown = show_targets(mask_of(request.mask, self.max_megapixels), wanted,
                             free_id=self._target_id(request.target_id))
        ids = self._add(reference, shown.label_map, self._labels(request, shown.label_map), stream,
                        request.replace)
        response.success = True
        response.target_ids = list(ids)
        response.message = (f'memorised target {", ".join(map(str, ids))}; mask read as '
                            f'{shown.meaning}')
        return response

    def set_reference_prompt(self, request: Any, response: Any) -> Any:
        """Memorise what a box or points show; with `preview`, only show the mask."""
        stream = self._stream(request.stream)
        reference = self._reference_image(request.image, request.stamp, stream)
        target = self._target_id(request.target_id)
        found = self.segmenter.segment(reference.pixels, _prompt(request))
        mask = found.mask
        label_map = np.where(mask, target, 0).astype(np.uint8)
        refuse_specks(label_map, 'the mask of the prompt')
        response.message = (f'{int(mask.sum())} pixels, {found.meaning}; nothing is memorised '
                            'yet')
        if not request.preview:
            labels = {target: request.label} if request.label else {}
            ids = self._add(reference, label_map, labels, stream, request.replace)
            response.target_ids = list(ids)
            response.message = (f'memorised target {ids[0]}, {int(mask.sum())} pixels, '
                                f'{found.meaning}')
        response.success = True
        if request.with_mask or request.preview:
            response.mask = image_message(reference.header, mask.astype(np.uint8) * 255, 'mono8')
        return response

    def remove_target(self, request: Any, response: Any) -> Any:
        """Forget a target."""
        if request.stream:
            raise InputError('targets are shared by all streams; leave stream empty')
        self.tracker.remove_target(check_target_id(request.target_id))
        response.success = True
        response.target_ids = list(self.tracker.targets)
        response.message = f'forgot target {request.target_id}'
        return response

    def segment(self, request: Any, response: Any) -> Any:
        """Look for the targets in one image, memory untouched."""
        stream = self._stream(request.stream)
        reference = self._reference_image(request.image, request.stamp, stream)
        header = reference.header
        result = self.tracker.segment(reference.pixels, stream, nanoseconds(header.stamp))
        if request.with_mask:
            response.mask = image_message(header, result.label_map, 'mono8')
        response.targets = targets_message(header, result)
        response.memory = memory_message(header, result)
        if request.with_features and result.targets:
            response.features = [features_message(header, stream, result.readout())]
        found = sum(target.box is not None for target in result.targets)
        response.success = True
        response.message = f'found {found} of {len(result.targets)} targets'
        return response

    def describe(self, request: Any, response: Any) -> Any:
        """Say what a language model needs to know of targets in one image, memory untouched."""
        stream = self._stream(request.stream)
        seen = self._reference_image(request.image, request.stamp, stream)
        return describe(self.tracker, request, response, image=seen.pixels, header=seen.header,
                        stream=stream)

    def save_memory(self, request: Any, response: Any) -> Any:
        """Write memory to a file, or references to a folder, in the snapshot folder."""
        path = self._snapshot_path(request.name, '' if request.references_only else
                                   SNAPSHOT_SUFFIX)
        try:
            self.snapshot_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f'cannot make the folder {self.snapshot_dir}: '
                             f'{error.strerror}') from error
        if request.references_only:
            count = export_references(self.tracker, path)
            response.message = f'{count} references in {path}'
        else:
            if path.exists() and not is_snapshot(path):
                raise InputError(f'{path} exists and is no saved memory, so it is not overwritten: '
                                 'choose another name')
            self.tracker.save(path)
            response.message = str(path)
        response.success = True
        return response

    def load_memory(self, request: Any, response: Any) -> Any:
        """Go on from a file, or add the references of a folder, in the snapshot folder."""
        if request.references_only:
            path = self._snapshot_path(request.name, '')
            ids = import_references(self.tracker, path, list(self.streams))
            response.message = f'added references of {len(ids)} targets from {path}'
        else:
            path = self._snapshot_path(request.name, SNAPSHOT_SUFFIX)
            self.tracker.load(path, list(self.streams))
            response.message = f'loaded {len(self.tracker.targets)} targets from {path}'
        response.success = True
        response.target_ids = list(self.tracker.targets)
        return response

    def list_memory(self, request: Any, response: Any) -> Any:
        """Name what the snapshot folder holds."""
        stored = stored_memories(self.snapshot_dir, SNAPSHOT_SUFFIX)
        response.success = True
        response.snapshots = list(stored.snapshots)
        response.libraries = list(stored.libraries)
        response.objects = list(stored.objects)
        response.message = (f'{len(stored.snapshots)} snapshots and {len(stored.libraries)} '
                            f'libraries in {self.snapshot_dir}')
        return response

    def reset(self, request: Any, response: Any) -> Any:
        """Forget everything."""
        count = len(self.tracker.targets)
        self.tracker.reset()
        response.success = True
        response.message = f'forgot {count} targets and all memory'
        return response

    def _stream(self, name: str) -> str:
        if not name:
            return next(iter(self.streams))
        if name not in self.streams:
            raise InputError(f'there is no stream {name!r}; streams are '
                             f'{", ".join(self.streams)}')
        return name

    def _reference_image(self, image: Image, stamp: Any, stream: str) -> _ReferenceImage:
        """The request's image, or the stream's frame at `stamp` where it carries none."""
        camera = self.streams[stream]
        if not image.encoding and not image.data:
            frame = camera.find(nanoseconds(stamp))
            message: Image | CompressedImage = frame.message
            return _ReferenceImage(image_of(message, self.max_megapixels), message.header,
                                   camera.is_newest(frame))
        return _ReferenceImage(image_of(image, self.max_megapixels), image.header, False)

    def _target_id(self, wanted: int) -> int:
        if wanted != 0:
            return check_target_id(wanted)
        for target in range(1, MAX_TARGET_ID + 1):
            if target not in self.tracker.targets:
                return target
        raise InputError(f'all {MAX_TARGET_ID} target ids are taken; remove one')

    def _labels(self, request: Any, label_map: np.ndarray) -> dict[int, str]:
        if len(request.label_ids) != len(request.labels):
            raise InputError(f'{len(request.label_ids)} label_ids and {len(request.labels)} '
                             'labels; as many of each are accepted')
        labels = {check_target_id(target): label for target, label
                  in zip(request.label_ids, request.labels, strict=True)}
        ids = [int(i) for i in np.unique(label_map) if i]
        absent = sorted(set(labels) - set(ids))
        if absent:
            raise InputError(f'labels name targets {absent}; the mask shows {ids}')
        if request.label:
            if len(ids) != 1:
                raise InputError(f'one label, and the mask shows targets {ids}; use label_ids '
                                 'and labels')
            labels[ids[0]] = request.label
        return labels

    def _add(self, reference: _ReferenceImage, label_map: np.ndarray, labels: dict[int, str],
             stream: str, replace: bool) -> tuple[int, ...]:
        return self.tracker.add_reference(
            reference.pixels, label_map, labels, stream, nanoseconds(reference.header.stamp),
            place_hint=reference.is_current, replace_known=replace)

    def _snapshot_path(self, name: str, suffix: str) -> Path:
        stem = name.removesuffix(SNAPSHOT_SUFFIX)
        if not stem or stem.startswith('.') or '/' in stem or '\\' in stem or '\0' in stem:
            raise InputError(f'snapshot name {name!r} is refused: a plain file name without '
                             'folders, not starting with a dot, is accepted')
        file_name = stem + suffix
        if len(file_name.encode()) > _MAX_NAME_BYTES:
            raise InputError(f'the snapshot name has {len(file_name.encode())} bytes; at most '
                             f'{_MAX_NAME_BYTES} are accepted')
        return self.snapshot_dir / file_name


def _prompt(request: Any) -> Prompt:
    """A request's box and points."""
    if len(request.point_x) != len(request.point_y):
        raise InputError(f'{len(request.point_x)} point_x and {len(request.point_y)} point_y; '
                         'as many of each are accepted')
    box = None
    if request.box:
        given = request.box[0]
        box = Box(given.x_min, given.y_min, given.width, given.height)
    points = tuple(zip(request.point_x, request.point_y, strict=True))
    return Prompt(box, points, tuple(request.point_foreground))
