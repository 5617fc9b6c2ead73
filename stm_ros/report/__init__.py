# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reports for people: one HTML file with inline pictures and charts, and no other request."""
