# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings for a fleet, and workers that die on the way; importable by other processes."""
import os
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer

from stm_ros.fleet import replaying
from stm_ros.fleet.library import Recording
from stm_ros.fleet.replaying import FleetSettings
from stm_ros.fleet.replaying import ReplayWorker
from stm_ros.replay.bags import message_types
from stm_ros.replay.frames import Frame
from stm_ros.synthetic.clips import generate_clip
from stm_ros.vision.image_files import write_label_map

FRAMES = 6
SIZE = (96, 128)
_KIND = 'sensor_msgs/msg/Image'


def options(**changes: Any) -> Namespace:
    """What the command line says of workers."""
    return Namespace(**{'workers': 2, 'threads': 1, 'retries': 2, 'engine': 'processes',
                        'ray_address': None, 'device': 'cpu', **changes})


def write_bag(path: Path, images: list[np.ndarray], spoil: int | None = None) -> Path:
    """Record images at 10 Hz, as a camera would; `spoil` cuts one."""
    types = message_types()
    make = types.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/camera/image', _KIND, typestore=types)
        for index, image in enumerate(images):
            stamp = (index + 1) * 10**8
            data = image.reshape(-1)[:-5 if index == spoil else None]
            header = make['std_msgs/msg/Header'](
                stamp=make['builtin_interfaces/msg/Time'](
                    sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id='wrist')
            message = make[_KIND](
                header=header, height=image.shape[0], width=image.shape[1], encoding='rgb8',
                is_bigendian=0, step=3 * image.shape[1], data=data)
            writer.write(connection, stamp, types.serialize_cdr(message, _KIND))
    return path


def make_library(folder: Path, count: int) -> Path:
    """Bags bag0, bag1.. of a cup that moves, each with the mask of its first frame beside it."""
    folder.mkdir()
    clip = generate_clip('occlusion', 40, SIZE)
    for number in range(count):
        part = clip[number:number + FRAMES]
        write_bag(folder / f'bag{number}', [image for image, _ in part])
        write_label_map(folder / f'bag{number}.mask.png', part[0][1])
    return folder


def damage(bag: Path) -> None:
    """Overwrite a bag's file with what is none."""
    [file] = bag.glob('*.mcap')
    file.write_bytes(bytes(file.stat().st_size))


class DyingWorker(ReplayWorker):
    """A worker that is killed at the fourth frame of one recording, the first times it sees it."""

    def __init__(self, settings: FleetSettings, victim: str, scratch: str, times: int) -> None:
        super().__init__(settings)
        self.victim, self.scratch, self.times = victim, Path(scratch), times

    def do(self, recording: Recording) -> Any:
        """Replay, unless it is time to die."""
        marks = list(self.scratch.glob('died-*'))
        dies = recording.name == self.victim and len(marks) < self.times
        opened = replaying.open_source
        if dies:
            (self.scratch / f'died-{os.getpid()}').touch()
            replaying.open_source = lambda *words: _Deadly(opened(*words))  # type: ignore
        try:
            return super().do(recording)
        finally:
            replaying.open_source = opened


class _Deadly:
    """A source in whose fourth frame the process is killed, as by a system short of memory."""

    def __init__(self, source: Any) -> None:
        self.source, self.name, self.rate = source, source.name, source.rate
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index, frame in enumerate(self.source):
            if index == 3:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            yield frame


def dying(settings: FleetSettings, victim: str, scratch: Path, times: int) -> Any:
    """Something that makes such workers."""
    return partial(DyingWorker, settings, victim, str(scratch), times)
