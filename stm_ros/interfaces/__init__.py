# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the text of our message and service definitions lies, with or without ROS."""

from pathlib import Path


def interface_folder() -> Path:
    """
    Return the folder that holds `msg/*.msg` and `srv/*.srv`.

    An installed package carries copies beside this module; a checkout (also one installed with
    `pip install -e`) has them at the repository's root.

    :raises FileNotFoundError: when neither is there, naming both places.
    """
    installed = Path(__file__).resolve().parent
    checkout = installed.parent.parent
    for folder in (installed, checkout):
        if (folder / 'msg' / 'Target.msg').is_file():
            return folder
    raise FileNotFoundError(
        f'the definitions of the messages (msg/Target.msg) are neither in {installed} '
        f'nor in {checkout}; install stm_ros again')
