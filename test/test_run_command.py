# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm run` with several objects, with nothing to find, and with what it has to refuse."""
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_files import write_label_map

weights_shipped = pytest.mark.skipif(
    not SHIPPED_WEIGHTS.is_file(), reason=f'no shipped weights at {SHIPPED_WEIGHTS}')


def two_discs(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc (id 2) and a blue square (id 5) on textured green, moved by `shift` pixels."""
    rng = np.random.default_rng(0)
    label_map = np.zeros((128, 192), np.uint8)
    cv2.circle(label_map, (50 + shift, 60), 24, (2,), cv2.FILLED)
    label_map[36:84, 118 - shift:166 - shift] = 5
    image = np.array([(50, 110, 60), (200, 40, 30), (40, 50, 200)])[
        (label_map == 2) + 2 * (label_map == 5)]
    return (image + rng.integers(-20, 21, image.shape)).clip(0, 255).astype(np.uint8), label_map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reference, label_map = two_discs(0)
    write_image(tmp_path / 'ref.png', reference)
    write_label_map(tmp_path / 'mask.png', label_map)
    write_image(tmp_path / 'query.png', two_discs(8)[0])
    return tmp_path


def run(folder: Path, *words: str, code: int = 0, output: str = 'out/prediction.json'
        ) -> dict[str, Any]:
    assert main(['run', '--ref-img', str(folder / 'ref.png'), '--ref-mask',
                 str(folder / 'mask.png'), '--query-img', str(folder / 'query.png'),
                 '--output', str(folder / output), *words]) == code
    return json.loads((folder / output).read_text())


@weights_shipped
def test_every_object_of_the_mask_is_reported_with_its_own_mask(folder):
    answer = run(folder)
    truth = two_discs(8)[1]
    assert [entry['target_id'] for entry in answer['results']] == [2, 5]
    for entry in answer['results']:
        found = read_mask(entry['mask'])
        assert set(np.unique(found)) <= {0, entry['target_id']}
        wanted = truth == entry['target_id']
        assert ((found > 0) & wanted).sum() / ((found > 0) | wanted).sum() > 0.5
    assert answer['results'][0]['retrieved_feature_map']['shape'][0] == 2
    assert read_image(answer['artifacts']['visualization']).shape[1] == 4 * 480


@weights_shipped
def test_one_object_can_be_chosen(folder):
    chosen, everything = run(folder, '--target-object-id', '5'), run(folder, output='all/p.json')
    assert [entry['target_id'] for entry in chosen['results']] == [5]
    assert chosen['results'][0]['box'] == everything['results'][1]['box']


@weights_shipped
def test_a_binary_mask_takes_the_id(folder):
    write_label_map(folder / 'mask.png', np.where(two_discs(0)[1] == 2, 255, 0).astype(np.uint8))
    answer = run(folder, '--target-object-id', '9')
    assert [entry['target_id'] for entry in answer['results']] == [9]


@weights_shipped
def test_repeated_it_answers_the_same(folder):
    first, again = run(folder, output='a/p.json'), run(folder, output='b/p.json')
    assert [entry['score'] for entry in first['results']] == [
        entry['score'] for entry in again['results']]
    for name in ('mask_2.png', 'visualization.png'):
        assert (folder / 'a' / name).read_bytes() == (folder / 'b' / name).read_bytes()


@weights_shipped
def test_raw_predictions_never_overwrite_the_answer(folder):
    answer = run(folder, output='out/predictions.json')
    raw = Path(answer['artifacts']['raw_predictions'])
    assert raw.name == 'raw_predictions.json' and 'attention' in json.loads(raw.read_text())


@weights_shipped
def test_a_lost_target_has_no_box_and_no_mask(folder):
    """Whatever the network thinks of a black picture: state, box, area and mask must agree."""
    write_image(folder / 'query.png', np.zeros((128, 192, 3), np.uint8))
    for entry in run(folder)['results']:
        pixels = int((read_mask(entry['mask']) > 0).sum())
        assert pixels == entry['area']
        assert (entry['state'] == 'LOST') == (entry['box'] is None) == (pixels == 0)


@pytest.mark.parametrize(('words', 'told'), [
    (['--target-object-id', '3'], '[2, 5]'),
    (['--model', 'stm'], 'stm'),
    (['--weights', 'absent.pth', '--strict-weights'], 'absent.pth'),
    (['--device', 'abacus'], 'abacus')])
def test_refusals(folder, capsys, words, told):
    answer = run(folder, *words, code=2)
    assert answer['status'] == 'error' and told in answer['message']
    assert capsys.readouterr().err.startswith('stm: error: ')


def test_a_mask_of_another_size_is_refused(folder):
    write_label_map(folder / 'mask.png', two_discs(0)[1][:100])
    assert '192×100' in run(folder, code=2)['message']


def test_an_output_that_cannot_be_written(folder, capsys):
    (folder / 'out').write_text('a file where the folder should be')
    code = main(['run', '--ref-img', str(folder / 'ref.png'), '--ref-mask', 'absent.png',
                 '--query-img', str(folder / 'query.png'),
                 '--output', str(folder / 'out' / 'p.json')])
    assert code == 2 and 'cannot be written' in capsys.readouterr().err


@pytest.mark.parametrize('output', [
    '', '.', 'out/', 'out', 'visualization.png', 'mask_1.png', 'ref.png', 'stm_manifest.json'])
def test_an_output_that_names_no_json_is_refused(folder, monkeypatch, capsys, output):
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(['run', '--ref-img', 'ref.png', '--ref-mask', 'mask.png', '--query-img',
                 'query.png', '--output', output]) == 2
    assert 'names no JSON to write' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
