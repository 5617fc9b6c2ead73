# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks, boxes, resizing, overlays, prompts and image files."""
