# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The network's parts by torch.compile, for who has a device where that pays."""
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from stm_ros.networks.interface import SpaceTimeNetwork

#: torch.compile's modes by name, and 'none'; 'reduce-overhead' means CUDA graphs on a GPU
COMPILE_MODES = ('none', 'default', 'reduce-overhead', 'max-autotune')
_PARTS = ('encode_query', 'encode_memory', 'decode')


def compile_network(network: SpaceTimeNetwork, mode: str) -> None:
    """Have a network's parts compiled when they are first called; each new shape costs again.

    :param mode: one of COMPILE_MODES.
    """
    if mode == 'none' or _PARTS[0] in vars(network):
        return
    for name in _PARTS:
        setattr(network, name, _with_outputs_of_its_own(
            torch.compile(getattr(network, name), mode=mode)))


def _with_outputs_of_its_own(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its outputs copied: a CUDA graph writes the next ones over them."""
    def call(*arguments: Any) -> Any:
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x,
                        function(*arguments))
    return call
