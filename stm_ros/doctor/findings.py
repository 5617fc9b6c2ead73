# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a check found, and what to do about it."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """OK: as it should be. NOTE: works, and could be better. FAULT: something will not work."""

    OK = 'ok'
    NOTE = 'note'
    FAULT = 'FAULT'


@dataclass(frozen=True)
class Finding:
    """One sentence on one subject; `remedy` says what to do, and is empty where all is well."""

    level: Level
    subject: str
    text: str
    remedy: str = ''

    def __post_init__(self) -> None:
        """Whoever reports a fault or a note owes the remedy."""
        if (self.level == Level.OK) != (self.remedy == ''):
            raise ValueError(f'{self.subject}: a remedy belongs to each note and fault, and to '
                             'nothing else')


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, subject, text)


def note(subject: str, text: str, remedy: str) -> Finding:
    """It works; `remedy` makes it better."""
    return Finding(Level.NOTE, subject, text, remedy)


def fault(subject: str, text: str, remedy: str) -> Finding:
    """It does not work before `remedy` is done."""
    return Finding(Level.FAULT, subject, text, remedy)


def as_text(findings: Iterable[Finding]) -> str:
    """The findings as a person reads them, the remedy under each, and a count at the end."""
    findings = list(findings)
    width = max((len(item.subject) for item in findings), default=0)
    lines = []
    for item in findings:
        lines.append(f'{item.level.value:<5}  {item.subject:<{width}}  {item.text}')
        if item.remedy:
            lines.append(f'{"":<5}  {"":<{width}}  -> {item.remedy}')
    faults = sum(item.level == Level.FAULT for item in findings)
    notes = sum(item.level == Level.NOTE for item in findings)
    lines.append(f'{len(findings)} checks: {faults} to mend, {notes} that could be better'
                 if faults or notes else f'{len(findings)} checks: all well')
    return '\n'.join(lines)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where something has to be mended, else 0."""
    return int(any(item.level == Level.FAULT for item in findings))
