# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How sure a share is that was counted on a few clips: 95 % intervals."""
from collections.abc import Sequence
from math import sqrt

import numpy as np

#: of the normal distribution, for 95 %
_Z = 1.959964
_DRAWS = 2000

Interval = tuple[float, float]


def wilson_interval(successes: int, trials: int) -> Interval:
    """
    Return the 95 % interval of a share of independent trials (Wilson 1927).

    :raises ValueError: where there is no trial, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f'{successes} successes in {trials} trials')
    share = successes / trials
    spread = 1 + _Z ** 2 / trials
    middle = (share + _Z ** 2 / (2 * trials)) / spread
    half = _Z * sqrt(share * (1 - share) / trials + _Z ** 2 / (4 * trials ** 2)) / spread
    # rounding must not leave out the share itself
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def pooled_interval(parts: Sequence[tuple[float, float]]) -> Interval:
    """
    Return the 95 % interval of sum(counted) / sum(of), clips drawn anew 2,000 times (bootstrap).

    Frames of one clip are wrong together, so that clips are drawn, not frames. Where nothing was
    counted, or everything, the far end is that of the share of clips in which anything else is,
    since the share of frames is no further off.

    :param parts: (counted, of) of each clip, at least one `of` above 0.
    """
    parts = [part for part in parts if part[1] > 0]
    counted, of = np.array(parts, float).T
    if not counted.any():
        return wilson_interval(0, len(parts))
    if (counted == of).all():
        return wilson_interval(len(parts), len(parts))
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(parts), (_DRAWS, len(parts)))
    low, high = np.quantile(counted[drawn].sum(axis=1) / of[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)
