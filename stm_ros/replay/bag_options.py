# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How a result bag is written."""
from dataclasses import dataclass


@dataclass(frozen=True)
class BagOptions:
    """storage: 'mcap' or 'sqlite3'. node: what topics begin with. with_images: the images too."""

    storage: str = 'mcap'
    node: str = '/stm_tracker'
    with_images: bool = False


def bag_options(storage: str | BagOptions) -> BagOptions:
    """Options that may be told by their storage alone."""
    return storage if isinstance(storage, BagOptions) else BagOptions(storage)
