# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The node with the networks whose weights others publish; here with random ones."""
import pytest
import torch
from graph_client import image_message

from stm_ros.networks.checkpoints import NETWORKS

SECOND = 10 ** 9


@pytest.mark.parametrize('name', ['stcn'])
def test_the_node_answers_with_another_network(name, start_node, client, clip, tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / f'{name}.pth'
    torch.save({key: tensor.half() if tensor.is_floating_point() else tensor
                for key, tensor in NETWORKS[name]().state_dict().items()}, weights)
    start_node(f'model:={name}', f'weights:={weights}', 'memory.policy:=paper', 'memory.top_k:=20',
               'memory.max_frames:=4')
    response = client.tracker(
        'set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
        mask=image_message(clip[0][1] * 255, 'mono8'), label='cup')
    assert (response.success, list(response.target_ids)) == (True, [1])
    client.listen_to_answers()
    for time, (image, _) in enumerate(clip[1:4], start=2):
        mask, targets, memory = client.ask(image_message(image, 'rgb8', time * SECOND))
        assert (mask.height, mask.width) == image.shape[:2]
        assert [target.label for target in targets.targets] == ['cup']
        # there is no head and no fit, and the message says so
        assert not targets.targets[0].confidence_calibrated
        assert sum(memory.targets[0].attention) == pytest.approx(1, abs=1e-3)
