# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The size of a bank."""
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class BankLayout:
    """The size of a bank: slots, targets and positions a slot, and the channels of the network.

    shares_key: one key for all targets, or one for each. fine_channels: of the keys at stride 8
    that some slots hold beside the tensors, see stm_ros.memory.fine_keys; 0 where none do.
    """

    slots: int
    targets: int
    positions: int
    key_channels: int
    value_channels: int
    shares_key: bool
    value_dtype: torch.dtype
    key_dtype: torch.dtype
    fine_channels: int = 0

    @property
    def bytes_per_slot(self) -> int:
        """What the tensors of one slot take."""
        key_copies = 1 if self.shares_key else self.targets
        return self.positions * (
            key_copies * self.key_channels * self.key_dtype.itemsize
            + self.targets * self.value_channels * self.value_dtype.itemsize)

    @property
    def fine_bytes_per_slot(self) -> int:
        """What a slot's matching at stride 8 takes at most: keys, places and masks."""
        if not self.fine_channels:
            return 0
        numbers = self.fine_channels + self.targets
        return most_fine_positions(self.positions) * (
            numbers * self.value_dtype.itemsize + 2 * torch.int64.itemsize)

    @property
    def most_bytes_per_slot(self) -> int:
        """What one slot takes at most."""
        return self.bytes_per_slot + self.fine_bytes_per_slot

    @property
    def most_bytes(self) -> int:
        """What the bank takes at most: any slot may hold what is matched at stride 8."""
        return self.slots * self.most_bytes_per_slot

    @property
    def bytes(self) -> int:
        """What the tensors of the bank take."""
        return self.slots * self.bytes_per_slot


def most_fine_positions(positions: int) -> int:
    """How many positions of stride 8 a frame of so many of stride 16 keeps at most.

    Of four for each: a chess board's half, and what of every third row and column lies beside it.
    """
    return positions * 5 // 2
