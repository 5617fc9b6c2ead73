# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker: show targets once, step frame by frame, in memory that never grows."""
from collections import deque
from collections.abc import Collection
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import torch

from stm_ros.inference.runner import NetworkOutputError
from stm_ros.inference.runner import Runner
from stm_ros.inference.runner import StageTimer
from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.policy import POLICIES
from stm_ros.memory.slots import ReferenceSource
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking.answered import AnsweredFrame
from stm_ros.tracking.association import Decision
from stm_ros.tracking.association import associate
from stm_ros.tracking.association import sightings_of
from stm_ros.tracking.compose import compose
from stm_ros.tracking.compose import next_stream
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.late_reads import BankView
from stm_ros.tracking.late_reads import LateReads
from stm_ros.tracking.late_reads import empty_result
from stm_ros.tracking.late_reads import memory_report
from stm_ros.tracking.result import Result
from stm_ros.tracking.settings import settings_of
from stm_ros.tracking.sizing import columns_for
from stm_ros.tracking.sizing import expected_positions
from stm_ros.tracking.sizing import planned_layout
from stm_ros.tracking.snapshots import TrackerState
from stm_ros.tracking.snapshots import read_state
from stm_ros.tracking.snapshots import write_state
from stm_ros.tracking.stream import LateFrameError
from stm_ros.tracking.stream import Stream
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.track import Track
from stm_ros.tracking.track import shown_tracks
from stm_ros.tracking.writing import PendingWrite
from stm_ros.tracking.writing import plan_reference
from stm_ros.tracking.writing import plan_write
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import encode_png
from stm_ros.vision.masks import check_image
from stm_ros.vision.masks import check_label
from stm_ros.vision.masks import check_label_map
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import geometry_for

MAX_NOTES = 16


class Tracker:
    """Follows targets through one or several streams of images.

    A step answers first; the frame is written to memory at the start of the next call, or by
    settle(). Not thread-safe: one thread at a time calls it, any thread may.
    """

    def __init__(self, network: SpaceTimeNetwork, config: TrackerConfig | None = None,
                 device: str | torch.device = 'cpu') -> None:
        """Take over `network`, which moves to `device` and the configured precision, for inference.

        It cannot be trained or loaded into any more.
        """
        self.config = config or TrackerConfig()
        self.runner = Runner(network, torch.device(device), self.config.dtype,
                             self.config.compile, self.config.top_k)
        self.policy = POLICIES[self.config.policy]()
        self.labels: dict[int, str] = {}
        self.streams: dict[str, Stream] = {}
        self.time_jumps = 0
        self.late_frames = 0
        #: what changed by itself and people should hear of, newest last
        self.notes: deque[str] = deque(maxlen=MAX_NOTES)
        self._pending: PendingWrite | None = None
        self.bank = self._empty_bank(0, 0)

    @classmethod
    def from_pretrained(cls, name: str = 'stm_lite', weights: str | Path | None = None,
                        device: str | torch.device = 'cpu',
                        config: TrackerConfig | None = None) -> 'Tracker':
        """Make a tracker of a network by name, with the shipped weights unless told otherwise.

        :raises CheckpointError: where the weights cannot be used.
        """
        return cls(load_network(name, weights), config, device)

    @property
    def network(self) -> SpaceTimeNetwork:
        """The network, in the precision it runs in."""
        return self.runner.network

    @property
    def device(self) -> torch.device:
        """The device that network and memory live on."""
        return self.runner.device

    @property
    def targets(self) -> dict[int, str]:
        """Labels by target id."""
        return dict(sorted(self.labels.items()))

    @property
    def precision(self) -> str:
        """What the network computes in, such as bfloat16."""
        return str(self.runner.dtype).removeprefix('torch.')

    @property
    def fingerprint(self) -> str:
        """A digest of the network's weights."""
        return self.runner.fingerprint

    def time_with(self, timer: StageTimer) -> None:
        """Have `timer` told where the time of every further step goes."""
        self.runner.timer = timer

    def reconfigure(self, config: TrackerConfig) -> None:
        """Take over what may change live, see TrackerConfig; the rest stays as it is."""
        live = {each.field: getattr(config, each.field)
                for each in settings_of(TrackerConfig) if each.live}
        self.config = replace(self.config, **live)

    def reduce(self, *, input_size: int | None = None, max_frames: int | None = None) -> None:
        """Go on with less, as when a device has no more memory."""
        self.config = replace(
            self.config,
            input_size=self.config.input_size if input_size is None else input_size,
            max_frames=self.config.max_frames if max_frames is None else max_frames)

    @torch.inference_mode()
    def add_reference(self, image: np.ndarray, label_map: np.ndarray,
                      labels: dict[int, str] | None = None, stream: str = 'camera',
                      stamp_ns: int = 0, place_hint: bool = True,
                      replace_known: bool = False) -> tuple[int, ...]:
        """Memorise the targets of an image, jointly, for ever; returns their ids.

        An id that is tracked already gets a further reference: a correction.

        :param image: H×W×3 uint8 RGB.
        :param label_map: H×W uint8, target ids 1..254; 0 background, 255 ignored.
        :param labels: names of targets, for people; the default is 'target <id>'.
        :param place_hint: whether the masks also say where the targets are now on `stream`.
        :param replace_known: forget what was known of these targets before.
        :raises InputError: for a bad image or mask, or where memory has no room; nothing is
            changed then.
        """
        check_image(image)
        cleaned = check_label_map(label_map, image.shape)
        ids = [int(i) for i in np.unique(cleaned) if i]
        for target, label in (labels or {}).items():
            check_target_id(target)
            check_label(label)
        known = [target for target in ids if target in self.labels]
        frees_a_slot = replace_known and self.bank.frees_a_slot(known)
        state = self._stream(stream)
        self.check_room(0 if frees_a_slot else 1, ids)
        self.settle()
        geometry = self._geometry(image)
        self._fit(geometry, 0 if frees_a_slot else 1)
        pending = plan_reference(self.runner, image, cleaned, ids, geometry=geometry,
                                 stream=stream, stamp_ns=stamp_ns)
        source = ReferenceSource(encode_png(image), encode_png(cleaned))
        # the last that can fail: a target without a reference would spoil every read
        frame = pending.encode(self.runner, self.config.evidence_size, source)
        for target in known if replace_known else ():
            self.bank.forget_frames_of(target)
            self.streams = {name: each.without_target(target)
                            for name, each in self.streams.items()}
            state = state.without_target(target)
        for target in ids:
            self.bank.add_target(target)
            self.labels[target] = (labels or {}).get(
                target, self.labels.get(target, f'target {target}'))
        self.bank.write_reference(frame)
        if place_hint:
            state = state.seen_with(geometry)
            tracks = shown_tracks(cleaned, pending.boxes, pending.masks)
        else:
            tracks = [replace(state.track(target), state=TargetState.TRACKING, everywhere=True)
                      for target in ids]
        self.streams[stream] = state.with_reference(tracks)
        return tuple(ids)

    @torch.inference_mode()
    def step(self, image: np.ndarray, stream: str = 'camera', stamp_ns: int | None = None
             ) -> Result:
        """Find every target in the next frame of a stream.

        :param image: H×W×3 uint8 RGB.
        :param stamp_ns: the frame's time; one thirtieth of a second after the last where None. A
            stamp more than `time_jump_seconds` before the last one's clears what the stream has
            seen; references stay.
        :raises LateFrameError: for a frame older than the last by less; nothing is changed then.
        :raises InputError: for a bad image, or one stream too many; nothing is changed then.
        :raises NetworkOutputError: where the network fails; memory is as before the frame.
        """
        check_image(image)
        before = self._stream(stream)
        stamp = before.next_stamp(stamp_ns)
        try:
            jumped = before.has_jumped(stream, stamp, self.config.time_jump_seconds)
        except LateFrameError:
            self.late_frames += 1
            raise
        geometry = self._geometry(image)
        self._fit(geometry)
        self.settle()
        predicted = (Stream() if jumped else before).predict(stamp, geometry, self.config)
        frame = None
        if self.labels:
            frame = self._answer(image, geometry, predicted, stream, past=not jumped)
        if jumped:
            self.time_jumps += 1
            self.bank.forget_stream(stream)
        if frame is None:
            self.streams[stream] = replace(predicted, frames=predicted.frames + 1)
            return empty_result(stream, stamp, geometry)
        self.bank.account_usage(frame.indices, frame.mass.mean(axis=0).tolist())
        self._pending = self._plan_write(frame, stream)
        self.streams[stream] = next_stream(
            predicted, frame.answer, frame.decided, frame.order, self.config,
            looked_whole=all(region is None for region in frame.regions),
            reached_out=frame.reached_out)
        return self._result(frame, stream, stamp, self._pending is not None)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, stream: str = 'camera', stamp_ns: int = 0) -> Result:
        """Look for every target in one image, with what `stream` remembers; nothing is changed.

        :param image: H×W×3 uint8 RGB, of any size.
        :raises InputError: for a bad image. :raises NetworkOutputError: where the network fails.
        """
        check_image(image)
        self.settle()
        geometry = self._geometry(image)
        if not self.labels:
            return empty_result(stream, stamp_ns, geometry)
        # nothing is known of where a target is, nor when it was last seen
        unseen = {target: Track(target, state=TargetState.TRACKING, unsure=inf)
                  for target in self.labels}
        alone = Stream(tracks=unseen).predict(stamp_ns, geometry, self.config)
        frame = self._answer(image, geometry, alone, stream, past=True)
        return self._result(frame, stream, stamp_ns, memorized=False)

    def _answer(self, image: np.ndarray, geometry: Geometry, predicted: Stream, stream: str,
                past: bool) -> AnsweredFrame:
        """Look at a frame and decide; nothing is changed, so that it can be tried again.

        :param past: whether what the stream has seen is read beside the references.
        """
        config, order = self.config, self.bank.target_order()
        indices = self.bank.readable_slots(stream if past else None)
        stride = self.network.stride
        everywhere = bool(config.top_k) or self.policy.searches_everywhere
        regions = [None if everywhere else predicted.region_of(target, stride, config)
                   for target in order]
        view = self.runner.encode(image, geometry, regions)
        seen = self.runner.look(view, geometry, self.bank, indices, predicted.prior(order), regions)
        with self.runner.timer.stage('decide'):
            found = np.array([0, *order], np.uint8)[seen.channels]
            decided = Decision(found, {}, ())
            if config.follow_distractors and not everywhere:
                decided = associate(found, sightings_of(seen, geometry),
                                    [predicted.track(i) for i in order], predicted.distractors)
            answer = compose(seen, decided, predicted, order, self.labels, self.runner.judge,
                             config)
        return AnsweredFrame(image, geometry, predicted, order, indices, regions, seen, decided,
                             answer)

    def _result(self, frame: AnsweredFrame, stream: str, stamp_ns: int, memorized: bool) -> Result:
        view = BankView(self.bank, tuple(frame.indices))
        late = LateReads(runner=self.runner, bank=view, image=frame.image, seen=frame.seen,
                         answer=frame.answer, geometry=frame.geometry, order=frame.order,
                         mass=frame.mass)
        return Result(stream, stamp_ns, frame.answer.label_map, frame.answer.targets,
                      memory_report(view, frame.order, frame.mass), memorized, late.parts(),
                      frame.answer.found, frame.answer.cues)

    @torch.inference_mode()
    def settle(self) -> None:
        """Write the last answered frame to memory, if it earned it.

        :raises NetworkOutputError: where the network fails; the frame is not written then.
        """
        pending = self._pending
        if pending is None:
            return
        try:
            with self.runner.timer.stage('write'):
                self.bank.write_recent(
                    pending.encode(self.runner, self.config.evidence_size), pending.due)
        except NetworkOutputError:
            self._pending = None
            raise
        self._pending = None

    @torch.inference_mode()
    def remove_target(self, target_id: int) -> None:
        """Forget a target and all that memory holds of it.

        :raises InputError: where it is not tracked.
        """
        if target_id not in self.labels:
            raise InputError(f'target {target_id} is not tracked; tracked are '
                             f'{sorted(self.labels) or "none"}')
        self.settle()
        del self.labels[target_id]
        self.bank.remove_target(target_id)
        self.streams = {name: state.without_target(target_id)
                        for name, state in self.streams.items()}

    def reset(self) -> None:
        """Forget all targets, references and streams."""
        self._pending = None
        self.bank.clear()
        self.labels.clear()
        self.streams.clear()

    @torch.inference_mode()
    def save(self, path: str | Path) -> None:
        """Write targets, memory and streams to one file, atomically.

        :raises SnapshotError: where it cannot be written.
        """
        self.settle()
        write_state(TrackerState(self.bank, self.labels, self.streams), self.network.name,
                    self.runner.fingerprint, Path(path))

    @torch.inference_mode()
    def load(self, path: str | Path, streams: Collection[str] = ()) -> None:
        """Go on from what save() wrote; what is held now is replaced only if the file is good.

        :param streams: those that there are; what others saw is left out. All, if empty.
        :raises SnapshotError: for a damaged file, another network or too small a memory.
        :raises InputError: where the budget has no room for the targets and frames held.
        """
        loaded = read_state(Path(path), self.network.name, self.runner.fingerprint,
                            self._empty_bank)
        for stream in [name for name in loaded.streams if streams and name not in streams]:
            loaded.bank.forget_stream(stream)
            del loaded.streams[stream]
        self._pending = None
        self.bank, self.labels, self.streams = loaded.bank, loaded.labels, loaded.streams

    def _empty_bank(self, targets: int, positions: int) -> MemoryBank:
        """A bank for so many targets and positions, or for what is expected where that is more."""
        layout = planned_layout(self.runner, self.config, max(targets, self.config.max_targets),
                                max(positions, expected_positions(self.config)))
        return MemoryBank(layout, self.policy, self.device)

    def check_room(self, references: int, ids: Iterable[int]) -> None:
        """Make sure that so many more references fit, enlarging memory for new targets.

        :param ids: of the targets that they show; those not tracked yet need room.
        :raises InputError: where there are too many; nothing is changed then.
        """
        self.bank.check_reference_room(references)
        targets = len(self.labels.keys() | set(ids))
        if targets > self.bank.layout.targets:
            self._enlarge(columns_for(targets), self.bank.layout.positions, references)

    def _enlarge(self, targets: int, positions: int, new_references: int) -> None:
        layout = planned_layout(self.runner, self.config, targets, positions)
        self.bank.resize(layout, new_references)
        self.notes.append(f'memory enlarged for {targets} targets and {positions} positions: '
                          f'{layout.slots} frames, {layout.bytes / 1e6:.0f} MB')

    def _geometry(self, image: np.ndarray) -> Geometry:
        return geometry_for((image.shape[0], image.shape[1]), self.config.input_size,
                            self.network.stride)

    def _fit(self, geometry: Geometry, new_references: int = 0) -> None:
        """Enlarge memory where a frame has more positions than a slot."""
        stride = self.network.stride
        positions = (geometry.padded[0] // stride) * (geometry.padded[1] // stride)
        if positions > self.bank.layout.positions:
            self._enlarge(self.bank.layout.targets, positions, new_references)

    def _stream(self, name: str) -> Stream:
        if name not in self.streams and len(self.streams) >= self.config.max_streams:
            raise InputError(f'stream {name!r} is one too many: max_streams is '
                             f'{self.config.max_streams}')
        return self.streams.get(name, Stream())

    def _plan_write(self, frame: AnsweredFrame, stream: str) -> PendingWrite | None:
        with self.runner.timer.stage('plan'):
            return plan_write(seen=frame.seen, answer=frame.answer, predicted=frame.predicted,
                              image=frame.image, geometry=frame.geometry, order=frame.order,
                              stream=stream, bank=self.bank, config=self.config,
                              beside=bool(frame.decided.distractors))
