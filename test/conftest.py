# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that tests of several rooms share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
#: ROS domains that one worker of pytest-xdist leaves to the others; 0 to 101 are safe on Linux
DOMAINS_PER_WORKER = 25

if worker := os.environ.get('PYTEST_XDIST_WORKER'):
    # Set before rclpy and torch are imported, and inherited by the nodes that tests start.
    domain = int(os.environ.get('ROS_DOMAIN_ID', '0')) % DOMAINS_PER_WORKER
    os.environ['ROS_DOMAIN_ID'] = str(
        domain + DOMAINS_PER_WORKER * (int(worker.removeprefix('gw')) % 4))
    os.environ['OMP_NUM_THREADS'] = '1'


# the same examples every time; `--hypothesis-profile default` looks for new ones
settings.register_profile('same_examples', derandomize=True)
settings.load_profile('same_examples')


@pytest.fixture(scope='session')
def shared_dir() -> Path:
    """Return the folder with golden outputs and benchmark data: STM_SHARED, else ../shared."""
    folder = Path(os.environ.get('STM_SHARED', ROOT.parent / 'shared'))
    if not folder.is_dir():
        pytest.skip(f'no shared data in {folder}; STM_SHARED names the folder')
    return folder
