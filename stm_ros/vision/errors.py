# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The errors that are for the person who reads them; anything else is a fault of the program."""


class StmError(Exception):
    """Something cannot be done as asked; the message says what was wrong and what is accepted."""


class InputError(StmError, ValueError):
    """What a user gave cannot be used; the message names the value and what is accepted."""
