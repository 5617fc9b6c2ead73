# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How large a tracker's memory is made: for what it expects, and for more when more comes."""
from stm_ros.inference.runner import Runner
from stm_ros.memory.budget import layout_within
from stm_ros.memory.budget import spare_bytes
from stm_ros.memory.layout import BankLayout
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking.config import TrackerConfig
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import MAX_TARGET_ID
from stm_ros.vision.prepare import geometry_for

_WIDEST_EXPECTED = 16 / 9
_TARGETS_AT_A_TIME = 8


def planned_layout(runner: Runner, config: TrackerConfig, targets: int, positions: int
                   ) -> BankLayout:
    """The layout for so many targets and positions a frame, beside what is held already.

    :raises InputError: where the budget or the device has no room for it.
    """
    layout = runner.layout(config.max_frames, targets, positions)
    return layout_within(layout, config.max_megabytes, spare_bytes(runner.device))


def expected_positions(config: TrackerConfig) -> int:
    """Positions of a wide image at input_size; a larger one makes memory grow once."""
    size = config.input_size
    stride = SpaceTimeNetwork.stride
    expected = geometry_for((size, round(size * _WIDEST_EXPECTED)), size, stride).padded
    return (expected[0] // stride) * (expected[1] // stride)


def columns_for(targets: int) -> int:
    """For how many targets memory is enlarged when it needs room for `targets`.

    :raises InputError: where there cannot be as many.
    """
    if targets > MAX_TARGET_ID:
        raise InputError(f'{targets} targets; {MAX_TARGET_ID} can be told apart')
    return min(MAX_TARGET_ID, -(-targets // _TARGETS_AT_A_TIME) * _TARGETS_AT_A_TIME)
