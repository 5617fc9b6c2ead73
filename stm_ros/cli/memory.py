# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm memory`: what a saved memory holds; its references as a folder of pictures, and back."""
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.file_kinds import FileKind
from stm_ros.cli.file_kinds import expect_kind
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import refuse_existing

if TYPE_CHECKING:
    from stm_ros.tracking import Tracker


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('action', choices=('show', 'export', 'import'),
                        help='show: list what a snapshot holds; export: write its references as '
                             'a folder that can be edited; import: make a snapshot of a folder')
    parser.add_argument('source', type=Path, help='a snapshot, or for import a folder')
    parser.add_argument('out', type=Path, nargs='?',
                        help='export: a new folder; import: the snapshot to write')
    parser.add_argument('--model', choices=NETWORK_NAMES, default='stm_lite',
                        help='the network that made it (default: %(default)s)')
    parser.add_argument('--weights', type=Path, help='its weights (default: those that ship)')


def run(arguments: Namespace) -> int:
    """Show, export or import.

    :raises StmError: where a file cannot be used; the message says which and why.
    """
    from stm_ros.tracking.reference_folder import export_references
    from stm_ros.tracking.reference_folder import import_references
    from stm_ros.tracking.reference_folder import read_references
    if arguments.action != 'show' and arguments.out is None:
        raise InputError(f'{arguments.action} needs a second path to write to')
    if arguments.action == 'import':
        expect_kind(arguments.source, FileKind.REFERENCES, '`stm memory export` writes one')
        refuse_existing(arguments.out)
        tracker = _tracker(arguments, slots=len(read_references(arguments.source)) + 2)
        ids = import_references(tracker, arguments.source)
        tracker.save(arguments.out)
        print(f'wrote {arguments.out} with targets {", ".join(map(str, ids))}')
        return 0
    expect_kind(arguments.source, FileKind.MEMORY, "the node's ~/save_memory writes one")
    tracker = _tracker(arguments, slots=_slots_of(arguments.source))
    tracker.load(arguments.source)
    if arguments.action == 'export':
        count = export_references(tracker, arguments.out)
        print(f'wrote {count} references to {arguments.out}')
    else:
        _show(tracker)
    return 0


def _tracker(arguments: Namespace, slots: int) -> 'Tracker':
    from stm_ros.tracking import Tracker
    from stm_ros.tracking import TrackerConfig
    return Tracker.from_pretrained(arguments.model, arguments.weights,
                                   config=TrackerConfig(max_frames=max(2, slots)))


def _slots_of(path: Path) -> int:
    from stm_ros.memory.snapshot import read_snapshot
    rows = read_snapshot(path)[1]['bank']['slots']
    return max((row['index'] for row in rows), default=0) + 1


def _show(tracker: 'Tracker') -> None:
    for target, label in tracker.targets.items():
        print(f'target {target}: {label}')
    print(f'{"kind":10} {"stream":12} {"stamp (s)":>18} {"confidence":>10} {"usage":>6}  targets')
    for slot in sorted((slot for slot in tracker.bank.slots if slot is not None),
                       key=lambda slot: slot.order):
        print(f'{slot.kind.value:10} {slot.stream:12} {slot.stamp_ns / 1e9:18.3f} '
              f'{slot.confidence:10.2f} {slot.usage:6.2f}  '
              f'{", ".join(map(str, sorted(slot.targets)))}')
