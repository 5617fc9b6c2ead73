# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The torch device that a command is told to use."""
import torch

from stm_ros.vision.errors import InputError


def check_device(name: str) -> str:
    """Return `name` where torch can compute on such a device here.

    :raises InputError: otherwise.
    """
    try:
        torch.empty(0, device=torch.device(name))
    # what an absent device raises depends on how torch was built
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f'--device {name}: there is no such device here ({reason}); cpu is '
                         'always accepted') from error
    return name
