# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The bank: a fixed number of slots, allocated once, that hold keys and values."""
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stm_ros.memory.fine_keys import FINE_RECENT
from stm_ros.memory.fine_keys import FineKeys
from stm_ros.memory.layout import BankLayout
from stm_ros.memory.policy import Policy
from stm_ros.memory.slots import Extent
from stm_ros.memory.slots import ReferenceSource
from stm_ros.memory.slots import Slot
from stm_ros.memory.slots import SlotKind
from stm_ros.networks.fine import FineFrame
from stm_ros.networks.reading import Reading
from stm_ros.networks.reading import read_memory
from stm_ros.vision.errors import InputError

USAGE_DECAY = 0.95


@dataclass(frozen=True)
class NewFrame:
    """What is written: key G×Ck×h×w, value N×Cv×h×w for `targets` in the same order.

    extent: the part of the frame that h×w are. readable: those of the targets that later frames
    may read here. descriptor: Ck float32, see
    stm_ros.memory.descriptors. source: of a reference, what it was given by. core: the part that
    is kept when the frame is no longer the newest, None for all. fine: what is matched at stride 8.
    kept_for: those of `readable` that may be read when it is no longer the newest, None for all.
    """

    key: Tensor
    value: Tensor
    extent: Extent
    targets: Sequence[int]
    readable: frozenset[int]
    stream: str
    stamp_ns: int
    confidence: float
    crops: dict[int, bytes]
    descriptor: np.ndarray
    source: ReferenceSource | None = None
    core: Extent | None = None
    fine: FineKeys | None = None
    kept_for: frozenset[int] | None = None


class MemoryBank:
    """Slots of memory frames on one device; never more than the layout has.

    References are pinned. Each stream has one recent slot, which a newer frame replaces; the
    policy decides which past frames stay. Targets own columns of the tensors.
    """

    def __init__(self, layout: BankLayout, policy: Policy, device: torch.device) -> None:
        self.layout = layout
        self.policy = policy
        self.device = device
        self.slots: list[Slot | None] = [None] * layout.slots
        self.columns: dict[int, int] = {}
        self._order = 0
        #: counts changes of what is held: who has read from another generation comes too late
        self.generation = 0
        self.keys, self.values = self._allocate(layout)

    def _allocate(self, layout: BankLayout) -> tuple[Tensor, Tensor]:
        groups, per_group = (1, layout.targets) if layout.shares_key else (layout.targets, 1)
        place = (groups, layout.slots, layout.positions)
        return (torch.zeros(*place, layout.key_channels, dtype=layout.key_dtype,
                            device=self.device),
                torch.zeros(*place, per_group, layout.value_channels, dtype=layout.value_dtype,
                            device=self.device))

    def clear(self) -> None:
        """Hold nothing any more; the tensors stay."""
        self.slots = [None] * self.layout.slots
        self.columns = {}
        self._order = 0
        self.generation += 1

    def resize(self, layout: BankLayout, new_references: int = 0) -> None:
        """Move to tensors of another layout; where slots get fewer, the policy gives frames up.

        :param new_references: how many more are about to be pinned.
        :raises InputError: where what is pinned does not fit into the new layout.
        """
        self._check_pinned_room(layout.slots, len(self.references()) + new_references)
        held = [index for index, slot in enumerate(self.slots) if slot is not None]
        positions = max((self.slot(index).positions for index in held), default=0)
        if layout.targets < len(self.columns) or layout.positions < positions:
            raise InputError(f'memory holds {len(self.columns)} targets and frames of {positions} '
                             f'positions; a layout for {layout.targets} and {layout.positions} is '
                             'too small')
        keys, values = self._allocate(layout)
        while len(held) > layout.slots:
            held.remove(self.give_up())
        places = held if layout.slots >= self.layout.slots else range(len(held))
        slots: list[Slot | None] = [None] * layout.slots
        shared = min(self.values.shape[3], values.shape[3])
        groups = min(self.keys.shape[0], keys.shape[0])
        positions = min(self.layout.positions, layout.positions)
        for old, new in zip(held, places, strict=True):
            keys[:groups, new, :positions] = self.keys[:groups, old, :positions]
            values[:groups, new, :positions, :shared] = (
                self.values[:groups, old, :positions, :shared])
            slots[new] = self.slots[old]
        self.layout, self.slots, self.keys, self.values = layout, slots, keys, values
        self.generation += 1

    def add_target(self, target: int) -> None:
        """Give `target` a column of its own, which holds nothing yet.

        :raises InputError: where all columns are taken.
        """
        if target in self.columns:
            return
        if len(self.columns) >= self.layout.targets:
            raise InputError(f'memory is sized for {self.layout.targets} targets and holds '
                             f'{sorted(self.columns)}; raise max_targets or remove one')
        self.columns[target] = len(self.columns)
        self.generation += 1

    def remove_target(self, target: int) -> None:
        """Forget `target`: its column goes to the last target, its own slots become free."""
        column = self.columns.pop(target)
        last = len(self.columns)
        if column != last:
            moved = next(t for t, c in self.columns.items() if c == last)
            self.columns[moved] = column
            if self.layout.shares_key:
                self.values[:, :, :, column] = self.values[:, :, :, last]
            else:
                self.keys[column] = self.keys[last]
                self.values[column] = self.values[last]
        self.forget_frames_of(target)

    def forget_frames_of(self, target: int) -> None:
        """Let `target` read nothing of what is held; frames that nobody reads go."""
        for index, slot in enumerate(self.slots):
            if slot is not None and target in slot.targets:
                left = slot.targets - {target}
                self.generation += 1
                slot.crops.pop(target, None)
                self.slots[index] = replace(slot, targets=left) if left else None

    def frees_a_slot(self, targets: Sequence[int]) -> bool:
        """Whether forgetting the frames of `targets` leaves a reference that nobody reads."""
        return any(slot.targets <= set(targets) for slot in self.references())

    def kept_slots(self, stream: str) -> list[Slot]:
        """References, and the frames of `stream` that stay: what a new frame is compared with."""
        return [slot for slot in map(self.slot, self.readable_slots(stream))
                if slot.kind != SlotKind.RECENT or slot.due]

    def forget_stream(self, stream: str) -> None:
        """Drop what was seen on `stream`, references excepted."""
        for index, slot in enumerate(self.slots):
            if slot is not None and slot.stream == stream and slot.kind != SlotKind.REFERENCE:
                self.slots[index] = None
        self.generation += 1

    def write_reference(self, frame: NewFrame) -> None:
        """Pin a reference; what earlier references say of the same targets stays readable.

        :raises InputError: see check_reference_room.
        """
        self.check_reference_room()
        self._store(self._free_index(), frame, SlotKind.REFERENCE, due=False)

    def check_reference_room(self, count: int = 1) -> None:
        """Make sure that `count` more references can be pinned.

        :raises InputError: where it would leave no slot for anything recent.
        """
        self._check_pinned_room(self.layout.slots, len(self.references()) + count)

    def references(self) -> list[Slot]:
        """The pinned slots, oldest first."""
        found = [slot for slot in self.slots
                 if slot is not None and slot.kind == SlotKind.REFERENCE]
        return sorted(found, key=lambda slot: slot.order)

    def _check_pinned_room(self, slots: int, references: int) -> None:
        if references + (1 if self.policy.keeps_recent else 0) > slots:
            raise InputError(
                f'{references} references do not fit into {slots} memory slots, one of which is '
                'for the newest frame: raise max_frames or max_megabytes, or remove a target')

    def write_recent(self, frame: NewFrame, due: bool) -> None:
        """Replace the stream's recent frame; the old one stays as memory where it was due."""
        index = self._recent_index(frame.stream)
        if index is not None:
            old = self.slots[index]
            assert old is not None
            if old.due and self.policy.keeps_past:
                self._keep_core(index)
                old.kind = SlotKind.MEMORY
                if old.kept_for is not None:
                    old.targets &= old.kept_for
                index = None
        self._store(self._free_index() if index is None else index, frame, SlotKind.RECENT, due)

    def _keep_core(self, index: int) -> None:
        """Drop what a slot holds around its core."""
        slot = self.slot(index)
        if slot.core is None:
            return
        rows, columns = slot.extent.slices_of(slot.core)
        tensors = self.keys, self.values
        # copies, since both lie in the same memory; all of them before the first is written
        parts = [held[:, index, :slot.positions].unflatten(1, slot.extent[:2])[:, rows, columns]
                 .clone().flatten(1, 2) for held in tensors]
        for held, part in zip(tensors, parts, strict=True):
            held[:, index, :part.shape[1]] = part
        slot.extent, slot.core = slot.core, None

    def _recent_index(self, stream: str) -> int | None:
        for index, slot in enumerate(self.slots):
            if slot is not None and slot.kind == SlotKind.RECENT and slot.stream == stream:
                return index
        return None

    def _free_index(self) -> int:
        """An empty slot, or that of the frame which the policy gives up."""
        for index, slot in enumerate(self.slots):
            if slot is None:
                return index
        return self.give_up()

    def give_up(self) -> int:
        """Free the slot of the frame that the policy gives up; its index.

        Of the stream that holds most, and a newest frame only where nothing else is left.
        """
        held = [slot for slot in self.slots if slot is not None]
        candidates = [slot for slot in held if slot.kind == SlotKind.MEMORY]
        if not candidates:
            candidates = [slot for slot in held if slot.kind == SlotKind.RECENT]
        counts: dict[str, int] = {}
        for slot in candidates:
            counts[slot.stream] = counts.get(slot.stream, 0) + 1
        most = max(counts.values())
        victim = self.policy.victim([s for s in candidates if counts[s.stream] == most])
        index = next(i for i, slot in enumerate(self.slots) if slot is victim)
        self.slots[index] = None
        return index

    def _store(self, index: int, frame: NewFrame, kind: SlotKind, due: bool) -> None:
        key = frame.key.flatten(2).transpose(1, 2).to(self.layout.key_dtype)
        value = frame.value.flatten(2).transpose(1, 2).to(self.layout.value_dtype)
        positions = key.shape[1]
        columns = [self.columns[target] for target in frame.targets]
        if self.layout.shares_key:
            self.keys[0, index, :positions] = key[0]
            self.values[0, index, :positions, columns] = value.transpose(0, 1)
        else:
            self.keys[columns, index, :positions] = key
            self.values[columns, index, :positions, 0] = value
        self._order += 1
        self.slots[index] = Slot(
            kind, frame.stream, frame.stamp_ns, frame.confidence, self._order,
            frame.extent, frame.readable,
            frame.descriptor, dict(frame.crops), due=due, source=frame.source, core=frame.core,
            fine=frame.fine, kept_for=frame.kept_for)
        self._keep_newest_fine(frame.stream)
        self.generation += 1

    def _keep_newest_fine(self, stream: str) -> None:
        """Let all but the newest frames of a stream go without what is matched at stride 8."""
        held = [slot for slot in self.slots if slot is not None and slot.fine is not None
                and slot.stream == stream and slot.kind != SlotKind.REFERENCE]
        for slot in sorted(held, key=lambda slot: -slot.order)[FINE_RECENT:]:
            slot.fine = None

    def fine_frames(self, indices: Sequence[int], places: Sequence[int], each_its_own: bool
                    ) -> list[FineFrame]:
        """What is matched at stride 8 in the slots, for targets by their place in target_order().

        :param each_its_own: see FineKeys.frame.
        """
        order = self.target_order()
        targets = [order[place] for place in places]
        slots = [slot for slot in map(self.slot, indices) if slot.fine is not None]
        return [slot.fine.frame(targets, slot.targets, slot.kind == SlotKind.REFERENCE,
                                each_its_own) for slot in slots if slot.fine is not None]

    def continue_order(self, order: int) -> None:
        """Count writes on from `order`, as a snapshot left them."""
        self._order = order

    def readable_slots(self, stream: str | None) -> list[int]:
        """Slots that `stream` reads: all references, and what it saw itself; oldest first.

        :param stream: None for the references alone.
        """
        chosen = [index for index, slot in enumerate(self.slots) if slot is not None
                  and (slot.kind == SlotKind.REFERENCE or slot.stream == stream)]
        return sorted(chosen, key=lambda index: self.slot(index).order)

    def slot(self, index: int) -> Slot:
        """The slot at `index`, which must be in use."""
        slot = self.slots[index]
        assert slot is not None
        return slot

    def target_order(self) -> list[int]:
        """Target ids in the order of their columns, which is the order of what is read."""
        return sorted(self.columns, key=self.columns.__getitem__)

    def readable(self, indices: Sequence[int]) -> list[list[bool]]:
        """N×S: whether the target of each column may read each of the slots."""
        return [[target in self.slot(index).targets for index in indices]
                for target in self.target_order()]

    def keys_of(self, indices: Sequence[int]) -> list[Tensor]:
        """Views G×m×Ck of the keys in the slots, for the targets held."""
        groups = slice(1) if self.layout.shares_key else slice(len(self.columns))
        return [self.keys[groups, index, :self.slot(index).positions] for index in indices]

    def values_of(self, indices: Sequence[int]) -> list[Tensor]:
        """Views G×m×n×Cv of the values in the slots, for the targets held."""
        count = len(self.columns)
        groups, per_group = (1, count) if self.layout.shares_key else (count, 1)
        return [self.values[:groups, index, :self.slot(index).positions, :per_group]
                for index in indices]

    def read(self, key: Tensor, indices: Sequence[int], similarity: str, top_k: int = 0,
             places: Sequence[int] | None = None) -> Reading:
        """Read the slots for query positions.

        :param key: 1×q×Ck, the positions that all targets read for, or N×q×Ck, each its own.
        :param places: the N targets, by their place in target_order(); None for all.
        :return: readout N×q×Cv, slot_mass N×S×q and peak N×q; see networks.reading.
        """
        places = list(range(len(self.columns))) if places is None else places
        chosen = as_slice(places)
        keys, values = self.keys_of(indices), self.values_of(indices)
        if self.layout.shares_key:
            values = [value[:, :, chosen] for value in values]
        else:
            keys, values = [k[chosen] for k in keys], [value[chosen] for value in values]
            key = key.expand(len(places), -1, -1)
        if self.layout.shares_key and key.shape[0] > 1:
            values = [value.transpose(0, 2) for value in values]
        readable = self.readable(indices)
        reading = read_memory(key.to(self.layout.key_dtype), keys, values, similarity,
                              [readable[place] for place in places], top_k)
        return Reading(reading.readout.flatten(0, 1), reading.slot_mass.flatten(0, 1),
                       reading.peak.flatten(0, 1))

    def account_usage(self, indices: Sequence[int], mass: Sequence[float]) -> None:
        """Add the attention mass that each slot received in a frame to its decayed usage."""
        self.generation += 1
        for index, share in zip(indices, mass, strict=True):
            slot = self.slot(index)
            slot.usage = USAGE_DECAY * slot.usage + float(share)


def as_slice(numbers: Sequence[int]) -> slice | list[int]:
    """What picks `numbers` from an axis: a slice where they are a run, which gives a view."""
    is_run = list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return slice(numbers[0], numbers[-1] + 1) if is_run else list(numbers)
