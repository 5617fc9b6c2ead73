# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The rooms of docs/architecture.md are those that exist, and imports point downward only."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'stm_ros'
ROOMS = re.findall(r'^    stm_ros/(\w+)/', (ROOT / 'docs' / 'architecture.md').read_text(),
                   re.MULTILINE)
#: package data and the definitions of messages: no room has code that stands above or below them
WITHOUT_FLOOR = {'interfaces', 'weights'}


def rooms_imported(module: Path) -> set[str]:
    """The rooms of stm_ros that a module imports, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == 'stm_ros':
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('stm_ros.'):
            names.add((node.module or '').split('.')[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split('.')[1] for alias in node.names
                      if alias.name.startswith('stm_ros.')}
    return names & set(ROOMS)


def test_the_rooms_that_are_drawn_are_those_that_exist():
    exist = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').exists()}
    assert set(ROOMS) == exist - WITHOUT_FLOOR
    assert len(ROOMS) == len(set(ROOMS)) >= 9


@pytest.mark.parametrize('room', ROOMS)
def test_no_import_runs_up(room):
    below = set(ROOMS[ROOMS.index(room):])
    for module in sorted((PACKAGE / room).rglob('*.py')):
        above = rooms_imported(module) - below
        assert not above, f'{module.relative_to(ROOT)} imports {sorted(above)}, drawn above {room}'
