# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The bank of memory frames: slots, budget, policy, snapshot."""
