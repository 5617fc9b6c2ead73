# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a node knows from the start, and after it was killed."""
import signal
from pathlib import Path

import numpy as np
import pytest
import rclpy
from graph_client import Client
from graph_client import image_message
from graph_client import mask_pixels

SECOND = 10 ** 9
AUTOSAVE = 'stm_tracker.autosave.safetensors'


def segment(client, clip) -> np.ndarray:
    """The label map of a later frame of the clip."""
    answer = client.tracker('segment', image=image_message(clip[3][0], 'rgb8', 9 * SECOND),
                            with_mask=True)
    assert answer.success, answer.message
    return mask_pixels(answer.mask)


def finds_the_cup(client, clip, target: int) -> bool:
    """Whether that label map shows it."""
    found, truth = segment(client, clip) == target, clip[3][1] == 1
    return (found & truth).sum() / (found | truth).sum() > 0.7


@pytest.fixture
def fresh_client():
    """Make a client that never heard of a node that was killed; the one before goes."""
    made = []

    def make() -> Client:
        end()
        rclpy.init()
        made.append(Client())
        return made[-1]

    def end() -> None:
        while made:
            made.pop().destroy_node()
            rclpy.shutdown()
    yield make
    end()


def test_a_killed_node_goes_on_with_what_it_knew(start_node, fresh_client, clip, tmp_path):
    saved = tmp_path / 'snapshots' / AUTOSAVE
    node, client = start_node('threads:=1', 'autosave:=0.2'), fresh_client()
    response = client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                              mask=image_message(clip[0][1] * 255, 'mono8'), label='cup',
                              target_id=7)
    assert response.success, response.message
    client.wait_until(saved.is_file, 'the autosave', 10)
    assert client.tracker('save_memory', name='kitchen', references_only=True).success

    node.stop(signal.SIGKILL)
    node, client = start_node('threads:=1', 'autosave:=0.2'), fresh_client()
    client.wait_until(lambda: 'went on with 1 targets' in node.log, 'the start')
    assert finds_the_cup(client, clip, 7)
    whole = saved.read_bytes()
    assert not [path for path in saved.parent.iterdir()
                if path.suffix not in ('.safetensors', '') and path.name != 'kitchen']

    # half a file, as a disk may leave it: told, kept, and the library is known instead
    node.stop(signal.SIGKILL)
    saved.write_bytes(whole[:len(whole) // 2])
    node, client = start_node('threads:=1', 'autosave:=30.0',
                              'references:=kitchen'), fresh_client()
    client.wait_until(lambda: 'knows 1 targets of the folder' in node.log, 'the start')
    assert 'could not go on' in node.log
    assert Path(saved.with_suffix('.refused')).read_bytes() == whole[:len(whole) // 2]
    assert finds_the_cup(client, clip, 7)
    # what is new is saved at the end, whatever the period
    assert client.tracker('remove_target', target_id=7).success
    code, _ = node.stop(signal.SIGINT)
    assert code == 0 and 'Traceback' not in node.log

    node, client = start_node('threads:=1', 'autosave:=30.0',
                              'references:=kitchen'), fresh_client()
    client.wait_until(lambda: 'went on with 0 targets' in node.log, 'the start')
    assert not segment(client, clip).any()


def test_references_that_are_not_there_end_the_start_with_a_reason(start_node):
    node = start_node('threads:=1', 'references:=pantry')
    assert node.process.wait(60) == 1
    assert "references is 'pantry': there is neither" in node.log
    assert 'Traceback' not in node.log
