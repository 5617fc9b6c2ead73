# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node measured from a second process, for `stm bench --graph`."""
