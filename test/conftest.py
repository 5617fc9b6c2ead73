# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that tests of several rooms share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def shared_dir() -> Path:
    """Return the folder with golden outputs and benchmark data: STM_SHARED, else ../shared."""
    folder = Path(os.environ.get('STM_SHARED', ROOT.parent / 'shared'))
    if not folder.is_dir():
        pytest.skip(f'no shared data in {folder}; STM_SHARED names the folder')
    return folder
