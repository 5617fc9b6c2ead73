# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A client of the node, for `stm demo`: it shows a target, publishes frames, collects answers."""
