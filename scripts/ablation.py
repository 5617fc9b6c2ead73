# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Run an stm command with other values of a constant, for an ablation.

    python scripts/ablation.py stm_ros.tracking.association:MET=0.05 reliability --seeds 110-113

The constant is changed in the module that uses it; several changes may be given.
"""
import sys
from importlib import import_module

from stm_ros.cli.main import main


def change(assignment: str) -> None:
    """Set MODULE:NAME=VALUE, a number.

    :raises SystemExit: where the module has no such number.
    """
    place, _, value = assignment.partition('=')
    module_name, _, name = place.partition(':')
    module = import_module(module_name)
    if not isinstance(getattr(module, name, None), (int, float)):
        raise SystemExit(f'{module_name} has no number {name}')
    setattr(module, name, type(getattr(module, name))(float(value)))


if __name__ == '__main__':
    words = sys.argv[1:]
    while words and ':' in words[0] and '=' in words[0]:
        change(words.pop(0))
    sys.exit(main(words))
