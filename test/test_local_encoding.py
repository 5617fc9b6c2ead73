# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Memory-encoding targets where they are gives what encoding whole frames gives."""
import pytest
import torch

from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.local_encoding import encode_locally
from stm_ros.networks.local_encoding import planes_of
from stm_ros.replay.photographs import photograph


@pytest.fixture(scope='module')
def lite():
    """The shipped network."""
    return load_network('stm_lite')


def squares(corners: list[tuple[int, int]], side: int, size: tuple[int, int]) -> torch.Tensor:
    """Masks N×H×W, a square each."""
    masks = torch.zeros(len(corners), *size)
    for mask, (row, column) in zip(masks, corners, strict=True):
        mask[row:row + side, column:column + side] = 1
    return masks


@torch.inference_mode()
def test_local_values_are_those_of_the_whole_frame(lite):
    image = torch.from_numpy(photograph('coffee')[:384, :576].copy()).permute(2, 0, 1)[None] / 255
    query = lite.encode_query(image)
    masks = squares([(0, 0), (100, 200), (330, 500), (120, 400)], 48, (384, 576))
    exact = lite.memory_encoder(query, planes_of(masks))
    local = encode_locally(lite.memory_encoder, query, masks)
    error = (local - exact).square().mean((1, 2, 3)).sqrt() / exact.std()
    assert error.max() < 0.01, error
    # bfloat16, in which it runs, rounds as much
    assert (exact.bfloat16().float() - exact).square().mean().sqrt() / exact.std() > 0.001
    assert torch.equal(lite.encode_memory(query, masks).value, local)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(encode_locally(lite.memory_encoder, query, masks[order]),
                               local[order], atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_an_empty_mask_has_the_value_of_nobody(lite):
    query = lite.encode_query(torch.rand(1, 3, 320, 320))
    masks = squares([(0, 0), (200, 200), (100, 0), (0, 240)], 32, (320, 320))
    masks[1] = 0
    exact = lite.memory_encoder(query, planes_of(masks))
    local = encode_locally(lite.memory_encoder, query, masks)
    torch.testing.assert_close(local[1], exact[1], atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_large_targets_are_encoded_with_the_whole_frame(lite):
    query = lite.encode_query(torch.rand(1, 3, 192, 192))
    masks = squares([(0, 0), (0, 64)], 128, (192, 192))
    assert encode_locally(lite.memory_encoder, query, masks) is None
    assert torch.equal(lite.encode_memory(query, masks).value,
                       lite.memory_encoder(query, planes_of(masks)))
