# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Replay over a library of recordings: workers, what is done already, one report."""
