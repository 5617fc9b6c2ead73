# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The field's protocols and measures."""
