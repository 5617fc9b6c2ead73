# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm bench --graph` over a real graph: its figures agree with each other."""
import json
import os
import subprocess
import sys

import pytest


@pytest.mark.alone
def test_the_node_measured_from_a_second_process(tmp_path):
    pytest.importorskip('skimage')
    done = subprocess.run(
        [sys.executable, '-m', 'stm_ros.cli.main', 'bench', '--graph', '--size', '160x120',
         '--frames', '6', '--memory', '2', '--rate', '5', '--threads', '1', '--out',
         str(tmp_path)], capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'process start to first mask' in done.stdout and 'torch' in done.stdout
    figures = json.loads((tmp_path / 'graph.json').read_text())
    assert figures['settings']['size'] == '160x120' and figures['start']['to_first_mask_s'] > 0
    calm, camera = figures['unhurried'], figures['camera']
    assert calm['tracker_step_p50_ms'] > 0 and calm['outside_tracker_p50_ms'] > 0
    assert calm['stamp_to_publish_p50_ms'] <= calm['stamp_to_publish_p99_ms']
    assert 0 < calm['outside_tracker_share'] < 1
    assert camera['frames'] == 6 >= camera['answered'] > 0
    assert camera['dropped_by_node'] + camera['lost_on_the_way'] <= 6 - camera['answered']
    assert (tmp_path / 'graph.csv').read_text().startswith('group,figure,value')


def test_stm_without_weights_is_refused(capsys):
    from stm_ros.cli.main import main
    assert main(['bench', '--graph', '--model', 'stm']) == 2
    assert '--weights' in capsys.readouterr().err
