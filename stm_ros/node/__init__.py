# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node: lifecycle, parameters, messages, services and diagnostics."""
