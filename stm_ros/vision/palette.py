# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The colours of ids that PASCAL VOC, DAVIS and YouTube-VOS share."""
import numpy as np


def _palette() -> np.ndarray:
    """Spread the id's bits over red, green and blue: the lowest three become the highest."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            set_bits = (ids >> (3 * bit + channel)) & 1
            colours[:, channel] |= (set_bits << (7 - bit)).astype(np.uint8)
    return colours


PALETTE = _palette()
"""256×3 uint8 RGB: the colour of each id in PASCAL VOC, DAVIS and YouTube-VOS."""
