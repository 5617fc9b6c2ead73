# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of a tracker, checked when made."""
from dataclasses import dataclass

from stm_ros.memory.policy import POLICIES
from stm_ros.memory.schedule import SCHEDULES
from stm_ros.memory.schedule import Schedule
from stm_ros.memory.schedule import make_schedule
from stm_ros.inference.compilation import COMPILE_MODES
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import MAX_TARGET_ID

DTYPES = ('auto', 'float32', 'bfloat16', 'float16', 'float64')


@dataclass(frozen=True)
class TrackerConfig:
    """How a tracker sees and remembers.

    input_size: shorter side in pixels that the network sees; 0 leaves images as they are.
    max_frames: slots of memory, references and the newest frames included.
    max_megabytes: what the slots may take, in 10⁶ bytes; the smaller of both counts, 0 for no
        limit of this kind.
    max_targets: targets that memory is sized for at first, 1..254; it grows when more are shown.
    max_streams: streams that a tracker serves.
    policy: which frame goes when memory is full, see stm_ros.memory.policy.
    memorize_by: what decides which frames stay after they are no longer the newest: 'frames',
        'seconds' or 'novelty', see stm_ros.memory.schedule.
    memorize_every, memorize_seconds, memorize_novelty: every Nth frame; one in so many seconds;
        one whose targets look this much different from what is held, relative.
    full_look_seconds: how often a stream is searched as a whole for targets that are tracked too;
        between, these are looked for around where they are expected, which is quick. 0 for
        always.
    region_margin: how far around, as a share of the target's box on each side.
    follow_distractors: track what looks like a target and is another thing, and exclude it from the
        mask, see stm_ros.tracking.association. Not with top_k or the policy 'paper'.
    coast_seconds: how long a place is predicted for a thing that is not seen.
    time_jump_seconds: how far back in time a stamp must be for the stream to start anew; what is
        later by less is a late frame, which is refused.
    top_k: memory positions that each query position reads; 0 for all.
    dtype: of the network; 'auto' is bfloat16 where the processor multiplies it and the network
        ships for it, else float32. Scores and aggregation never run in half precision.
    compile: 'none', or a mode of torch.compile for the network, see stm_ros.inference.compilation.
    uncertain_below, lost_below: confidence under which a target is UNCERTAIN or LOST.
    hysteresis: how far confidence must rise above uncertain_below to be TRACKING again.
    memorize_above: confidence that a frame needs to be written, beside the state TRACKING.
    evidence_size: longer side in pixels of the crops kept as evidence.
    """

    input_size: int = 480
    max_frames: int = 10
    max_megabytes: float = 0.0
    max_targets: int = 8
    max_streams: int = 8
    policy: str = 'fifo'
    memorize_by: str = 'seconds'
    memorize_every: int = 5
    memorize_seconds: float = 0.2
    memorize_novelty: float = 0.2
    full_look_seconds: float = 0.33
    region_margin: float = 0.15
    follow_distractors: bool = True
    coast_seconds: float = 0.7
    time_jump_seconds: float = 1.0
    top_k: int = 0
    dtype: str = 'auto'
    compile: str = 'none'
    uncertain_below: float = 0.5
    lost_below: float = 0.35
    hysteresis: float = 0.05
    memorize_above: float = 0.5
    evidence_size: int = 128

    def __post_init__(self) -> None:
        """Check every value.

        :raises InputError: naming the first that is out of range.
        """
        if self.input_size and not 32 <= self.input_size <= 4096:
            raise InputError(f'input_size is {self.input_size}; 0 or 32..4096 is accepted')
        for name, low, high in (('max_frames', 2, 4096), ('max_megabytes', 0, 1e6),
                                ('max_targets', 1, MAX_TARGET_ID),
                                ('max_streams', 1, 64), ('memorize_every', 1, 1_000_000),
                                ('memorize_seconds', 0, 1e6), ('memorize_novelty', 0, 100),
                                ('full_look_seconds', 0, 1e6), ('region_margin', 0, 100),
                                ('coast_seconds', 0, 60), ('time_jump_seconds', 0, 1e6),
                                ('top_k', 0, 1_000_000), ('uncertain_below', 0, 1),
                                ('lost_below', 0, 1), ('hysteresis', 0, 1),
                                ('memorize_above', 0, 1), ('evidence_size', 16, 1024)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f'{name} is {value}; {low}..{high} is accepted')
        for name, accepted in (('policy', tuple(POLICIES)), ('dtype', DTYPES),
                               ('compile', COMPILE_MODES),
                               ('memorize_by', SCHEDULES)):
            if getattr(self, name) not in accepted:
                raise InputError(f'{name} is {getattr(self, name)!r}; accepted are '
                                 f'{", ".join(accepted)}')
        if self.lost_below > self.uncertain_below:
            raise InputError(f'lost_below {self.lost_below} exceeds uncertain_below '
                             f'{self.uncertain_below}')

    @property
    def schedule(self) -> Schedule:
        """What decides which frames stay."""
        return make_schedule(self.memorize_by, self.memorize_every, self.memorize_seconds,
                             self.memorize_novelty)
