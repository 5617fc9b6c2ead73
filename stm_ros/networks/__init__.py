# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trunks, the STM and STM-lite networks, memory read, aggregation, checkpoints."""
