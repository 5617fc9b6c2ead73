# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a node knows from the start, and what it goes on with after a restart."""
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stm_ros.memory.snapshot import SnapshotError
from stm_ros.tracking import Tracker
from stm_ros.tracking.reference_folder import import_references
from stm_ros.vision.errors import InputError

SNAPSHOT_SUFFIX = '.safetensors'


def autosave_path(folder: Path, node_name: str) -> Path:
    """Where a node, by its full name, keeps what it knows."""
    return folder / f'{node_name.strip("/").replace("/", "-")}.autosave{SNAPSHOT_SUFFIX}'


@dataclass
class MemoryKeeper:
    """
    Loads what a tracker knows from the start, and saves it every so often. Worker's thread only.

    references: as the parameter says. period: seconds between two saves; 0 for none. trouble: why
    the last save failed, empty where it did not.
    """

    tracker: Tracker
    streams: Sequence[str]
    folder: Path
    references: str
    period: float
    path: Path
    clock: Callable[[], float] = time.monotonic
    trouble: str = ''
    _has_changed: bool = False
    _saved: float = float('-inf')

    def load(self) -> str:
        """
        Go on from the last autosave, or with the references; says what was loaded.

        :raises InputError, SnapshotError: where the references cannot be loaded.
        """
        self._saved = self.clock()
        said = ''
        if self.period and self.path.is_file():
            try:
                self.tracker.load(self.path, list(self.streams))
                return f'went on with {len(self.tracker.targets)} targets from {self.path}'
            except (InputError, SnapshotError) as error:
                # kept, so that a person can look at it; the next save goes beside it
                damaged = self.path.with_suffix('.refused')
                self.path.replace(damaged)
                said = f'could not go on ({error}; now {damaged}). '
        if not self.references:
            return said
        path = self._references_path()
        if path.is_dir():
            ids = import_references(self.tracker, path, list(self.streams))
            return f'{said}knows {len(ids)} targets of the folder {path}'
        self.tracker.load(path, list(self.streams))
        return f'{said}knows {len(self.tracker.targets)} targets of {path}'

    def note_change(self) -> None:
        """Something may have changed that a restart should find."""
        self._has_changed = True

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return (self.period > 0 and self._has_changed
                and self.clock() - self._saved >= self.period)

    def save(self) -> None:
        """Save now, atomically, if something changed; failing is told in `trouble`."""
        if not (self.period > 0 and self._has_changed):
            return
        self._saved = self.clock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.tracker.save(self.path)
        except (OSError, SnapshotError) as error:
            self.trouble = str(error)
            return
        self.trouble, self._has_changed = '', False

    def _references_path(self) -> Path:
        given = Path(self.references).expanduser()
        named = self.folder / self.references
        # an absolute path is the same below any folder
        tried = dict.fromkeys((named, named.with_name(named.name + SNAPSHOT_SUFFIX),
                               given.absolute()))
        for path in tried:
            if path.exists():
                return path
        raise InputError(f'references is {self.references!r}: there is neither '
                         f'{", nor ".join(map(str, tried))}')
