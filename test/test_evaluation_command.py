# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm eval` from end to end with the real tracker; the weights are chance, the numbers are not.

What is asserted is that every number and file agrees with the others, not that chance is good.
"""
import csv
import json
import shutil
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import torch
from test_report import assert_self_contained

from stm_ros.cli.evaluate import changed_config
from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.stm_lite import STMLite
from stm_ros.training.export import export_weights
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_label_map

FRAMES = 5


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of stm_lite whose weights are chance, the same every time."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'chance.safetensors'
    export_weights(STMLite(), path, {'licence': 'none'})
    return path


@pytest.fixture(scope='module')
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of five frames in which textured squares move; one has two objects."""
    root = tmp_path_factory.mktemp('davis')
    for name, objects in (('one', 1), ('two', 2)):
        images = root / 'JPEGImages' / '480p' / name
        annotations = root / 'Annotations' / '480p' / name
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(FRAMES):
            image, labels = draw(index, objects)
            cv2.imwrite(str(images / f'{index:05d}.jpg'), image)
            write_label_map(annotations / f'{index:05d}.png', labels)
    (root / 'db_info.yml').write_text('sequences:\n- {name: two, attributes: [FM]}\n')
    return root


def draw(index: int, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame of 64×96 pixels and its label map."""
    image = np.random.default_rng(1).integers(0, 120, (64, 96, 3), dtype=np.uint8)
    labels = np.zeros((64, 96), dtype=np.uint8)
    for ident in range(1, objects + 1):
        part = np.s_[30 * ident - 20:30 * ident + 4, 10 + 4 * index:34 + 4 * index]
        image[part] = np.random.default_rng(ident).integers(100, 255, 3)
        labels[part] = ident
    return image, labels


def evaluate(*words: object) -> int:
    """Run `stm eval` quietly at the images' own size."""
    return main(['eval', '--quiet', *map(str, words)])


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(encoding='utf-8') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def outcome(davis: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with everything asked for."""
    out = tmp_path_factory.mktemp('out')
    code = evaluate(
        '--dataset', 'davis2017', '--root', davis, '--weights', weights, '--out', out,
        '--size', 0, '--memorize-every', 2, '--set', 'lost_below=0', '--perturb',
        'dark:2,frame_drop:1', '--ablate-memory')
    assert code == 0
    return out


def test_numbers_agree_with_the_frames_they_come_from(outcome: Path) -> None:
    """Means of frames.csv are the objects' means, and their mean is the summary."""
    results = json.loads((outcome / 'results.json').read_text())
    frames = read_csv(outcome / 'frames.csv')
    objects = read_csv(outcome / 'objects.csv')
    assert [(row['sequence'], row['object']) for row in objects] == [
        ('one', '1'), ('two', '1'), ('two', '2')]
    assert len(frames) == 3 * (FRAMES - 2)
    for row in objects:
        own = [item for item in frames
               if (item['sequence'], item['object']) == (row['sequence'], row['object'])]
        assert [item['frame'] for item in own] == ['00001', '00002', '00003']
        for measure in ('J', 'F'):
            mean = np.mean([float(item[measure]) for item in own])
            assert float(row[f'{measure} mean']) == pytest.approx(mean, abs=2e-6)
        assert all(0 <= float(item['confidence']) <= 1 for item in own)
    summary = results['summary']['all']
    means = [float(row['J mean']) for row in objects]
    assert summary['J']['mean'] == pytest.approx(np.mean(means), abs=2e-6)
    assert summary['J&F'] == pytest.approx((summary['J']['mean'] + summary['F']['mean']) / 2)
    assert results['attributes']['FM']['objects'] == 2
    assert results['attributes']['FM']['J&F'] == results['sequences']['two']['J&F']
    assert results['seconds_per_frame'] > 0
    assert results['settings']['tracker']['memorize_every'] == 2
    assert results['settings']['tracker']['lost_below'] == 0.0


def test_what_else_was_asked_for_is_there(outcome: Path) -> None:
    """Drops are differences; the calibration is a monotone table; the plots are pictures."""
    results = json.loads((outcome / 'results.json').read_text())
    clean = results['summary']['all']['J&F']
    assert [(row['name'], row['strength']) for row in results['perturbations']] == [
        ('dark', 2), ('frame_drop', 1)]
    assert [row['name'] for row in results['memories']] == [
        'reference only', 'reference and previous']
    for row in results['memories'] + results['perturbations']:
        assert row['drop'] == pytest.approx(row['clean J&F'] - row['J&F'], abs=2e-6)
    assert {row['clean J&F'] for row in results['memories']} == {round(clean, 6)}
    assert results['calibration']['observations'] > 0
    for name in ('report', 'calibration', 'perturbations', 'memories'):
        picture = cv2.imread(str(outcome / f'{name}.png'))
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 5


def test_the_page_says_the_same(outcome: Path) -> None:
    """One file with every part, its figures those of results.json."""
    page = (outcome / 'report.html').read_text()
    outline = assert_self_contained(page)
    titles = [part.text for part in outline.named('h2')]
    assert titles == [
        'The run at a glance', 'Sequences', 'Attributes', 'Over time', 'Worst frames',
        'Least sure', 'Time a frame', 'Confidence', 'Robustness', 'What memory buys', 'Settings']
    results = json.loads((outcome / 'results.json').read_text())
    cells = [part.text for part in outline.named('td')]
    for entry in results['sequences'].values():
        assert f'{100 * entry["J&F"]:.1f}' in cells
    assert 'tracker.memorize_every' in [part.text for part in outline.named('th')]
    # three frames of each sequence are scored; the last picture is of the damage
    alternatives = [part.attributes['alt'] for part in outline.named('img')]
    assert alternatives[-1] == 'dark at strength 2'
    assert sum(', frame 0000' in words for words in alternatives) == 6
    assert 'annotated one, frame 3' in alternatives and 'annotated two, frame 3' in alternatives


def test_the_page_shows_how_the_objects_went(outcome: Path) -> None:
    """State, area, box and memory of every object; the time of every frame, the slowest first."""
    outline = assert_self_contained((outcome / 'report.html').read_text())
    charts = [part.attributes['aria-label'] for part in outline.named('svg')]
    for words, count in (('J and confidence of', 3), ('state', 3), ('area', 3), ('box:', 6),
                         ('share of attention', 3), ('frames by the time', 1)):
        assert sum(name.startswith(words) for name in charts) == count, words
    captions = [part.text for part in outline.named('figcaption')]
    assert sum('confidence 0.' in text for text in captions) >= 2
    slow = [int(text.split()[-2]) for text in captions if text.endswith(' ms')]
    assert slow == sorted(slow, reverse=True) and len(slow) == 2


@pytest.mark.skipif(not SHIPPED_WEIGHTS.is_file(), reason=f'no weights at {SHIPPED_WEIGHTS}')
def test_the_page_shows_the_memory_of_each_object(davis: Path, tmp_path: Path) -> None:
    """With weights that find something; several workers send what they watched."""
    out = tmp_path / 'out'
    assert evaluate('--dataset', 'davis2017', '--root', davis, '--out', out, '--workers', 2,
                    '--engine', 'processes') == 0
    outline = assert_self_contained((out / 'report.html').read_text())
    captions = [part.text for part in outline.named('figcaption')]
    assert sum(text.startswith('reference, given') for text in captions) == 3
    assert 'one, frame 3, 0.08 s' in captions


def test_several_workers_find_what_one_finds(outcome: Path, davis: Path, weights: Path,
                                             tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert evaluate(
        '--dataset', 'davis2017', '--root', davis, '--weights', weights, '--out', out, '--size', 0,
        '--memorize-every', 2, '--set', 'lost_below=0', '--ablate-memory', '--workers', 2,
        '--engine', 'processes') == 0
    for name in ('objects.csv', 'frames.csv', 'memories.csv'):
        assert read_csv(out / name) == read_csv(outcome / name), name
    label_maps = list((outcome / 'predictions').rglob('*.png'))
    assert len(label_maps) == 2 * FRAMES
    for path in label_maps:
        assert (out / path.relative_to(outcome)).read_bytes() == path.read_bytes()


def test_a_sequence_that_fails_in_a_worker_fails_the_whole(davis: Path, weights: Path,
                                                           tmp_path: Path, capsys) -> None:
    spoilt = tmp_path / 'davis'
    shutil.copytree(davis, spoilt)
    (spoilt / 'JPEGImages' / '480p' / 'two' / '00003.jpg').write_bytes(b'no picture')
    assert evaluate('--dataset', 'davis2017', '--root', spoilt, '--weights', weights, '--out',
                    tmp_path / 'out', '--workers', 2, '--engine', 'processes') == 2
    assert 'two: ' in capsys.readouterr().err and not (tmp_path / 'out' / 'results.json').exists()


def test_label_maps_start_with_the_reference(outcome: Path, davis: Path) -> None:
    """One palette PNG per frame, the first of them the annotation itself."""
    for name in ('one', 'two'):
        written = sorted((outcome / 'predictions' / name).glob('*.png'))
        assert [path.stem for path in written] == [f'{index:05d}' for index in range(FRAMES)]
        annotation = davis / 'Annotations' / '480p' / name / '00000.png'
        np.testing.assert_array_equal(read_mask(written[0]), read_mask(annotation))


def test_scoring_the_written_folder_gives_the_same(
    outcome: Path, davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--predictions` needs no tracker and no weights."""
    assert evaluate(
        '--dataset', 'davis2017', '--root', davis, '--out', tmp_path,
        '--predictions', outcome / 'predictions') == 0
    printed = capsys.readouterr().out
    before, after = (
        json.loads((folder / 'results.json').read_text()) for folder in (outcome, tmp_path))
    assert after['summary'] == before['summary']
    assert after['sequences'] == before['sequences']
    assert f'{100 * after["summary"]["all"]["J&F"]:.1f}' in printed


def test_every_nth_frame(davis: Path, weights: Path, tmp_path: Path) -> None:
    """Of five frames every second one is 0, 2, 4, and only 2 is scored."""
    assert evaluate(
        '--dataset', 'davis2016', '--root', davis, '--weights', weights, '--out', tmp_path,
        '--size', 0, '--every', 2, '--sequences', 'two') == 0
    rows = read_csv(tmp_path / 'frames.csv')
    assert [(row['sequence'], row['object'], row['frame']) for row in rows] == [
        ('two', '1', '00002')]


def test_youtube_vos_writes_the_archive(davis: Path, weights: Path, tmp_path: Path) -> None:
    """Without annotations to score, the server's archive is the result."""
    split = tmp_path / 'data' / 'valid'
    for kind, suffix in (('JPEGImages', 'jpg'), ('Annotations', 'png')):
        folder = split / kind / 'vv'
        folder.mkdir(parents=True)
        for index in range(FRAMES if kind == 'JPEGImages' else 1):
            source = davis / kind / '480p' / 'two' / f'{index:05d}.{suffix}'
            (folder / source.name).write_bytes(source.read_bytes())
    wanted = ['00000', '00004']
    objects = {'1': {'frames': wanted}, '2': {'frames': wanted}}
    (split / 'meta.json').write_text(json.dumps({'videos': {'vv': {'objects': objects}}}))
    out = tmp_path / 'out'
    assert evaluate('--dataset', 'youtube-vos', '--root', split.parent, '--weights', weights,
                    '--out', out, '--size', 0) == 0
    assert 'summary' not in json.loads((out / 'results.json').read_text())
    with ZipFile(out / 'submission.zip') as archive:
        assert archive.namelist() == ['Annotations/vv/00000.png', 'Annotations/vv/00004.png']
        stored = archive.read('Annotations/vv/00004.png')
    assert stored == (out / 'predictions' / 'vv' / '00004.png').read_bytes()


@pytest.mark.parametrize(('words', 'message'), [
    (['--every', '0'], '--every 0: accepted is 1 or more'),
    (['--set', 'colour=3'], '--set colour=3: NAME=VALUE is accepted; names are input_size'),
    (['--set', 'top_k=many'], "--set top_k is 'many'; a whole number is accepted"),
    (['--policy', 'none'], "policy is 'none'"),
    (['--perturb', 'fog'], "no perturbation 'fog'"),
    (['--sequences', 'three'], 'no sequence three'),
    (['--weights', 'missing.safetensors'], 'missing.safetensors'),
    (['--predictions', '.', '--perturb', 'dark'], '--predictions only scores'),
])
def test_bad_arguments_are_refused(
    davis: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:
    """Exit code 2 and a line that says what is accepted."""
    assert evaluate('--dataset', 'davis2017', '--root', davis, '--out', tmp_path, '--weights',
                    weights, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('word', 'value'), [
    ('false', False), ('False', False), ('true', True), ('True', True)])
def test_a_setting_is_parsed_by_the_type_of_its_field(word: str, value: bool) -> None:
    """`bool('false')` is true, and an ablation by it measured nothing."""
    config = changed_config({}, [f'follow_distractors={word}', 'top_k=7', 'lost_below=0.1'])
    assert config.follow_distractors is value
    assert (config.top_k, config.lost_below) == (7, 0.1)
