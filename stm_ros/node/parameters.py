# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table with type, default, range and meaning, and their checks."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from stm_ros.memory.policy import POLICIES
from stm_ros.memory.schedule import SCHEDULES
from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.compilation import COMPILE_MODES
from stm_ros.tracking.config import DTYPES
from stm_ros.vision.errors import InputError
from stm_ros.vision.pictures import HIGHEST_MEGAPIXELS
from stm_ros.vision.pictures import MAX_MEGAPIXELS


@dataclass(frozen=True)
class Parameter:
    """One row of the table; `low` and `high` bound numbers, `choices` are all strings accepted.

    fixed: read once at start, later changes are refused.
    """

    name: str
    default: Any
    meaning: str
    fixed: bool = True
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


_DEFAULTS = TrackerConfig()
PARAMETERS = (
    Parameter('autostart', True, 'configure and activate without being told; set it false where '
              'a lifecycle manager does that'),
    Parameter('model', 'stm_lite', 'the network', choices=tuple(sorted(NETWORKS))),
    Parameter('weights', '', 'path of the weights, or research or permissive for those '
              'that ship with stm_lite; empty for research'),
    Parameter('device', 'auto', 'torch device; auto is cuda where there is one, else cpu'),
    Parameter('dtype', _DEFAULTS.dtype, 'precision of the network; auto is the quickest that is '
              'safe on the device', choices=DTYPES),
    Parameter('compile', _DEFAULTS.compile, 'torch.compile for the network, by mode; the first '
              'frames take minutes, and each new shape again: set search.full_look_every to 1 '
              'with it', choices=COMPILE_MODES),
    Parameter('threads', 0, 'processor threads of the network; 0 leaves it to torch',
              low=0, high=256),
    Parameter('streams', ['camera'], 'names of the image streams; one alone uses the topics '
              'without its name'),
    Parameter('image_transport', 'raw', 'what is subscribed to: sensor_msgs/Image, or '
              'CompressedImage on <image>/compressed', choices=('raw', 'compressed')),
    Parameter('max_megapixels', MAX_MEGAPIXELS, 'millions of pixels of an image or mask; larger '
              'ones are refused before they are decoded', low=0.01, high=HIGHEST_MEGAPIXELS),
    Parameter('input_size', _DEFAULTS.input_size, 'shorter side in pixels that the network sees; '
              '0 leaves images as they are', low=0, high=4096),
    Parameter('max_targets', _DEFAULTS.max_targets, 'targets that memory is sized for at first; it '
              'grows when more are shown', low=1, high=254),
    Parameter('history_frames', 30, 'newest frames kept of each stream, for references by stamp',
              low=1, high=1000),
    Parameter('snapshot_dir', '~/.ros/stm_ros', 'folder of saved memories'),
    Parameter('memory.max_frames', _DEFAULTS.max_frames, 'slots of memory, references and newest '
              'frames included', low=2, high=4096),
    Parameter('memory.max_megabytes', _DEFAULTS.max_megabytes, 'what these slots may take, in '
              'millions of bytes on the device; the smaller of both limits counts, 0 for none of '
              'this kind', low=0.0, high=1e6),
    Parameter('memory.policy', _DEFAULTS.policy, 'which frame goes when memory is full; '
              '`paper` and `unconditional` believe every frame, and `paper` looks at whole frames '
              'only',
              choices=tuple(sorted(POLICIES))),
    Parameter('memory.memorize_by', _DEFAULTS.memorize_by, 'what decides which frames are kept '
              'when they are no longer the newest', fixed=False, choices=SCHEDULES),
    Parameter('memory.memorize_every', _DEFAULTS.memorize_every, 'by frames: every Nth frame of a '
              'stream is kept', fixed=False, low=1, high=1_000_000),
    Parameter('memory.memorize_seconds', _DEFAULTS.memorize_seconds, 'by seconds: one in so many '
              'is kept', fixed=False, low=0.0, high=1e6),
    Parameter('memory.memorize_novelty', _DEFAULTS.memorize_novelty, 'by novelty: kept if the '
              'targets look at least this different from all that is held, relative',
              fixed=False, low=0.0, high=100.0),
    Parameter('memory.top_k', _DEFAULTS.top_k, 'memory positions read by each query position; 0 '
              'for all', low=0, high=1_000_000),
    Parameter('memory.reference_share', _DEFAULTS.reference_share, 'how much the references alone '
              'have a say in each mask, against drift: 0 for nothing, 1 for everything; stm_lite '
              'only', low=0.0, high=1.0),
    Parameter('search.full_look_every', _DEFAULTS.full_look_every, 'every Nth frame is searched as '
              'a whole for targets whose place is known too; between, they are looked for around '
              'it, which is quick; 1 for always', fixed=False, low=1, high=1_000_000),
    Parameter('search.region_margin', _DEFAULTS.region_margin, 'how far around, as a share of '
              'the box on each side, at least 48 pixels of the input; more for targets in doubt',
              fixed=False, low=0.0, high=100.0),
    Parameter('search.follow_look_alikes', _DEFAULTS.follow_look_alikes, 'whether what looks '
              'like a target, and is elsewhere while that is in view, is kept out of its mask; set '
              'it false where a target is several things', fixed=False),
    Parameter('memory.memorize_above', _DEFAULTS.memorize_above, 'confidence that a frame needs '
              'to be remembered', fixed=False, low=0.0, high=1.0),
    Parameter('confidence.uncertain_below', _DEFAULTS.uncertain_below, 'confidence under which '
              'a target is UNCERTAIN', fixed=False, low=0.0, high=1.0),
    Parameter('confidence.lost_below', _DEFAULTS.lost_below, 'confidence under which a target is '
              'LOST', fixed=False, low=0.0, high=1.0),
    Parameter('confidence.hysteresis', _DEFAULTS.hysteresis, 'how far confidence must rise above '
              'uncertain_below to be TRACKING again', fixed=False, low=0.0, high=1.0),
    Parameter('context.period', 1.0, 'least seconds between two ~/context messages of a target',
              fixed=False, low=0.0, high=3600.0),
    Parameter('context.evidence', 3, 'evidence crops in a ~/context message',
              fixed=False, low=0, high=16),
    Parameter('diagnostics_period', 1.0, 'seconds between two /diagnostics messages',
              low=0.1, high=60.0))
_TRACKER_FIELDS = {
    'input_size': 'input_size', 'max_targets': 'max_targets', 'dtype': 'dtype',
    'compile': 'compile',
    'memory.max_frames': 'max_frames', 'memory.max_megabytes': 'max_megabytes',
    'memory.policy': 'policy', 'memory.memorize_by': 'memorize_by',
    'memory.memorize_every': 'memorize_every', 'memory.memorize_seconds': 'memorize_seconds',
    'memory.memorize_novelty': 'memorize_novelty', 'memory.top_k': 'top_k',
    'memory.memorize_above': 'memorize_above', 'memory.reference_share': 'reference_share',
    'search.follow_look_alikes': 'follow_look_alikes',
    'search.full_look_every': 'full_look_every', 'search.region_margin': 'region_margin',
    'confidence.uncertain_below': 'uncertain_below', 'confidence.lost_below': 'lost_below',
    'confidence.hysteresis': 'hysteresis'}
_MAX_STREAMS = 16


def declare_parameters(node: Node) -> None:
    """Declare the whole table with descriptions, ranges and read-only flags."""
    for row in PARAMETERS:
        node.declare_parameter(row.name, row.default, _descriptor(row))


def _descriptor(row: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=row.meaning, read_only=row.fixed)
    if row.choices:
        descriptor.additional_constraints = f'one of {", ".join(row.choices)}'
    if row.low is not None and row.high is not None:
        if isinstance(row.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(row.low),
                                                     to_value=int(row.high), step=0)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(
                from_value=float(row.low), to_value=float(row.high), step=0.0)]
    return descriptor


def check_values(values: dict[str, Any]) -> TrackerConfig:
    """Check the values of the whole table together; the tracker's settings that they make.

    :raises InputError: naming the first value that is not accepted.
    """
    for row in PARAMETERS:
        value = values[row.name]
        if row.choices and value not in row.choices:
            raise InputError(f'{row.name} is {value!r}; accepted are {", ".join(row.choices)}')
    check_streams(list(values['streams']))
    folder = Path(values['snapshot_dir']).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f'snapshot_dir is {str(folder)!r}, which is a file')
    fields = {field: values[name] for name, field in _TRACKER_FIELDS.items()}
    return TrackerConfig(max_streams=len(values['streams']), **fields)


def check_streams(streams: list[str]) -> None:
    """Make sure that streams can name topics.

    :raises InputError: where there are none, too many, two alike, or a bad name.
    """
    if not 1 <= len(streams) <= _MAX_STREAMS:
        raise InputError(f'{len(streams)} streams; 1..{_MAX_STREAMS} are accepted')
    if len(set(streams)) != len(streams):
        raise InputError(f'streams are {streams}; two have the same name')
    for name in streams:
        if not (name.isidentifier() and name.isascii()):
            raise InputError(f'stream {name!r} is no name for a topic: letters, digits and '
                             'underscores are accepted, a letter first')
