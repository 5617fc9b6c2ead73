# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Of the memory frames that attention rests on, those in which a target can be made out."""
from collections.abc import Sequence

from stm_ros.tracking.result import Evidence
from stm_ros.tracking.result import Result
from stm_ros.vision.sharpness import detail

MOST_CLEAN = 3
#: views that are looked at: those that most attention rests on, and further references
CONSIDERED = 24
_REFERENCE = 'reference'
_LEAST_DETAIL = 0.5


def clean_evidence(result: Result, target_id: int, count: int = MOST_CLEAN
                   ) -> tuple[Evidence, ...]:
    """Up to `count` clean views of a target from memory, by falling attention.

    A view is clean if it has at least half the detail of the best reference, both reduced to one
    size: what is blurred or dark has less. One of them is always a reference, which a person
    chose as a good view: an object that is bent attends to frames in which it was bent.

    :raises StaleResultError: after the tracker's next step. :raises KeyError: for a target that is
        not tracked.
    """
    return choose_clean(result.evidence(target_id, len(result.memory.slots)), count)


def choose_clean(views: Sequence[Evidence], count: int) -> tuple[Evidence, ...]:
    """Choose among all views of a target, which are given by falling weight."""
    if count < 1 or not views:
        return ()
    further = [view for view in views[CONSIDERED:] if view.kind == _REFERENCE]
    views = [*views[:CONSIDERED], *further[:CONSIDERED]]
    side = min(max(view.crop.shape[:2]) for view in views)
    details = [detail(view.crop, side) for view in views]
    references = [place for place, view in enumerate(views) if view.kind == _REFERENCE]
    wanted = _LEAST_DETAIL * max(details[place] for place in references or range(len(views)))
    chosen = [place for place, value in enumerate(details) if value >= wanted][:count]
    if references and not set(references) & set(chosen):
        best = max(references, key=lambda place: details[place])
        chosen = sorted([*chosen[:count - 1], best])
    return tuple(views[place] for place in chosen)
