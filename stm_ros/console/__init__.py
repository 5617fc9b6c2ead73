# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's page, a client of the node: ROS in one thread, the web in another."""
