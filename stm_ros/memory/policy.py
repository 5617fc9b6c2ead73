# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies: which frames are kept, and which goes when memory is full."""
from abc import ABC
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from stm_ros.memory.slots import Slot


class Policy(ABC):
    """Chooses among memory frames by what they hold, never by where they lie."""

    name: str
    #: frames are written whatever their confidence is
    writes_always = False
    #: whole frames are looked at, as the paper does, however well a target's place is known
    searches_everywhere = False
    #: the newest frame can be read
    keeps_recent = True
    #: frames stay after they are no longer the newest
    keeps_past = True

    @abstractmethod
    def victim(self, candidates: Sequence[Slot]) -> Slot:
        """The one of `candidates` (never empty, none pinned) that goes."""


class FirstInFirstOut(Policy):
    """The oldest frame goes."""

    name = 'fifo'

    def victim(self, candidates: Sequence[Slot]) -> Slot:
        """The frame written first."""
        return min(candidates, key=lambda slot: slot.order)


class LeastUsed(Policy):
    """The frame that attention rests on least goes."""

    name = 'least_used'

    def victim(self, candidates: Sequence[Slot]) -> Slot:
        """The frame of least decayed attention mass, the older of equals."""
        return min(candidates, key=lambda slot: (slot.usage, slot.order))


class Diverse(Policy):
    """Frames that differ stay: of the most similar two, the older goes."""

    name = 'diverse'

    def victim(self, candidates: Sequence[Slot]) -> Slot:
        """The older of the pair with the closest mean keys."""
        ordered = sorted(candidates, key=lambda slot: slot.order)
        if len(ordered) == 1:
            return ordered[0]
        table = np.stack([slot.descriptor for slot in ordered])
        distances = ((table[:, None] - table[None]) ** 2).sum(-1)
        distances[np.tril_indices(len(ordered))] = np.inf
        return ordered[int(distances.argmin()) // len(ordered)]


class Unconditional(FirstInFirstOut):
    """Every frame is believed: an ablation."""

    name = 'unconditional'
    writes_always = True


class Paper(Unconditional):
    """As Oh et al. 2019 do: every frame is believed and looked at as a whole, every Nth kept."""

    name = 'paper'
    searches_everywhere = True


class ReferenceOnly(FirstInFirstOut):
    """Nothing but references is remembered: an ablation."""

    name = 'reference_only'
    keeps_recent = False
    keeps_past = False


class Previous(FirstInFirstOut):
    """References and the newest frame are remembered: an ablation."""

    name = 'previous'
    keeps_past = False


POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (FirstInFirstOut, LeastUsed, Diverse, Unconditional, Paper, ReferenceOnly,
                 Previous)}
