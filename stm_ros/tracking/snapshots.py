# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a tracker knows, as a file and back: targets, memory and streams."""
from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank_state import export_bank
from stm_ros.memory.bank_state import import_bank
from stm_ros.memory.bank_state import needs_of
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.memory.snapshot import read_snapshot
from stm_ros.memory.snapshot import write_snapshot
from stm_ros.tracking.kinematics import Motion
from stm_ros.tracking.stream import Stream
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import Geometry


@dataclass(frozen=True)
class TrackerState:
    """All that a tracker knows: labels by target id, streams by name."""

    bank: MemoryBank
    labels: dict[int, str]
    streams: dict[str, Stream]


def write_state(state: TrackerState, network: str, fingerprint: str, path: Path) -> None:
    """Write `state` to `path`, atomically.

    :param network: the network's name, and the `fingerprint` of its weights.
    :raises SnapshotError: where it cannot be written.
    """
    tensors, bank = export_bank(state.bank)
    streams = {}
    for index, (name, stream) in enumerate(state.streams.items()):
        for target, track in stream.tracks.items():
            if track.mask is not None:
                tensors[f'place.{index}.{target}'] = track.mask.clone()
        streams[name] = {
            'index': index, 'frames': stream.frames, 'stamp_ns': stream.stamp_ns,
            'looked_ns': stream.looked_ns,
            'geometry': None if stream.geometry is None else asdict(stream.geometry),
            'tracks': [_row(track) for track in stream.tracks.values()],
            'distractors': [_row(track) for track in stream.distractors]}
    write_snapshot(path, tensors, {
        'network': network, 'fingerprint': fingerprint,
        'labels': {str(target): label for target, label in state.labels.items()},
        'bank': bank, 'streams': streams})


def read_state(path: Path, network: str, fingerprint: str,
               make_bank: Callable[[int, int], MemoryBank]) -> TrackerState:
    """Read what write_state wrote.

    :param network: the name that it must be of, and the `fingerprint`.
    :param make_bank: an empty bank for so many targets and positions a frame.
    :raises SnapshotError: for a damaged file, another network or too small a bank.
    """
    tensors, content = read_snapshot(path)
    if content['network'] != network or content['fingerprint'] != fingerprint:
        raise SnapshotError(
            f'the snapshot {path} was made by {content["network"]!r} with other weights '
            f'than this {network!r}; its memory means nothing here')
    bank = make_bank(*needs_of(content['bank']))
    import_bank(bank, tensors, content['bank'])
    labels = {int(target): label for target, label in content['labels'].items()}
    return TrackerState(bank, labels, {name: _stream(row, tensors, bank.device)
                                       for name, row in content['streams'].items()})


def _row(track: Track) -> dict[str, Any]:
    return {'id': track.id, 'resembles': track.resembles,
            'motion': None if track.motion is None else asdict(track.motion),
            'state': int(track.state), 'confidence': track.confidence,
            'mask_center': list(track.mask_center), 'area': track.area,
            'everywhere': track.everywhere, 'unsure': track.unsure}


def _stream(row: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> Stream:
    geometry = row['geometry']
    tracks = {each['id']: _track(each, tensors.get(f'place.{row["index"]}.{each["id"]}'), device)
              for each in row['tracks']}
    return Stream(
        row['frames'], row['stamp_ns'], row['looked_ns'],
        None if geometry is None else Geometry(**{k: tuple(v) for k, v in geometry.items()}),
        tracks, tuple(_track(each, None, device) for each in row['distractors']))


def _track(row: dict[str, Any], mask: Tensor | None, device: torch.device) -> Track:
    motion = row['motion']
    if motion is not None:
        motion = Motion(Box(**motion['box']), tuple(motion['velocity']),
                        tuple(motion['variance']), motion['age'])
    x, y = row['mask_center']
    return Track(row['id'], row['resembles'], motion, TargetState(row['state']),
                 row['confidence'], None if mask is None else mask.to(device), (x, y),
                 row['area'], row['everywhere'],
                 # snapshots of before doubt was timed do not have it
                 row.get('unsure', 0.0))
