# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The error that bad input raises."""


class InputError(ValueError):
    """What a user gave cannot be used; the message names the value and what is accepted."""
