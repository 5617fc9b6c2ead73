#!/usr/bin/env python3
# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The tool page's command: `stm run` from any Python, with nothing activated.

Where this Python has stm_ros and PyTorch it is used; otherwise that of the repository's `.venv`.
"""
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
VENV_PYTHON = REPOSITORY / '.venv' / 'bin' / 'python'
NEEDED = ('torch', 'cv2', 'PIL', 'safetensors')
_STARTED_AGAIN = 'STM_TOOL_STARTED_AGAIN'


def main() -> int:
    """Run here, or start again in the repository's environment, or say how to make it."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        sys.path.insert(0, str(REPOSITORY))
        from stm_ros.cli.main import main as stm
        return stm(['run', *sys.argv[1:]])
    if VENV_PYTHON.exists() and _STARTED_AGAIN not in os.environ:
        os.environ[_STARTED_AGAIN] = '1'
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), __file__, *sys.argv[1:]])
    message = (f'this Python lacks {", ".join(missing)}, and {VENV_PYTHON} cannot help: '
               f'run `make demo` in {REPOSITORY} first')
    print(json.dumps({'tool': 'stm', 'status': 'error', 'message': message, 'results': []}))
    print(f'stm: error: {message}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
