# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures whose truth is known: composed of photographs, set in motion, rendered."""
