# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node's own settings, each written here once; the tracker's stand in tracking/config.py."""
from dataclasses import dataclass
from pathlib import Path

from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.settings import Setting
from stm_ros.tracking.settings import check_fields
from stm_ros.tracking.settings import setting
from stm_ros.tracking.settings import settings_of
from stm_ros.vision.errors import InputError

MAX_STREAMS = 16
#: of TrackerConfig, what the node knows by itself
_DERIVED = ('max_streams',)


@dataclass(frozen=True)
class NodeSettings:
    """How the node is fed and what it does by itself; read at start where not live."""

    autostart: bool = setting(
        True, meaning='configure and activate without being told; set it false where a lifecycle '
                      'manager does that')
    model: str = setting('stm_lite', choices=sorted(NETWORKS), meaning='the network')
    weights: str = setting(
        '', meaning='path of the weights, or research or permissive for those that ship with '
                    'stm_lite; empty for research')
    device: str = setting('auto', meaning='torch device; auto is cuda where there is one, else cpu')
    threads: int = setting(
        0, low=0, high=256,
        meaning='processor threads of the network; 0 leaves it to torch')
    streams: tuple[str, ...] = setting(
        ('camera',), meaning='names of the image streams; one alone uses the topics without its '
                             'name')
    image_transport: str = setting(
        'raw', choices=('raw', 'compressed'),
        meaning='what is subscribed to: sensor_msgs/Image, or CompressedImage on '
                '<image>/compressed')
    history_frames: int = setting(
        30, low=1, high=1000, unit='frames',
        meaning='newest frames kept of each stream, for references by stamp')
    snapshot_dir: str = setting('~/.ros/stm_ros', meaning='folder of saved memories')
    context_period: float = setting(
        1.0, group='context', name='period', low=0.0, high=3600.0, unit='s', live=True,
        meaning='least time between two ~/context messages of a target')
    context_evidence: int = setting(
        3, group='context', name='evidence', low=0, high=16, live=True,
        meaning='evidence crops in a ~/context message')
    diagnostics_period: float = setting(
        1.0, low=0.1, high=60.0, unit='s', meaning='time between two /diagnostics messages')

    def __post_init__(self) -> None:
        """
        Check every value.

        :raises InputError: naming the first that is not accepted.
        """
        check_fields(self)
        check_streams(self.streams)
        folder = Path(self.snapshot_dir).expanduser()
        if folder.exists() and not folder.is_dir():
            raise InputError(f'snapshot_dir is {str(folder)!r}, which is a file')


def check_streams(streams: tuple[str, ...]) -> None:
    """
    Make sure that streams can name topics.

    :raises InputError: where there are none, too many, two alike, or a bad name.
    """
    if not 1 <= len(streams) <= MAX_STREAMS:
        raise InputError(f'streams has {len(streams)} names; 1..{MAX_STREAMS} are accepted')
    if len(set(streams)) != len(streams):
        raise InputError(f'streams are {", ".join(streams)}; two have the same name')
    for name in streams:
        if not (name.isidentifier() and name.isascii()):
            raise InputError(f'stream {name!r} is no name for a topic: letters, digits and '
                             'underscores are accepted, a letter first')


def parameters() -> tuple[Setting, ...]:
    """Every setting that is a parameter of the node, the node's own first."""
    tracker = [each for each in settings_of(TrackerConfig) if each.field not in _DERIVED]
    return (*settings_of(NodeSettings), *tracker)
