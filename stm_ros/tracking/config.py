# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of a tracker, each written here once and checked when made."""
from dataclasses import dataclass

from stm_ros.inference.compilation import COMPILE_MODES
from stm_ros.memory.policy import POLICIES
from stm_ros.memory.policy import Paper
from stm_ros.memory.schedule import SCHEDULES
from stm_ros.memory.schedule import EveryNthFrame
from stm_ros.memory.schedule import Schedule
from stm_ros.memory.schedule import make_schedule
from stm_ros.tracking.settings import check_fields
from stm_ros.tracking.settings import setting
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import MAX_TARGET_ID

DTYPES = ('auto', 'float32', 'bfloat16', 'float16', 'float64')


@dataclass(frozen=True)
class TrackerConfig:
    """How a tracker sees and remembers.

    follow_distractors has no effect with top_k or the policy 'paper'. Scores and aggregation never
    run in half precision, whatever dtype says. See stm_ros.memory.policy and
    stm_ros.memory.schedule.
    """

    input_size: int = setting(
        480, low=32, high=4096, or_zero=True, unit='px',
        meaning='shorter side that the network sees; 0 leaves images as they are')
    max_targets: int = setting(
        8, low=1, high=MAX_TARGET_ID,
        meaning='targets that memory is sized for at first; it grows when more are shown')
    max_streams: int = setting(
        8, low=1, high=64, meaning='streams that a tracker serves')
    dtype: str = setting(
        'auto', choices=DTYPES,
        meaning='precision of the network; auto is bfloat16 where the processor multiplies it and '
                'the network ships for it, else float32')
    compile: str = setting(
        'none', choices=COMPILE_MODES,
        meaning='torch.compile for the network, by mode; the first frames take minutes, and each '
                'new shape again: set full_look_seconds to 0 with it')
    max_frames: int = setting(
        10, group='memory', low=2, high=4096, unit='frames',
        meaning='slots of memory, references and newest frames included')
    max_megabytes: float = setting(
        0.0, group='memory', low=0.0, high=1e6, unit='MB',
        meaning='what these slots may take, in millions of bytes on the device; the smaller of '
                'both limits counts, 0 for none of this kind')
    policy: str = setting(
        'fifo', group='memory', choices=sorted(POLICIES),
        meaning='which frame goes when memory is full; `paper` and `unconditional` believe every '
                'frame, and `paper` looks at whole frames only')
    memorize_by: str = setting(
        'seconds', group='memory', choices=SCHEDULES, live=True,
        meaning='what decides which frames are kept when they are no longer the newest')
    memorize_every: int = setting(
        5, group='memory', low=1, high=1_000_000, unit='frames', live=True,
        meaning='by frames: every Nth frame of a stream is kept')
    memorize_seconds: float = setting(
        0.2, group='memory', low=0.0, high=1e6, unit='s', live=True,
        meaning='by seconds: one in so many is kept')
    memorize_novelty: float = setting(
        0.2, group='memory', low=0.0, high=100.0, live=True,
        meaning='by novelty: kept if the targets look at least this different from all that is '
                'held, relative')
    memorize_above: float = setting(
        0.5, group='memory', low=0.0, high=1.0, live=True,
        meaning='confidence that a frame needs to stay in memory, beside the state TRACKING; the '
                'newest frame is read whatever it is, unless the target is LOST')
    top_k: int = setting(
        0, group='memory', low=0, high=1_000_000,
        meaning='memory positions read by each query position; 0 for all')
    evidence_size: int = setting(
        128, group='memory', low=16, high=1024, unit='px',
        meaning='longer side of the crops kept as evidence')
    full_look_seconds: float = setting(
        0.33, group='search', low=0.0, high=1e6, unit='s', live=True,
        meaning='how often a frame is searched as a whole for targets whose place is known too; '
                'between, they are looked for around it, which is quick; 0 for always')
    region_margin: float = setting(
        0.15, group='search', low=0.0, high=100.0, live=True,
        meaning='how far around, as a share of the box on each side, at least 48 pixels of the '
                'input; more for targets in doubt')
    follow_distractors: bool = setting(
        True, group='search', live=True,
        meaning='track distractors and exclude them from the mask; set it false where a target is '
                'several things')
    coast_seconds: float = setting(
        0.7, group='search', low=0.0, high=60.0, unit='s', live=True,
        meaning='how long a place is predicted for what is not seen')
    time_jump_seconds: float = setting(
        1.0, low=0.0, high=1e6, unit='s', live=True,
        meaning='how far a stamp must go back in time for a stream to start anew; a frame that is '
                'late by less is dropped')
    uncertain_below: float = setting(
        0.5, group='confidence', low=0.0, high=1.0, live=True,
        meaning='confidence under which a target is UNCERTAIN')
    lost_below: float = setting(
        0.3, group='confidence', low=0.0, high=1.0, live=True,
        meaning='confidence under which a target is LOST')
    doubt_seconds: float = setting(
        0.1, group='confidence', low=0.0, high=60.0, unit='s', live=True,
        meaning='how long a target in view may have less confidence than lost_below before it is '
                'LOST; it is UNCERTAIN meanwhile')
    hysteresis: float = setting(
        0.05, group='confidence', low=0.0, high=1.0, live=True,
        meaning='how far confidence must rise above uncertain_below to be TRACKING again')

    def __post_init__(self) -> None:
        """Check every value.

        :raises InputError: naming the first that is out of range.
        """
        check_fields(self)
        if self.lost_below > self.uncertain_below:
            raise InputError(f'lost_below {self.lost_below} exceeds uncertain_below '
                             f'{self.uncertain_below}')

    @property
    def schedule(self) -> Schedule:
        """What decides which frames stay; the paper counts frames."""
        by = EveryNthFrame.name if self.policy == Paper.name else self.memorize_by
        return make_schedule(by, self.memorize_every, self.memorize_seconds,
                             self.memorize_novelty)
