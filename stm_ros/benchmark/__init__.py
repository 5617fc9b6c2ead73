# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How long a frame takes, stage by stage, and against the paper's procedure as written."""
