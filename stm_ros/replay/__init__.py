# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Read frames from bags, folders and videos, and write results."""
