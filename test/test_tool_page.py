# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tool page's command, as a user types it."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask

REPOSITORY = Path(__file__).resolve().parent.parent
TOOL = 'tools/stm/run.py'
PAGE = [
    '--ref-img', 'tools/stm/examples/mock_ref_img.png',
    '--ref-mask', 'tools/stm/examples/mock_ref_mask.png',
    '--query-img', 'tools/stm/examples/mock_query_img.png',
    '--weights', 'tools/stm/weights/STM_weights.pth']
weights_shipped = pytest.mark.skipif(
    not SHIPPED_WEIGHTS.is_file(), reason=f'no shipped weights at {SHIPPED_WEIGHTS}')


def call(*arguments: str, python: str = sys.executable, **environment: str
         ) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, TOOL, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment})


@weights_shipped
def test_the_page_s_command_as_written(tmp_path):
    done = call(*PAGE, '--output', str(tmp_path / 'prediction.json'))
    assert done.returncode == 0, done.stderr
    answer = json.loads((tmp_path / 'prediction.json').read_text())
    assert answer['tool'] == 'stm' and answer['status'] == 'ok'
    result = answer['results'][0]
    assert result['label'] == 'Space-time visual memory'
    assert result['output'] == 'Memory readout, attention map, confidence score'
    assert result['score'] == result['confidence_score'] and 0.3 < result['score'] <= 1
    assert isinstance(answer['timing']['runtime'], float) and answer['timing']['device'] == 'cpu'
    assert read_image(answer['artifacts']['visualization']).std() > 10
    raw = json.loads(Path(answer['artifacts']['raw_predictions']).read_text())
    assert raw['targets'][0]['id'] == result['target_id'] == 1


@weights_shipped
def test_the_answer_lies_on_the_red_cup(tmp_path):
    """The query's truth is not shipped, but its colours tell: red cup, blue evening sky."""
    call(*PAGE, '--output', str(tmp_path / 'p.json'))
    result = json.loads((tmp_path / 'p.json').read_text())['results'][0]
    mask = read_mask(result['mask']) == 1
    assert mask.sum() == result['area']
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert result['box'] == [columns[0], rows[0], columns[-1] - columns[0] + 1,
                             rows[-1] - rows[0] + 1]
    image = read_image(REPOSITORY / 'tools/stm/examples/mock_query_img.png').astype(int)
    red = (image[..., 0] - image[..., 2] > 25)[:250]
    assert (mask[:250] & red).sum() / (mask[:250] | red).sum() > 0.6


@weights_shipped
def test_arrays_are_what_the_json_says(tmp_path):
    call(*PAGE, '--output', str(tmp_path / 'p.json'))
    answer = json.loads((tmp_path / 'p.json').read_text())['results'][0]
    for name in ('retrieved_feature_map', 'visual_attention_weights'):
        with np.load(answer[name]['path']) as arrays:
            assert list(arrays[name].shape) == answer[name]['shape']
            assert str(arrays[name].dtype) == answer[name]['dtype']
            assert arrays['target_ids'].tolist() == [1]
            assert np.isfinite(arrays[name]).all()
    with np.load(answer['visual_attention_weights']['path']) as arrays:
        assert arrays['visual_attention_weights'].sum() == pytest.approx(1, abs=1e-3)


@weights_shipped
def test_absent_weights_are_told(tmp_path):
    done = call(*PAGE, '--output', str(tmp_path / 'p.json'))
    answer = json.loads((tmp_path / 'p.json').read_text())
    assert 'seoungwugoh/STM' in done.stderr and 'CC BY-NC-SA' in done.stderr
    assert 'stm_lite' in answer['model']['note'] and answer['model']['name'] == 'stm_lite'


@pytest.mark.parametrize(('changes', 'told'), [
    ({'--ref-mask': 'tools/stm/examples/mock_ref_img.png'}, 'colours'),
    ({'--ref-mask': 'absent.png'}, 'does not exist'),
    ({'--query-img': 'tools/stm/README.md'}, 'not a picture'),
    ({'--target-object-id': '300'}, '300'),
    ({'--target-object-id': '0'}, '0'),
    ({'--strict-weights': None}, 'seoungwugoh/STM')])
def test_errors_are_in_the_json_too(tmp_path, changes, told):
    words = dict(zip(PAGE[::2], PAGE[1::2], strict=True)) | changes
    flat = [part for pair in words.items() for part in pair if part is not None]
    done = call(*flat, '--output', str(tmp_path / 'p.json'))
    answer = json.loads((tmp_path / 'p.json').read_text())
    assert done.returncode == 2
    assert answer['tool'] == 'stm' and answer['status'] == 'error'
    assert told in answer['message'] and told in done.stderr


def test_a_python_without_torch_is_led_to_make_demo(tmp_path):
    """-S hides what is installed; the variable says that the second start failed as well."""
    empty = tmp_path / 'python'
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    empty.chmod(0o755)
    done = call(*PAGE, python=str(empty), STM_TOOL_STARTED_AGAIN='1')
    assert done.returncode == 2 and 'make demo' in done.stderr
    assert json.loads(done.stdout)['status'] == 'error'


def test_examples_differ_in_pose_blur_and_light():
    folder = REPOSITORY / 'tools/stm/examples'
    reference, query = (read_image(folder / f'mock_{name}_img.png') for name in ('ref', 'query'))
    mask = read_mask(folder / 'mock_ref_mask.png')
    assert reference.shape == query.shape == (*mask.shape, 3)
    assert set(np.unique(mask)) == {0, 255} and 0.02 < (mask == 255).mean() < 0.5
    assert query.mean() < 0.9 * reference.mean()
    assert np.abs(reference.astype(int) - query)[mask == 255].mean() > 20
