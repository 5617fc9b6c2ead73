# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The real node with a network that fails at what certain images show; test_faults.py runs it.

Images of more than STM_TEST_LARGEST pixels on the shorter side find no device memory, what the
network says of a white image is not finite, and a black one it cannot take at all.
"""
import os
import sys

import torch
from torch import Tensor

from stm_ros.networks import checkpoints
from stm_ros.networks.interface import Decoded
from stm_ros.networks.interface import Query
from stm_ros.networks.stm_lite import STMLite
from stm_ros.node.main import main

LARGEST = int(os.environ['STM_TEST_LARGEST'])
WHITE = 0.95


class FaultyNetwork(STMLite):
    """STM-lite on a device of little memory."""

    def encode_query(self, image: Tensor) -> Query:
        """Encode a frame, unless it is too large or black."""
        if float(image.float().max()) == 0:
            raise LookupError('injected: black')
        if min(image.shape[2:]) > LARGEST:
            raise torch.OutOfMemoryError(f'injected: {tuple(image.shape)} is too large')
        return super().encode_query(image)

    def decode(self, query: Query, readout: Tensor, prior: Tensor | None = None,
               match: Tensor | None = None) -> Decoded:
        """Decode; what is said of a white image is nothing."""
        decoded = super().decode(query, readout, prior, match)
        if float(query.image.float().mean()) > WHITE:
            return decoded._replace(logits=torch.full_like(decoded.logits, torch.nan))
        return decoded


if __name__ == '__main__':
    checkpoints.NETWORKS['stm_lite'] = FaultyNetwork
    sys.exit(main())
