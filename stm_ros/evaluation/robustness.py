# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What damage costs, and what memory buys: the sequences again, spoiled or with less memory."""
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from stm_ros.evaluation.perturbations import Perturbation
from stm_ros.evaluation.runner import MakeTracker
from stm_ros.evaluation.runner import RunAll
from stm_ros.evaluation.runner import SequenceRun
from stm_ros.evaluation.runner import all_scores
from stm_ros.evaluation.runner import run_benchmark
from stm_ros.evaluation.scoring import ObjectScore
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.sequences import Sequence

ABLATIONS = {'reference only': 'reference_only', 'reference and previous': 'previous'}
"""What the tables call a memory, and the tracker's policy that gives it."""


@dataclass(frozen=True)
class Comparison:
    """J&F of a changed run beside the unchanged run's, on the same frames of the same objects."""

    name: str
    strength: int | None
    changed: float
    clean: float

    @property
    def drop(self) -> float:
        """How much J&F fell."""
        return self.clean - self.changed


def compare_perturbations(
    sequences: Iterable[Sequence],
    make_tracker: MakeTracker,
    clean: list[SequenceRun],
    perturbations: Iterable[Perturbation],
    quiet: bool = False,
    run_all: RunAll | None = None,
) -> list[Comparison]:
    """Run the sequences under each perturbation and compare with the `clean` runs."""
    sequences = list(sequences)
    comparisons = []
    for perturbation in perturbations:
        title = f'{perturbation.name}:{perturbation.strength}'
        runs = run_benchmark(
            sequences, make_tracker, perturbation=perturbation, title=title, quiet=quiet,
            run_all=run_all,
        )
        comparisons.append(compare(perturbation.name, perturbation.strength, runs, clean))
    return comparisons


def compare_memories(
    sequences: Iterable[Sequence],
    tracker_with_policy: Callable[[str], MakeTracker],
    clean: list[SequenceRun],
    quiet: bool = False,
    run_all: RunAll | None = None,
) -> list[Comparison]:
    """Run the sequences with less memory and compare with the `clean` runs of full memory."""
    sequences = list(sequences)
    comparisons = []
    for name, policy in ABLATIONS.items():
        runs = run_benchmark(sequences, tracker_with_policy(policy), title=name, quiet=quiet,
                             run_all=run_all)
        comparisons.append(compare(name, None, runs, clean))
    return comparisons


def compare(
    name: str, strength: int | None, changed: list[SequenceRun], clean: list[SequenceRun]
) -> Comparison:
    """Compare two runs over the frames that both scored (a changed run may have lost some)."""
    changed_scores = {(item.sequence, item.ident): item for item in all_scores(changed)}
    pairs = [
        (changed_scores[item.sequence, item.ident], item)
        for item in all_scores(clean)
        if (item.sequence, item.ident) in changed_scores
    ]
    return Comparison(
        name,
        strength,
        summarise(item for item, _ in pairs).combined,
        summarise(_where_scored(item, other) for other, item in pairs).combined,
    )


def _where_scored(score: ObjectScore, other: ObjectScore) -> ObjectScore:
    """`score` on the frames that `other` has scores for."""
    absent = np.isnan(other.region)
    return replace(
        score,
        region=np.where(absent, np.nan, score.region),
        contour=np.where(absent, np.nan, score.contour),
    )
