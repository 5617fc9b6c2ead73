# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How many images a stream lacks, by the gaps in its stamps alone."""
from collections import deque
from itertools import accumulate

#: gaps that are looked at; as many must have come before anything is said
WINDOW = 32
LEAST_GAPS = 16
#: a longer gap is a pause of the camera's, not a loss
PAUSE_SECONDS = 3.0
#: so many equal gaps in a row are a new rate
NEW_RATE = 8
#: a throttle's pattern is looked for in the newest gaps, so many or all, if so many are longer
_PATTERN, _LEAST_LONG = 16, 4
# from the smallest gap to so many times that is one period, with the jitter of drivers
_ONE_PERIOD = 1.5
_LEAST_SHARE = 0.1
# of a period, how far a gap may be from its multiple; how many of the gaps must be as near. Of
# 400 random triggers, 300 images each, none lacks more than 1 image with 16 gaps and 0.9; with 8
# gaps 5 of them more than 30, with 8 gaps and 0.8 69
_TOLERANCE = 0.25
_REGULAR_SHARE = 0.9


class StampGaps:
    """
    Counts what is missing between stamps: gaps of n usual periods lack n - 1 images.

    Where the stamps have no rate nothing is counted. A gap counts when one of another length
    follows it: a camera that goes over to half the rate loses nothing. Nor does one that is
    throttled to a rate that does not divide its own: its longer gaps are spread evenly, which
    losses are not.
    """

    def __init__(self) -> None:
        """Start without a rate."""
        self._last: int | None = None
        self._gaps: deque[int] = deque(maxlen=WINDOW)
        self._held = (0, 0)
        self._undecided = 0

    def add(self, stamp_ns: int) -> int:
        """How many images more are known to be missing, now that one of this stamp has come."""
        last, self._last = self._last, stamp_ns
        gap = 0 if last is None else stamp_ns - last
        if last is None or gap < 0 or gap > PAUSE_SECONDS * 1e9:
            self._held = (0, 0)
            if gap < 0:
                self._gaps.clear()
                self._undecided = 0
            return 0
        if gap == 0:
            return 0
        self._gaps.append(gap)
        period = usual_period(tuple(self._gaps))
        if period is None:
            return 0
        multiples = [max(1, round(each / period)) for each in self._gaps]
        if is_throttled(multiples):
            self._held, self._undecided = (0, 0), 0
            return 0
        self._undecided += self._count(multiple_of(gap, period))
        if len(multiples) < WINDOW and _is_even(multiples):
            return 0  # too few long gaps yet to tell a throttle from losses
        found, self._undecided = self._undecided, 0
        return found

    def _count(self, multiple: int) -> int:
        length, times = self._held
        if multiple != length:
            self._held = (multiple, 1)
            return max(length - 1, 0) * times
        self._held = (length, times + 1)
        if times + 1 >= NEW_RATE and length > 1:
            while len(self._gaps) > NEW_RATE:
                self._gaps.popleft()
            self._held = (0, 0)
        return 0


def usual_period(gaps: tuple[int, ...]) -> float | None:
    """
    The period in nanoseconds of which most gaps (nanoseconds, positive) are multiples.

    It is the median of the shortest gaps, where they are more than a few: of a stream that loses
    nine in ten images, one gap in ten is a period. None where the gaps have none.
    """
    if len(gaps) < LEAST_GAPS:
        return None
    ordered = sorted(gaps)
    least = max(2, round(_LEAST_SHARE * len(gaps)))
    for place, shortest in enumerate(ordered):
        alike = [gap for gap in ordered[place:] if gap < _ONE_PERIOD * shortest]
        if len(alike) >= least:
            break
    else:
        return None
    period, wholes, length = float(alike[len(alike) // 2]), 0, 0
    for gap in ordered[place:]:
        # the longer a stretch, the less its ends' jitter matters: long gaps need a finer period
        wholes, length = wholes + max(1, round(gap / period)), length + gap
        period = length / wholes
    near = sum(multiple_of(gap, period) > 0 for gap in gaps)
    return period if near >= _REGULAR_SHARE * len(gaps) else None


def is_throttled(multiples: list[int]) -> bool:
    """
    Whether gaps, as multiples of the period, are of two lengths, the longer ones spread evenly.

    Evenly: any two stretches of as many gaps last equally long, but for one period. That is what
    taking every 1.5th image gives, by any rule that keeps a rate. Where images are lost by chance,
    the newest 16 gaps look so in less than a hundredth of all cases.
    """
    least = min(multiples)
    return any(sum(each > least for each in newest) >= _LEAST_LONG and _is_even(newest)
               for newest in (multiples[-_PATTERN:], multiples) if len(newest) >= _PATTERN)


def _is_even(multiples: list[int]) -> bool:
    sums = list(accumulate(multiples, initial=0))
    for length in range(1, len(multiples)):
        stretches = [end - start for start, end in zip(sums, sums[length:], strict=False)]
        if max(stretches) - min(stretches) > 1:
            return False
    return True


def multiple_of(gap: int, period: float) -> int:
    """How many periods a gap is, 0 where it is not near a whole number of them."""
    periods = gap / period
    whole = round(periods)
    return whole if abs(periods - whole) <= _TOLERANCE else 0
