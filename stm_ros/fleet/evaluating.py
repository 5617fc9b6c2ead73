# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A worker that runs sequences of a benchmark."""
from collections.abc import Iterator
from functools import partial

import torch

from stm_ros.evaluation.runner import SequenceRun
from stm_ros.evaluation.runner import SequenceTask
from stm_ros.evaluation.runner import run_task
from stm_ros.fleet.pool import Pool
from stm_ros.fleet.pool import PoolError


class EvaluationWorker:
    """Runs sequences; the network comes with each, since ablations differ in more than its data."""

    def __init__(self, threads: int) -> None:
        """Use so many processor threads, 0 leaves it to torch."""
        if threads:
            torch.set_num_threads(threads)

    @classmethod
    def maker(cls, threads: int) -> partial['EvaluationWorker']:
        """Something that makes a worker elsewhere."""
        return partial(cls, threads)

    def do(self, task: SequenceTask) -> SequenceRun:
        """Run a sequence with a tracker of its own."""
        return run_task(task)


def run_all_by(pool: Pool, tasks: list[SequenceTask]) -> Iterator[SequenceRun]:
    """Run sequences by a pool of EvaluationWorker, in any order.

    :raises PoolError: where one cannot be run: a score without it would be another score.
    """
    for answer in pool.run(tasks):
        if answer.error is not None:
            raise PoolError(f'{tasks[answer.index].sequence.name}: {answer.error}')
        yield answer.value
