# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The size of a bank."""
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class BankLayout:
    """The size of a bank: slots, targets and positions a slot, and the channels of the network.

    shares_key: one key for all targets, or one for each.
    """

    slots: int
    targets: int
    positions: int
    key_channels: int
    value_channels: int
    shares_key: bool
    value_dtype: torch.dtype
    key_dtype: torch.dtype

    @property
    def bytes_per_slot(self) -> int:
        """What the tensors of one slot take."""
        key_copies = 1 if self.shares_key else self.targets
        return self.positions * (
            key_copies * self.key_channels * self.key_dtype.itemsize
            + self.targets * self.value_channels * self.value_dtype.itemsize)

    @property
    def bytes(self) -> int:
        """What the tensors of the bank take."""
        return self.slots * self.bytes_per_slot
