# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the page asks of the node, in plain data; `services` turns it into requests."""
from dataclasses import dataclass

import numpy as np

from stm_ros.console.snapshots import View


@dataclass(frozen=True)
class Propose:
    """Derive a mask from a box (x, y, width, height) and points (x, y, on the target); pixels."""

    stream: str
    view: View
    box: tuple[float, float, float, float] | None
    points: tuple[tuple[float, float, bool], ...] = ()


@dataclass(frozen=True)
class Remember:
    """Show the node a target: `mask` H×W bool on `view`; `target_id` 0 is the next free one."""

    stream: str
    view: View
    mask: np.ndarray
    target_id: int
    label: str
    replace: bool


@dataclass(frozen=True)
class Remove:
    """Forget a target."""

    target_id: int


@dataclass(frozen=True)
class Reset:
    """Forget everything."""


@dataclass(frozen=True)
class Save:
    """Write memory, or only its references as a library of known objects."""

    name: str
    references_only: bool


@dataclass(frozen=True)
class Load:
    """Go on from a snapshot, or add a library of known objects."""

    name: str
    references_only: bool


@dataclass(frozen=True)
class ListStored:
    """Name what can be loaded."""


Command = Propose | Remember | Remove | Reset | Save | Load | ListStored


@dataclass(frozen=True)
class Reply:
    """What the node answered; `mask` H×W bool of a proposal, the lists of ListStored."""

    success: bool
    message: str
    target_ids: tuple[int, ...] = ()
    mask: np.ndarray | None = None
    snapshots: tuple[str, ...] = ()
    libraries: tuple[tuple[str, str], ...] = ()
