# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tracker: show targets once, step frame by frame, in memory that never grows."""
from collections import deque
from collections.abc import Collection
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.policy import POLICIES
from stm_ros.memory.slots import ReferenceSource
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.interface import SpaceTimeNetwork
from stm_ros.tracking.assessing import assess
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.engine import Engine
from stm_ros.tracking.engine import Prediction
from stm_ros.tracking.persistence import load_tracker
from stm_ros.tracking.persistence import save_tracker
from stm_ros.tracking.regions import Region
from stm_ros.tracking.regions import core_of
from stm_ros.tracking.reporting import LateReads
from stm_ros.tracking.reporting import empty_result
from stm_ros.tracking.reporting import memory_report
from stm_ros.tracking.result import Result
from stm_ros.tracking.search import View
from stm_ros.tracking.settings import settings_of
from stm_ros.tracking.sizing import columns_for
from stm_ros.tracking.sizing import expected_positions
from stm_ros.tracking.sizing import planned_layout
from stm_ros.tracking.streams import StreamState
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.writing import PendingWrite
from stm_ros.tracking.writing import stays
from stm_ros.tracking.writing import worth_remembering
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import encode_png
from stm_ros.vision.masks import check_image
from stm_ros.vision.masks import check_label_map
from stm_ros.vision.masks import check_target_id
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import geometry_for
from stm_ros.vision.prepare import prepare_masks

MAX_NOTES = 16


@dataclass(frozen=True)
class _Look:
    """One frame read against memory: targets in the bank's `order`, slots at `indices`."""

    image: np.ndarray
    view: View
    geometry: Geometry
    order: list[int]
    indices: list[int]
    regions: list[Region | None]
    prediction: Prediction
    label_map: np.ndarray
    targets: tuple[TargetResult, ...]

    @property
    def mass(self) -> np.ndarray:
        """Attention N×S on each slot: of a target's pixels, or of all positions if it is lost."""
        which = [int(target in self.lost) for target in self.order]
        return self.prediction.mass[np.arange(len(which)), which]

    @property
    def lost(self) -> set[int]:
        """Targets that are not in this frame."""
        return {target.id for target in self.targets if target.state == TargetState.LOST}


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
        self.engine = Engine(network, self.config, torch.device(device))
        self.policy = POLICIES[self.config.policy]()
        self.labels: dict[int, str] = {}
        self.streams: dict[str, StreamState] = {}
        self.time_jumps = 0
        self.moves = 0
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
        return self.engine.network

    @property
    def device(self) -> torch.device:
        """The device that network and memory live on."""
        return self.engine.device

    @property
    def targets(self) -> dict[int, str]:
        """Labels by target id."""
        return dict(sorted(self.labels.items()))

    def reconfigure(self, config: TrackerConfig) -> None:
        """Take over what may change live, see TrackerConfig; the rest stays as it is."""
        live = {each.field: getattr(config, each.field)
                for each in settings_of(TrackerConfig) if each.live}
        self.config = replace(self.config, **live)

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
        for target in labels or {}:
            check_target_id(target)
        known = [target for target in ids if target in self.labels]
        frees_a_slot = replace_known and self.bank.frees_a_slot(known)
        self.check_room(0 if frees_a_slot else 1, ids)
        state = self._stream(stream)
        self.settle()
        geometry = self._geometry(image)
        self._fit(geometry, 0 if frees_a_slot else 1)
        view = self.engine.encode(image, geometry)
        masks = prepare_masks(cleaned, ids, geometry, self.device, self.engine.score_dtype)
        boxes = {target: box for target in ids
                 if (box := box_of_mask(cleaned == target)) is not None}
        pending = PendingWrite(view, image, masks, ids, frozenset(ids), boxes, stream, stamp_ns,
                               1.0, due=False, descriptor=self.engine.describe(view, masks))
        source = ReferenceSource(encode_png(image), encode_png(cleaned))
        # the last that can fail: a target without a reference would spoil every read
        frame = pending.encode(self.engine, self.config.evidence_size, source)
        for target in known if replace_known else ():
            self.bank.forget_frames_of(target)
            for each in self.streams.values():
                each.forget_target(target)
        for target in ids:
            self.bank.add_target(target)
            self.labels[target] = (labels or {}).get(
                target, self.labels.get(target, f'target {target}'))
        self.bank.write_reference(frame)
        state.everywhere.update(ids)
        if place_hint:
            state.see_with(geometry)
            for target, mask in zip(ids, masks, strict=True):
                state.forget_target(target)
                state.trust(target, boxes[target], mask)
        for target in ids:
            state.states[target] = TargetState.TRACKING
        if state.frames == 0:
            state.frames = 1
        self.moves += 1
        return tuple(ids)

    @torch.inference_mode()
    def step(self, image: np.ndarray, stream: str = 'camera', stamp_ns: int | None = None
             ) -> Result:
        """Find every target in the next frame of a stream.

        :param image: H×W×3 uint8 RGB.
        :param stamp_ns: the frame's time; one more than the last where None. A stamp before the
            last one's clears what the stream has seen; references stay.
        :raises InputError: for a bad image, or one stream too many; nothing is changed then.
        :raises NetworkOutputError: where the network fails; memory is as before the frame.
        """
        check_image(image)
        state = self._stream(stream)
        self.settle()
        self.moves += 1
        stamp = self._advance(state, stream, stamp_ns)
        geometry = self._geometry(image)
        self._fit(geometry)
        state.see_with(geometry)
        if not self.labels:
            state.frames += 1
            return empty_result(stream, stamp, geometry)
        look = self._look(image, geometry, stream, state)
        self.bank.account_usage(look.indices, look.mass.mean(axis=0).tolist())
        self._pending = self._plan_write(look, state, stream, stamp)
        state.remember(look.targets, dict(zip(look.order, look.prediction.soft_masks, strict=True)),
                       dict(zip(look.order, look.regions, strict=True)), self.network.stride)
        state.frames += 1
        return self._result(look, stream, stamp, self._pending is not None)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, stream: str = 'camera', stamp_ns: int = 0) -> Result:
        """Look for every target in one image, with what `stream` remembers; nothing is changed.

        :param image: H×W×3 uint8 RGB, of any size.
        :raises InputError: for a bad image. :raises NetworkOutputError: where the network fails.
        """
        check_image(image)
        self.settle()
        self.moves += 1
        geometry = self._geometry(image)
        if not self.labels:
            return empty_result(stream, stamp_ns, geometry)
        # by thresholds alone: nothing is known of where a target was
        alone = StreamState(states=dict.fromkeys(self.labels, TargetState.TRACKING))
        return self._result(self._look(image, geometry, stream, alone), stream, stamp_ns,
                            memorized=False)

    def _look(self, image: np.ndarray, geometry: Geometry, stream: str, state: StreamState
              ) -> _Look:
        """Read memory for an image and judge each target, going on from `state`'s states."""
        order = self.bank.target_order()
        indices = self.bank.readable_slots(stream)
        everywhere = bool(self.config.top_k) or self.policy.searches_everywhere
        regions = [None if everywhere else state.region_of(
            target, self.network.stride, self.config) for target in order]
        view = self.engine.encode(image, geometry, regions)
        prediction = self.engine.predict(view, geometry, self.bank, indices,
                                         state.prior(order), regions)
        follows = self.config.follow_look_alikes and not everywhere
        if not follows:
            state.look_alikes.clear()
        said = assess(state, order, self.labels, prediction, self.config, follows)
        if said.taken.any():
            taken, given = (prepare_masks(ids, order, geometry, self.device,
                                          self.engine.score_dtype)
                            for ids in (said.taken, said.given))
            soft = prediction.soft_masks
            prediction = replace(
                prediction, soft_masks=soft * (1 - taken) + given * (soft * taken).sum(0))
        return _Look(image, view, geometry, order, indices, regions, prediction, said.label_map,
                     said.targets)

    def _result(self, look: _Look, stream: str, stamp_ns: int, memorized: bool) -> Result:
        report = memory_report(self.bank, look.indices, look.order, look.mass)
        late = LateReads(self, look.image, look.view, look.prediction, look.geometry,
                         look.indices, look.order, look.mass)
        return Result(stream, stamp_ns, look.label_map, look.targets, report, memorized,
                      late.parts())

    @torch.inference_mode()
    def settle(self) -> None:
        """Write the last answered frame to memory, if it earned it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self.moves += 1
            self.bank.write_recent(pending.encode(self.engine, self.config.evidence_size),
                                   pending.due)

    @torch.inference_mode()
    def remove_target(self, target_id: int) -> None:
        """Forget a target and all that memory holds of it.

        :raises InputError: where it is not tracked.
        """
        if target_id not in self.labels:
            raise InputError(f'target {target_id} is not tracked; tracked are '
                             f'{sorted(self.labels) or "none"}')
        self.settle()
        self.moves += 1
        del self.labels[target_id]
        self.bank.remove_target(target_id)
        for state in self.streams.values():
            state.forget_target(target_id)

    def reset(self) -> None:
        """Forget all targets, references and streams."""
        self._pending = None
        self.moves += 1
        self.bank.clear()
        self.labels.clear()
        self.streams.clear()

    @torch.inference_mode()
    def save(self, path: str | Path) -> None:
        """Write targets, memory and streams to one file, atomically.

        :raises SnapshotError: where it cannot be written.
        """
        self.settle()
        save_tracker(self, Path(path))

    @torch.inference_mode()
    def load(self, path: str | Path, streams: Collection[str] = ()) -> None:
        """Go on from what save() wrote; what is held now is replaced only if the file is good.

        :param streams: those that there are; what others saw is left out. All, if empty.
        :raises SnapshotError: for a damaged file, another network or too small a memory.
        :raises InputError: where the budget has no room for the targets and frames held.
        """
        loaded = load_tracker(self, self._empty_bank, Path(path))
        for stream in [name for name in loaded.streams if streams and name not in streams]:
            loaded.bank.forget_stream(stream)
            del loaded.streams[stream]
        self._pending = None
        self.moves += 1
        self.bank, self.labels, self.streams = loaded.bank, loaded.labels, loaded.streams

    def _empty_bank(self, targets: int, positions: int) -> MemoryBank:
        """A bank for so many targets and positions, or for what is expected where that is more."""
        layout = planned_layout(self.engine, self.config, max(targets, self.config.max_targets),
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
        layout = planned_layout(self.engine, self.config, targets, positions)
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

    def _stream(self, name: str) -> StreamState:
        if name not in self.streams:
            if len(self.streams) >= self.config.max_streams:
                raise InputError(f'stream {name!r} is one too many: max_streams is '
                                 f'{self.config.max_streams}')
            self.streams[name] = StreamState()
        return self.streams[name]

    def _advance(self, state: StreamState, stream: str, stamp_ns: int | None) -> int:
        last = state.stamp_ns
        stamp = stamp_ns if stamp_ns is not None else (0 if last is None else last + 1)
        if last is not None and stamp < last:
            self.time_jumps += 1
            self.bank.forget_stream(stream)
            state.forget_past()
        state.stamp_ns = stamp
        return stamp

    def _plan_write(self, look: _Look, state: StreamState, stream: str,
                    stamp: int) -> PendingWrite | None:
        """What of this frame is to be remembered: only targets whose confidence earns it."""
        earned = worth_remembering(look.targets, self.bank, self.config)
        if not earned:
            return None
        masks = look.prediction.soft_masks
        if not self.policy.writes_always:
            kept = [float(target not in look.lost) for target in look.order]
            masks = masks * torch.tensor(kept, device=masks.device)[:, None, None]
        descriptor = look.prediction.descriptor
        boxes = {target.id: target.box for target in earned if target.box is not None}
        keeps_all = (self.config.full_look_every == 1 or self.policy.searches_everywhere
                     or len(boxes) < len(earned))
        core = None if keeps_all else core_of(boxes.values(), look.geometry, self.network.stride,
                                              look.view.window)
        return PendingWrite(
            look.view, look.image, masks, look.order, frozenset(target.id for target in earned),
            boxes, stream, stamp, float(np.mean([target.confidence for target in earned])),
            stays(self.bank, self.config, stream, state.frames, stamp, descriptor), descriptor,
            core, any(state.look_alikes.values()))
