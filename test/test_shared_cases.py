# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Situations from public bug reports, made by the scripts of the shared data's `cases` folder."""
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.cli.main import main
from stm_ros.evaluation.datasets import load_benchmark
from stm_ros.evaluation.experiment import evaluate_predictions
from stm_ros.evaluation.scoring import summarise
from stm_ros.evaluation.sequences import Protocol
from stm_ros.replay.reference import show_reference
from stm_ros.replay.sources import open_source
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.masks import one_label


@pytest.fixture
def case(shared_dir: Path, tmp_path: Path, monkeypatch) -> Callable[[str], Path]:
    """Makes the inputs of a case, by the beginning of its name, and goes there."""
    def make(name: str) -> Path:
        scripts = sorted((shared_dir / 'cases').glob(f'{name}*/make.py'))
        if not scripts or not (shared_dir / 'data/video/davis2016_dev').is_dir():
            pytest.skip(f'no case {name} in {shared_dir}/cases, or no video in {shared_dir}/data')
        subprocess.run([sys.executable, str(scripts[0])], check=True, timeout=300,
                       env={**os.environ, 'WORK': str(tmp_path)}, stdout=subprocess.DEVNULL)
        monkeypatch.chdir(tmp_path / scripts[0].parent.name)
        return tmp_path / scripts[0].parent.name
    return make


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_soft_edged_masks_are_one_target(case):
    folder = case('01')
    image = read_image(folder / 'frames/00000.jpg')
    shown = {name: show_reference(image, None, folder / f'{name}.png')
             for name in ('brush', 'enlarged')}
    for found in shown.values():
        assert found.ids == (1,) and found.meaning == 'soft, thresholded at 128'
    assert iou(shown['brush'].label_map > 0, shown['enlarged'].label_map > 0) > 0.9
    assert 2400 < (shown['brush'].label_map > 0).sum() < 2600


def test_alpha_masks_are_the_alpha(case):
    folder = case('03')
    image = read_image(folder / 'ref.png')
    masks = sorted(folder.glob('*_*.png'))
    alphas = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., -1]
              for path in masks if path.name == 'white_rgba.png']
    assert len(masks) == 5
    for path in masks:
        found = show_reference(image, None, path)
        assert np.array_equal(found.label_map > 0, alphas[0] > 0), path.name
        assert found.meaning == ('binary' if path.name.startswith('opaque') else 'binary, alpha')


@pytest.mark.parametrize(('out', 'source'), [
    ('project', 'project/bag'), ('.', 'project/bag'), ('project2', 'project2/bag'),
    ('project2', 'project/bag'), ('project3', 'project3/frames'), ('project2', 'project3/frames'),
    ('project2/masks', 'project/bag')])
def test_an_output_folder_that_is_the_data_folder_is_refused(case, capsys, out, source):
    folder = case('07')
    before = contents(folder)
    mask = 'project2/masks/00000.png' if out == 'project2/masks' else 'project/masks/00000.png'
    assert main(['replay', source, '--reference-mask', mask, '--out', out]) == 2
    assert contents(folder) == before
    error = capsys.readouterr().err
    assert 'input' in error or 'not written by stm' in error


def test_frames_are_in_the_order_of_their_numbers(case):
    folder = case('08')
    plain, padded = (open_source(folder / name) for name in ('frames', 'padded'))
    assert [path.name for path in plain.paths] == [f'frame_{i + 1}.jpg' for i in range(40)]
    for one, other in zip(plain, padded, strict=True):
        assert np.array_equal(one.image, other.image)
    assert plain.notes == padded.notes == []


@pytest.mark.parametrize('bag', ['raw', 'first', 'jpeg', 'cut'])
def test_one_empty_image_costs_one_frame(case, bag):
    folder = case('10')
    source = open_source(folder / bag)
    assert len(list(source)) == 9
    assert '1 of 10 images were skipped: message' in source.notes[0]
    assert len(list(source)) == 9 and len(source.notes) == 1, 'a source can be read twice'


def test_compressed_mosaics_become_colours(case):
    folder = case('11')
    raw, png, jpeg, colour = ([frame.image for frame in open_source(folder / name)]
                              for name in ('raw', 'png', 'jpeg', 'jpeg_bgr8'))
    assert len(raw) == 10 and all(map(np.array_equal, raw, png))
    for one, other, third in zip(raw, jpeg, colour, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 6
        # a mosaic has a third of the samples, so edges differ; colours do not
        assert np.abs(one.mean(axis=(0, 1)) - third.mean(axis=(0, 1))).max() < 2


def test_messages_in_the_log_of_a_killed_recorder_are_read(case):
    folder = case('15')
    before = contents(folder)
    source = open_source(folder / 'killed')
    whole = list(open_source(folder / 'whole'))
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in whole]
    assert len(frames) == 10 and np.array_equal(frames[9].image, whole[9].image)
    assert any('killed_0.db3-wal are read too' in note for note in source.notes)
    assert contents(folder) == before


def test_ids_with_gaps_score_what_dense_ids_score(case):
    folder = case('21')
    for root in ('gaps', 'dense', 'binary'):
        benchmark = load_benchmark(Protocol.DAVIS_2017, folder / root)
        assert len(benchmark.sequences[0].object_ids) == (1 if root == 'binary' else 3)
        empty = evaluate_predictions(benchmark, folder / 'predicted')
        assert summarise(empty.scores).combined == 0
        perfect = evaluate_predictions(benchmark, folder / root / 'Annotations/480p')
        assert summarise(perfect.scores).combined == 1


def test_names_and_ids_are_applied_or_refused(case):
    folder = case('30')
    image = read_image(folder / 'frames/00000.png')
    one = show_reference(image, None, folder / 'one.png', target_id=7)
    assert one_label('cup', one) == {7: 'cup'}
    assert one_label('cup', show_reference(image, None, folder / 'two.png')) == {2: 'cup'}
    white = show_reference(image, None, folder / 'white.png')
    void = show_reference(image, None, folder / 'void_edge.png')
    assert np.array_equal(white.label_map, void.label_map)
    with pytest.raises(InputError, match='specks'):
        show_reference(image, None, folder / 'white_and_speck.png')
