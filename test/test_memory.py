# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The bank, its policies and snapshots, by property."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from stm_ros.memory.bank import MemoryBank
from stm_ros.memory.bank import NewFrame
from stm_ros.memory.bank_state import export_bank
from stm_ros.memory.bank_state import import_bank
from stm_ros.memory.descriptors import descriptor_of
from stm_ros.memory.descriptors import novelty_of
from stm_ros.memory.layout import BankLayout
from stm_ros.memory.policy import POLICIES
from stm_ros.memory.slots import Extent
from stm_ros.memory.slots import SlotKind
from stm_ros.memory.snapshot import SnapshotError
from stm_ros.memory.snapshot import read_snapshot
from stm_ros.memory.snapshot import write_snapshot
from stm_ros.vision.errors import InputError

LAYOUT = BankLayout(slots=5, targets=3, positions=6, key_channels=2, value_channels=3,
                    shares_key=True, value_dtype=torch.float32, key_dtype=torch.float32)


def make_bank(policy: str = 'fifo', shares_key: bool = True) -> MemoryBank:
    """A bank of five slots for three targets."""
    return MemoryBank(replace(LAYOUT, shares_key=shares_key), POLICIES[policy](),
                      torch.device('cpu'))


def make_frame(bank: MemoryBank, stamp: int, targets: tuple[int, ...] = (1,),
               stream: str = 'camera', readable: tuple[int, ...] | None = None) -> NewFrame:
    """A frame whose key and value tell its stamp: value 100·target + stamp."""
    for target in targets:
        bank.add_target(target)
    groups = 1 if bank.layout.shares_key else len(targets)
    value = torch.stack([torch.full((3, 2, 3), 100.0 * t + stamp) for t in targets])
    return NewFrame(torch.full((groups, 2, 2, 3), float(stamp)), value,
                    Extent(2, 3, 0, 0, 2, 3), targets,
                    frozenset(targets if readable is None else readable), stream, stamp, 0.9,
                    {target: b'jpeg' for target in targets},
                    np.full(2, stamp, np.float32))


def test_a_part_lies_in_its_frame_where_it_was_cut():
    part = np.arange(1, 7, dtype=np.float32)
    whole = Extent(2, 3, 1, 2, 4, 5).in_frame(part)
    assert whole.tolist() == [[0] * 5, [0, 0, 1, 2, 3], [0, 0, 4, 5, 6], [0] * 5]


@pytest.mark.parametrize('shares_key', [True, False])
def test_a_past_frame_keeps_its_core_only(shares_key):
    bank = make_bank(shares_key=shares_key)
    frame = make_frame(bank, 1, (1, 2))
    places = torch.arange(6.0).view(1, 1, 2, 3)
    key = frame.key + 10 * places
    bank.write_recent(replace(frame, key=key, value=frame.value + 10 * places,
                              core=Extent(1, 2, 1, 1, 2, 3)), due=True)
    assert bank.slot(0).positions == 6
    bank.write_recent(make_frame(bank, 2, (1, 2)), due=False)
    slot = bank.slot(0)
    assert (slot.kind, slot.extent, slot.positions) == (SlotKind.MEMORY,
                                                        Extent(1, 2, 1, 1, 2, 3), 2)
    for group in bank.keys_of([0])[0]:
        assert group.tolist() == [[41, 41], [51, 51]]
    values = bank.values_of([0])[0].transpose(0, 2) if shares_key else bank.values_of([0])[0]
    assert [value[:, 0, 0].tolist() for value in values.view(2, 2, 1, 3)] == [[141, 151],
                                                                              [241, 251]]
    assert bank.slot(1).positions == 6


def stamps(bank: MemoryBank, kind: SlotKind | None = None) -> list[int]:
    """Stamps held, in order."""
    return sorted(slot.stamp_ns for slot in bank.slots
                  if slot is not None and (kind is None or slot.kind == kind))


def test_a_frame_is_held_value_for_value():
    for shares_key in (True, False):
        bank = make_bank(shares_key=shares_key)
        bank.write_reference(make_frame(bank, 7, targets=(4, 9)))
        indices = bank.readable_slots('camera')
        key, value = bank.keys_of(indices)[0], bank.values_of(indices)[0]
        assert (key == 7).all() and key.shape[1] == 6
        by_target = value[0].permute(1, 0, 2) if shares_key else value[:, :, 0]
        assert by_target[0].unique().tolist() == [407]
        assert by_target[1].unique().tolist() == [907]


def test_the_schedule_keeps_due_frames_and_the_newest():
    bank = make_bank()
    bank.write_reference(make_frame(bank, 0))
    for stamp in range(1, 9):
        bank.write_recent(make_frame(bank, stamp), due=stamp % 3 == 0)
    assert stamps(bank, SlotKind.REFERENCE) == [0]
    assert stamps(bank, SlotKind.MEMORY) == [3, 6]
    assert stamps(bank, SlotKind.RECENT) == [8]


_writes = st.lists(st.tuples(st.sampled_from(['left', 'right']), st.booleans(),
                             st.floats(0, 1)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(policy=st.sampled_from(sorted(POLICIES)), writes=_writes)
def test_never_over_budget_and_never_without_the_pinned_and_the_newest(policy, writes):
    bank = make_bank(policy)
    bank.write_reference(make_frame(bank, 0))
    bank.write_reference(make_frame(bank, 1, targets=(2,)))
    for stamp, (stream, due, usage) in enumerate(writes, start=2):
        bank.write_recent(make_frame(bank, stamp, stream=stream), due)
        held = bank.readable_slots(stream)
        bank.account_usage(held, [usage] * len(held))
        assert sum(slot is not None for slot in bank.slots) <= LAYOUT.slots
        assert stamps(bank, SlotKind.REFERENCE) == [0, 1]
        assert stamp in stamps(bank, SlotKind.RECENT)
        assert len(stamps(bank, SlotKind.RECENT)) <= 2


@pytest.mark.parametrize('policy, gone', [('fifo', 2), ('least_used', 5), ('diverse', 4)])
def test_each_policy_gives_up_its_own_frame(policy, gone):
    kind = POLICIES[policy]()
    bank = make_bank(policy)
    for stamp in (2, 4, 5):
        bank.write_recent(make_frame(bank, stamp), due=True)
    slots = [bank.slot(index) for index in range(3)]
    for slot, usage in zip(slots, (0.5, 0.4, 0.1), strict=True):
        slot.usage = usage
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        assert kind.victim([slots[i] for i in order]).stamp_ns == gone


def test_the_stream_with_most_memory_gives_up_a_frame():
    bank = make_bank()
    bank.write_reference(make_frame(bank, 0))
    for stamp in (1, 2, 3):
        bank.write_recent(make_frame(bank, stamp, stream='left'), due=True)
    bank.write_recent(make_frame(bank, 4, stream='right'), due=True)
    bank.write_recent(make_frame(bank, 5, stream='right'), due=True)
    assert stamps(bank) == [0, 2, 3, 4, 5]


def test_too_many_references_and_targets_are_refused():
    bank = make_bank()
    for stamp in range(4):
        bank.write_reference(make_frame(bank, stamp))
    with pytest.raises(InputError, match='5 references do not fit into 5 memory slots'):
        bank.write_reference(make_frame(bank, 4))
    bank.add_target(2)
    bank.add_target(3)
    with pytest.raises(InputError, match='sized for 3 targets'):
        bank.add_target(4)


@pytest.mark.parametrize('shares_key', [True, False])
def test_removing_a_target_leaves_the_others_as_they_were(shares_key):
    bank = make_bank(shares_key=shares_key)
    bank.write_reference(make_frame(bank, 5, targets=(1, 2, 3)))
    bank.write_reference(make_frame(bank, 6, targets=(1,)))
    bank.remove_target(1)
    assert stamps(bank) == [5]
    assert bank.target_order() == [3, 2]
    value = bank.values_of([0])[0]
    by_target = value[0].permute(1, 0, 2) if shares_key else value[:, :, 0]
    assert [part.unique().tolist() for part in by_target] == [[305], [205]]
    assert bank.readable([0]) == [[True], [True]]
    bank.add_target(1)
    assert bank.readable([0]) == [[True], [True], [False]]


def test_a_stream_reads_references_and_its_own_frames_only():
    bank = make_bank()
    bank.write_reference(make_frame(bank, 0, stream='left'))
    bank.write_recent(make_frame(bank, 1, stream='left'), due=False)
    bank.write_recent(make_frame(bank, 2, stream='right'), due=False)
    assert [bank.slot(i).stamp_ns for i in bank.readable_slots('right')] == [0, 2]
    bank.forget_stream('left')
    assert stamps(bank) == [0, 2]


def test_growing_keeps_what_is_held():
    for shares_key in (True, False):
        bank = make_bank(shares_key=shares_key)
        bank.write_reference(make_frame(bank, 7, targets=(1, 2)))
        before = export_bank(bank)[0]
        bank.resize(replace(bank.layout, slots=8, targets=6, positions=11))
        after = export_bank(bank)[0]
        assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize('shares_key', [True, False])
def test_shrinking_gives_up_frames_and_keeps_references(shares_key):
    bank = make_bank(shares_key=shares_key)
    bank.write_reference(make_frame(bank, 0))
    for stamp in (1, 2, 3, 4):
        bank.write_recent(make_frame(bank, stamp), due=True)
    before = export_bank(bank)[0]
    with pytest.raises(InputError, match='3 references do not fit into 3'):
        bank.resize(replace(bank.layout, slots=3), new_references=2)
    bank.resize(replace(bank.layout, slots=3, targets=2, positions=6))
    assert stamps(bank) == [0, 3, 4]
    held = [bank.slot(i).stamp_ns for i in range(3)]
    for place, stamp in enumerate(held):
        assert torch.equal(bank.values_of([place])[0], before[f'value.{stamp}'])
    with pytest.raises(InputError, match='too small'):
        bank.resize(replace(bank.layout, positions=5))
    bank.write_reference(make_frame(bank, 5))
    with pytest.raises(InputError, match='2 references do not fit into 2'):
        bank.resize(replace(bank.layout, slots=2))


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=5))
def test_novelty_is_zero_for_what_is_known_and_does_not_depend_on_order(known):
    table = [np.array(row, np.float32) for row in known]
    assert novelty_of(table[0], table) == 0
    probe = np.array([9, 9, 9], np.float32)
    assert novelty_of(probe, table) == novelty_of(probe, table[::-1]) > 0
    assert novelty_of(probe, []) is None


def test_a_descriptor_is_of_what_the_masks_cover():
    key = torch.zeros(1, 2, 2, 2)
    key[0, :, 0, 0] = torch.tensor([3.0, 5.0])
    cells = torch.zeros(1, 2, 2)
    cells[0, 0, 0] = 1
    assert np.allclose(descriptor_of(key, cells), [3, 5], atol=1e-4)
    assert np.allclose(descriptor_of(key, cells * 0), [0.75, 1.25])


@pytest.mark.parametrize('shares_key', [True, False])
def test_a_snapshot_brings_back_every_number(tmp_path, shares_key):
    bank = make_bank(shares_key=shares_key)
    bank.write_reference(make_frame(bank, 5, targets=(1, 2)))
    bank.write_recent(make_frame(bank, 6, targets=(2,), readable=(2,)), due=True)
    tensors, table = export_bank(bank)
    write_snapshot(tmp_path / 'memory.safetensors', tensors, {'bank': table})
    read, content = read_snapshot(tmp_path / 'memory.safetensors')
    other = make_bank(shares_key=shares_key)
    import_bank(other, read, content['bank'])
    again, again_table = export_bank(other)
    assert again_table == table
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert np.array_equal(other.slot(0).descriptor, bank.slot(0).descriptor)


def test_a_damaged_snapshot_is_refused(tmp_path):
    path = tmp_path / 'memory.safetensors'
    write_snapshot(path, {'x': torch.arange(64.0)}, {'bank': {}})
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match='checksum'):
        read_snapshot(path)
    path.write_bytes(content[:40])
    with pytest.raises(SnapshotError, match='damaged'):
        read_snapshot(path)
    with pytest.raises(SnapshotError, match='there is no snapshot'):
        read_snapshot(tmp_path / 'absent.safetensors')


def test_a_snapshot_that_cannot_be_written_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(SnapshotError, match='No such file or directory'):
        write_snapshot(tmp_path / 'absent' / 'memory.safetensors', {}, {})
    assert list(tmp_path.iterdir()) == []
