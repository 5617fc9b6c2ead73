# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One look at a frame: where to look, what the network finds there, how far to believe it."""
