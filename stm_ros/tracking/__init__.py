# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The streaming API: show a target once, then step frame by frame."""
from stm_ros.tracking.config import TrackerConfig
from stm_ros.tracking.result import Evidence
from stm_ros.tracking.result import MemoryReport
from stm_ros.tracking.result import Readout
from stm_ros.tracking.result import Result
from stm_ros.tracking.result import SlotReport
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState
from stm_ros.tracking.tracker import Tracker

__all__ = ['Evidence', 'MemoryReport', 'Readout', 'Result', 'SlotReport', 'TargetResult',
           'TargetState', 'Tracker', 'TrackerConfig']
