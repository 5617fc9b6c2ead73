# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How many processor threads the network gets where nobody says: measured, one core left over."""
import os
import time
from collections.abc import Callable

import torch

from stm_ros.tracking import Tracker

#: twice the threads must at least bring this, or they are better left to others
LEAST_GAIN = 1.35
_SIZE = (480, 640)
_REPEATS = 3


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else (
        os.cpu_count() or 1)


def fewest_good(seconds_with: Callable[[int], float], most: int) -> int:
    """
    The number of threads from which twice as many bring little.

    :param seconds_with: of one step with so many threads. :param most: that may be used.
    """
    threads, taken = 1, seconds_with(1) if most > 1 else 0.0
    while 2 * threads <= most:
        with_more = seconds_with(2 * threads)
        if taken < LEAST_GAIN * with_more:
            break
        threads, taken = 2 * threads, with_more
    return threads


def choose_threads(tracker: Tracker) -> int:
    """Measure on the tracker's network, and set what torch uses; returns how many threads."""
    most = max(1, processors() - 1)
    if tracker.device.type != 'cpu':
        most = 1
    image = torch.rand(1, 3, *_SIZE).to(tracker.device, tracker.runner.dtype)

    @torch.inference_mode()
    def seconds_with(threads: int) -> float:
        torch.set_num_threads(threads)
        tracker.network.encode_query(image)
        times = []
        for _ in range(_REPEATS):
            began = time.monotonic()
            tracker.network.encode_query(image)
            times.append(time.monotonic() - began)
        return min(times)
    chosen = fewest_good(seconds_with, most)
    torch.set_num_threads(chosen)
    return chosen
