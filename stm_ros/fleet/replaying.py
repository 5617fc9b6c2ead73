# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A worker that replays recordings, one network for all of them."""
import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from functools import partial
from pathlib import Path
from typing import Any

import torch

from stm_ros import __version__
from stm_ros.fleet.comparing import Comparison
from stm_ros.fleet.comparing import compare_with
from stm_ros.fleet.content import content_digest
from stm_ros.fleet.content import digest_of_files
from stm_ros.fleet.content import digest_of_text
from stm_ros.fleet.library import SHOWN_BY
from stm_ros.fleet.library import Recording
from stm_ros.fleet.remote import bring
from stm_ros.fleet.remote import folder_for_copies
from stm_ros.fleet.remote import is_address
from stm_ros.fleet.remote import marks_at
from stm_ros.inference.prompting import segmenter_for
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.stm_lite import STMLite
from stm_ros.replay.frames import Frame
from stm_ros.replay.offline import replay
from stm_ros.replay.reference import show_reference
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.sources import open_source
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.reference_folder import import_references
from stm_ros.vision.errors import StmError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.output_folder import write_atomically
from stm_ros.vision.prompts import parse_box

RECORDINGS, STATE = 'recordings', 'state'
#: of a recording that are kept
MOST_NOTES = 5


@dataclass(frozen=True)
class FleetSettings:
    """How every recording is replayed. out: the fleet's folder, which all workers reach.

    weights: as `load_network` takes them. storage: of result bags, None for none. threads: of the
    processor for each worker, 0 leaves it to torch. expect: the folder of an earlier run to compare
    with; min_iou: of a frame's masks with those, below which it differs.
    """

    out: str
    model: str = STMLite.name
    weights: str | None = None
    device: str = 'cpu'
    config: TrackerConfig = TrackerConfig()
    storage: str | None = 'mcap'
    threads: int = 1
    expect: str | None = None
    min_iou: float = 0.95

    def digest(self) -> str:
        """Of everything here that changes results: other threads or another comparison do not.

        :raises InputError: where the weights cannot be read.
        """
        shipped = SHIPPED_WEIGHTS if self.weights is None else SHIPPED_BY_NAME.get(self.weights)
        weights = shipped or Path(str(self.weights))
        return digest_of_text(__version__, self.model, digest_of_files([weights]),
                              torch.device(self.device).type, asdict(self.config), self.storage)


@dataclass(frozen=True)
class TargetSummary:
    """One target of a recording."""

    id: int
    label: str
    mean_confidence: float
    frames_lost: int


@dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    reason: why there is no result, for people; None where there is. key: of content and settings.
    seconds: that the replay took. was_done: whether an earlier run had it done. losses: workers
    that died with it. notes: what a person should know of the recording, such as damage.
    """

    name: str
    source: str
    reason: str | None = None
    key: str = ''
    frames: int = 0
    seconds: float = 0.0
    targets: tuple[TargetSummary, ...] = ()
    was_done: bool = False
    losses: int = 0
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()


class ReplayWorker:
    """Replays recordings into `out/recordings/<name>`; what is done is not done again."""

    def __init__(self, settings: FleetSettings) -> None:
        """Load the network."""
        if settings.threads:
            torch.set_num_threads(settings.threads)
        # the same input must give the same bytes; warn where a device cannot promise that
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.settings = settings
        self._digest = settings.digest()
        self._network = load_network(settings.model, settings.weights)

    @classmethod
    def maker(cls, settings: FleetSettings) -> partial['ReplayWorker']:
        """Something that makes a worker elsewhere."""
        return partial(cls, settings)

    def do(self, recording: Recording) -> Outcome:
        """Replay one recording, unless that was done; a recording that cannot be used is told."""
        try:
            with ExitStack() as stack:
                local = _LocalCopy(recording, stack)
                key = self._key(recording, local)
                outcome = read_done(Path(self.settings.out), recording.name, key)
                outcome = outcome or self._replay(local.recording, recording.source, key)
                return self._compared(outcome, local)
        except (StmError, OSError) as error:
            return Outcome(recording.name, recording.source, reason=str(error))

    def _key(self, recording: Recording, local: '_LocalCopy') -> str:
        shown = {name: value for name, value in asdict(recording).items()
                 if name not in ('name', 'source', *SHOWN_BY)}
        return digest_of_text(
            self._digest, local.digest_of('source'), shown,
            {name: local.digest_of(name) for name in recording.shown_by})

    def _replay(self, recording: Recording, address: str, key: str) -> Outcome:
        """Replay what is here, whose outcome names where it came from."""
        source = open_source(recording.source, recording.topic, recording.rate)
        tracker = Tracker(self._network, self.settings.config, self.settings.device)
        out = Path(self.settings.out)
        _done_file(out, recording.name).unlink(missing_ok=True)
        started = time.monotonic()
        summary = replay(source, tracker, out / RECORDINGS / recording.name,
                         partial(self._show, tracker, recording), bag_storage=self.settings.storage,
                         limit=recording.max_frames)
        targets = tuple(
            TargetSummary(target, tracker.targets[target], round(confidence, 6),
                          summary.frames_lost[target])
            for target, confidence in sorted(summary.mean_confidence.items()))
        outcome = Outcome(recording.name, address, None, key, summary.frames,
                          round(time.monotonic() - started, 3), targets,
                          notes=tuple(filter(None, (*source.notes[:MOST_NOTES],
                                                    tracker.runner.judge.note))))
        _write_done(out, outcome)
        return outcome

    def _show(self, tracker: Tracker, recording: Recording, first: Frame) -> None:
        """Show the recording's targets to a tracker that knows none."""
        if recording.references is not None:
            import_references(tracker, Path(recording.references))
            return
        image = first.image
        if recording.reference_image is not None:
            image = read_image(recording.reference_image)
        settings = self.settings
        box, segmenter = None, None
        if recording.box is not None:
            box = parse_box(recording.box)
            segmenter = segmenter_for(settings.model, settings.weights, settings.device)
        shown = show_reference(image, recording.reference_image, recording.reference_mask, box,
                               target_id=recording.target_id, segmenter=segmenter)
        labels = {} if recording.label is None else {recording.target_id: recording.label}
        # a picture of another occasion says nothing about where the target is now
        tracker.add_reference(image, shown.label_map, labels, stamp_ns=first.stamp_ns,
                              place_hint=recording.reference_image is None)

    def _compared(self, outcome: Outcome, local: '_LocalCopy') -> Outcome:
        if self.settings.expect is None:
            return outcome

        def again() -> FrameSource:
            here = local.recording
            return open_source(here.source, here.topic, here.rate)
        return replace(outcome, comparison=compare_with(
            Path(self.settings.expect) / RECORDINGS / outcome.name,
            Path(self.settings.out) / RECORDINGS / outcome.name, self.settings.min_iou, again))


class _LocalCopy:
    """A recording and what shows its targets, brought here where and when that is needed."""

    def __init__(self, recording: Recording, stack: ExitStack) -> None:
        """Take a recording; what is brought is removed as `stack` ends."""
        self._recording, self._stack = recording, stack

    @cached_property
    def recording(self) -> Recording:
        """With paths of this machine.

        :raises InputError: where something cannot be had.
        """
        places = {'source': self._recording.source, **self._recording.shown_by}
        brought: dict[str, Any] = {
            name: self._brought(place) for name, place in places.items() if is_address(place)}
        return replace(self._recording, **brought)

    def digest_of(self, field: str) -> str:
        """Of the content of one of its files or folders, or of what its host says of that.

        A host that says nothing by which versions differ makes it be brought here to be read.

        :raises InputError: where it is not there.
        """
        place = getattr(self._recording, field)
        marks = marks_at(place) if is_address(place) else None
        if marks is not None:
            return digest_of_text(marks)
        return content_digest(Path(getattr(self.recording, field)))

    def _brought(self, address: str) -> str:
        return str(bring(address, self._stack.enter_context(folder_for_copies())))


def read_done(out: Path, name: str, key: str) -> Outcome | None:
    """What an earlier run says of a recording of this content and these settings, if it does."""
    try:
        content: dict[str, Any] = json.loads(_done_file(out, name).read_text())
        if content.get('key') != key or not (out / RECORDINGS / name).is_dir():
            return None
        targets = tuple(TargetSummary(**each) for each in content.pop('targets'))
        return Outcome(**{**content, 'targets': targets, 'was_done': True,
                          'notes': tuple(content.get('notes', ()))})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_done(out: Path, outcome: Outcome) -> None:
    """Say that a recording is done: the last thing that is written of it."""
    file = _done_file(out, outcome.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {name: value for name, value in asdict(outcome).items()
               if name not in ('was_done', 'losses', 'comparison')}
    write_atomically(file, (json.dumps(content, indent=1) + '\n').encode())


def _done_file(out: Path, name: str) -> Path:
    return out / STATE / f'{name}.json'
