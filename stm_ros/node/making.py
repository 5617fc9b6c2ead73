# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a node makes of its settings when it is configured."""
from pathlib import Path
from typing import NamedTuple

import torch

from stm_ros.node.keeping import MemoryKeeper
from stm_ros.node.keeping import autosave_path
from stm_ros.node.settings import NodeSettings
from stm_ros.node.threads import choose_threads
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.recovery import Recovery


class MadeTracker(NamedTuple):
    """A tracker with what keeps it going, and a sentence about it for the log."""

    tracker: Tracker
    recovery: Recovery
    keeper: MemoryKeeper
    description: str


def make_tracker(settings: NodeSettings, config: TrackerConfig, node_name: str) -> MadeTracker:
    """Load the network and what is known from the start; sets torch's number of threads.

    :param node_name: fully qualified, which names the file of `autosave`.
    :raises InputError: and others, where weights, device, references or snapshot cannot be had.
    """
    device = settings.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    tracker = Tracker.from_pretrained(settings.model, settings.weights or None, device, config)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    threads = settings.threads or choose_threads(tracker)
    folder = Path(settings.snapshot_dir).expanduser()
    keeper = MemoryKeeper(tracker, settings.streams, folder, settings.references,
                          settings.autosave, autosave_path(folder, node_name))
    known = keeper.load()
    layout = tracker.bank.layout
    return MadeTracker(tracker, Recovery(tracker), keeper, (
        f'{tracker.network.name} on {tracker.device} in {tracker.precision}, '
        f'{threads} threads{"" if settings.threads else " (measured)"}, '
        f'{layout.slots} memory frames ({layout.bytes / 1e6:.0f} MB)'
        + ''.join(f'; {said}' for said in (known, tracker.runner.judge.note) if said)))
