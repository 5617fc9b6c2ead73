# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Data, augmentation, losses, loop and export of the shipped weights."""
