# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node's own settings, each written here once; the tracker's stand in tracking/config.py."""
from dataclasses import dataclass
from pathlib import Path

from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.networks.published import DEFAULT_WEIGHTS
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.settings import Setting
from stm_ros.tracking.settings import check_fields
from stm_ros.tracking.settings import setting
from stm_ros.tracking.settings import settings_of
from stm_ros.vision.errors import InputError
from stm_ros.vision.pictures import HIGHEST_MEGAPIXELS
from stm_ros.vision.pictures import MAX_MEGAPIXELS

MAX_STREAMS = 16
_TRANSPORTS = ('raw', 'compressed')
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
                    f'stm_lite; empty for {DEFAULT_WEIGHTS}')
    segmenter: str = setting(
        'auto', meaning='what turns boxes and points into masks: auto for the head in the '
                        'weights, grabcut, or one that another package offers')
    device: str = setting('auto', meaning='torch device; auto is cuda where there is one, else cpu')
    threads: int = setting(
        0, low=0, high=256,
        meaning='processor threads of the network; 0 measures at configure how many are worth '
                'it, and leaves one processor to others')
    streams: tuple[str, ...] = setting(
        ('camera',), meaning='names of the image streams; one alone uses the topics without its '
                             'name')
    image_transport: str = setting(
        'raw', meaning='what is subscribed to: raw for sensor_msgs/Image, compressed for '
                       'CompressedImage on <image>/compressed; one for all streams, or one each, '
                       'with commas')
    image_reliability: str = setting(
        'auto', choices=('auto', 'best_effort', 'reliable'),
        meaning='of the image subscriptions; auto is reliable where every publisher offers it, '
                'and follows when that changes')
    mode: str = setting(
        'continuous', choices=('continuous', 'on_demand'), live=True,
        meaning='continuous answers every image it can; on_demand looks at none but for '
                '~/segment and references')
    max_rate: float = setting(
        0.0, low=0.0, high=1000.0, unit='Hz', live=True,
        meaning='images looked at per second and stream at most; 0 for no limit')
    max_megapixels: float = setting(
        MAX_MEGAPIXELS, low=0.01, high=HIGHEST_MEGAPIXELS, unit='Mpixel',
        meaning='millions of pixels of an image or mask; larger ones are refused before they are '
                'decoded')
    history_seconds: float = setting(
        5.0, low=0.0, high=3600.0, unit='s',
        meaning='how long images are kept, for references by stamp; the newest is kept always')
    history_megabytes: float = setting(
        200.0, low=1.0, high=1e5, unit='MB',
        meaning='what the kept images of a stream may take, in millions of bytes')
    snapshot_dir: str = setting('~/.ros/stm_ros', meaning='folder of saved memories')
    references: str = setting(
        '', meaning='what is known from the start: a snapshot, or a folder of references, by name '
                    'in snapshot_dir or by path; loaded at configure')
    autosave: float = setting(
        0.0, low=0.0, high=86400.0, unit='s',
        meaning='time between two saves of all that is known, if something changed; configure goes '
                'on from the last one, also after a crash; 0 for never')
    context_period: float = setting(
        1.0, group='context', name='period', low=0.0, high=3600.0, unit='s', live=True,
        meaning='least time between two ~/context messages of a target')
    context_evidence: int = setting(
        3, group='context', name='evidence', low=0, high=16, live=True,
        meaning='evidence crops in a ~/context message')
    depth_enabled: bool = setting(
        False, group='depth', name='enabled',
        meaning='whether targets are also placed in space, by aligned depth images on `depth` and '
                'intrinsics on `camera_info`')
    depth_transport: str = setting(
        'raw', group='depth', name='transport', choices=('raw', 'compressedDepth'),
        meaning='what is subscribed to: raw for sensor_msgs/Image, compressedDepth for '
                'CompressedImage on <depth>/compressedDepth')
    depth_tolerance: float = setting(
        0.02, group='depth', name='tolerance', low=0.0, high=10.0, unit='s', live=True,
        meaning='how far the stamps of image and depth image may be apart')
    depth_rectified: bool = setting(
        False, group='depth', name='rectified', live=True,
        meaning='whether the image is rectified, so that P of the CameraInfo holds its '
                'intrinsics, not K and D')
    depth_margin: int = setting(
        -1, group='depth', name='margin', low=-1, high=100, unit='px', live=True,
        meaning='what masks are cut back by along their edges for depth; -1 for half a cell of '
                'the grid that masks are decoded on, and one more')
    depth_max_points: int = setting(
        50_000, group='depth', name='max_points', low=1, high=10_000_000, live=True,
        meaning='points in a ~/target_cloud message')
    depth_tf: bool = setting(
        False, group='depth', name='tf', meaning='whether a frame a target is published on /tf')
    diagnostics_period: float = setting(
        1.0, low=0.1, high=60.0, unit='s', meaning='time between two /diagnostics messages')

    def __post_init__(self) -> None:
        """
        Check every value.

        :raises InputError: naming the first that is not accepted.
        """
        check_fields(self)
        check_streams(self.streams)
        self._check_transports()
        folder = Path(self.snapshot_dir).expanduser()
        if folder.exists() and not folder.is_dir():
            raise InputError(f'snapshot_dir is {str(folder)!r}, which is a file')

    @property
    def transports(self) -> dict[str, str]:
        """Of each stream, raw or compressed."""
        named = [each.strip() for each in self.image_transport.split(',')]
        return dict(zip(self.streams, named * (len(self.streams) // len(named)), strict=True))

    def _check_transports(self) -> None:
        named = [each.strip() for each in self.image_transport.split(',')]
        if any(each not in _TRANSPORTS for each in named):
            raise InputError(f'image_transport is {self.image_transport!r}; accepted are '
                             f'{", ".join(_TRANSPORTS)}')
        if len(named) not in (1, len(self.streams)):
            raise InputError(f'image_transport names {len(named)} transports and there are '
                             f'{len(self.streams)} streams; one, or as many, are accepted')


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
