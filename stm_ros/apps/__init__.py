# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What drives the node from outside, as a user's program would: the demo, the graph benchmark."""
