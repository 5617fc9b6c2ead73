# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""stm_ros: a ROS 2 perception node that remembers what a target looks like."""

# The generated messages are installed as a package of the same name; both folders
# have to be searched, or a run from the repository's root does not find stm_ros.msg.
from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = '0.1.0'
