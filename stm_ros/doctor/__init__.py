# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm doctor`: what works on this machine, what does not, and what to do about it."""
