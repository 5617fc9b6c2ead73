# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures that are right on folders as people have them: gaps, holes, ghosts, other numbers."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stm_ros.evaluation.datasets import load_benchmark
from stm_ros.evaluation.experiment import evaluate_predictions
from stm_ros.evaluation.report import Evaluation
from stm_ros.evaluation.report import as_dictionary
from stm_ros.evaluation.report import as_text
from stm_ros.evaluation.sequences import Protocol
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import write_label_map

SHAPE = (40, 60)


def blocks(*ids: int, shift: int = 0) -> np.ndarray:
    """A label map with a block of each id."""
    labels = np.zeros(SHAPE, np.uint8)
    for place, ident in enumerate(ids):
        labels[10:26, 4 + 18 * place + shift:16 + 18 * place + shift] = ident
    return labels


def write_frames(images: Path, count: int, first: int = 0) -> None:
    images.mkdir(parents=True)
    for index in range(first, first + count):
        cv2.imwrite(str(images / f'{index:05d}.jpg'), np.zeros((*SHAPE, 3), np.uint8))


def write_masks(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        write_label_map(folder / f'{name}.png', mask)
    return folder


def davis(root: Path, masks: dict[str, np.ndarray], count: int = 5, first: int = 0) -> Path:
    write_frames(root / 'JPEGImages/480p/cat', count, first)
    write_masks(root / 'Annotations/480p/cat', masks)
    return root


def named(make, count: int = 5) -> dict[str, np.ndarray]:
    return {f'{index:05d}': make(index) for index in range(count)}


def score(root: Path, predicted: dict[str, np.ndarray],
          protocol: Protocol = Protocol.DAVIS_2017, **options) -> Evaluation:
    write_masks(root / 'predicted' / 'cat', predicted)
    return evaluate_predictions(load_benchmark(protocol, root, **options), root / 'predicted')


def told(evaluation: Evaluation) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.reason, item.names) for item in evaluation.left_out]


def test_ids_with_gaps_score_what_dense_ids_score(tmp_path):
    outcomes = []
    for name, ids in (('gaps', (1, 5, 200)), ('dense', (1, 2, 3))):
        root = davis(tmp_path / name, named(lambda index, ids=ids: blocks(*ids)))
        outcomes.append(score(root, named(lambda index, ids=ids: blocks(*ids, shift=3))))
        assert [item.ident for item in outcomes[-1].scores] == list(ids)
    gaps, dense = (as_dictionary(outcome)['summary']['all'] for outcome in outcomes)
    assert gaps == dense
    assert gaps['J']['mean'] == pytest.approx(9 / 15)
    empty = score(tmp_path / 'gaps', named(lambda index: blocks()))
    assert as_dictionary(empty)['summary']['all']['J&F'] == 0


@pytest.mark.parametrize('protocol', [Protocol.DAVIS_2016, Protocol.DAVIS_2017])
def test_masks_of_0_and_255_are_one_object(tmp_path, protocol):
    """Of predictions too, whether they say 1 or 255; void alone never becomes an object."""
    root = davis(tmp_path, named(lambda index: blocks(255)))
    for value in (1, 255):
        evaluation = score(root, named(lambda index, value=value: blocks(value)), protocol)
        assert as_dictionary(evaluation)['summary']['all']['J']['mean'] == 1
    masks = {**named(lambda index: blocks(3)), '00002': blocks(255)}
    root = davis(tmp_path / 'void', masks)
    (sequence,) = load_benchmark(Protocol.DAVIS_2017, root).sequences
    assert not sequence.read_annotation(2).any()


def test_soft_annotations_are_cut_in_the_middle(tmp_path):
    root = davis(tmp_path, named(lambda index: blocks(255)))
    for path in (root / 'Annotations/480p/cat').iterdir():
        cv2.imwrite(str(path), cv2.GaussianBlur(blocks(255), (3, 3), 0.8))
    (sequence,) = load_benchmark(Protocol.DAVIS_2016, root).sequences
    found = sequence.read_annotation(1)
    assert (found != blocks(1)).mean() < 0.003


def test_sparse_annotations_are_scored_and_the_rest_is_named(tmp_path):
    root = davis(tmp_path, {name: blocks(1) for name in ('00000', '00002')}, count=6)
    evaluation = score(root, named(lambda index: blocks(1), 6))
    (item,) = evaluation.scores
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(item.region)), [2])
    assert told(evaluation) == [('frames without annotation', ('00001', '00003', '00004'))]
    text = as_text(evaluation)
    assert 'not in these figures:\n  cat: frames without annotation (3): 00001, 00003' in text
    assert as_dictionary(evaluation)['left_out'] == [{
        'sequence': 'cat', 'reason': 'frames without annotation', 'count': 3,
        'names': ('00001', '00003', '00004')}]


def test_a_sequence_without_truth_is_named(tmp_path):
    root = davis(tmp_path, {'00000': blocks(1)})
    evaluation = score(root, {})
    assert not evaluation.scores and 'nothing is scored' in told(evaluation)[0][0]
    assert 'cat: nothing is scored' in as_text(evaluation)


def test_ghosts_are_background_and_told(tmp_path):
    masks = {**named(lambda index: blocks(1)), '00003': blocks(1, 7)}
    root = davis(tmp_path, masks)
    evaluation = score(root, {**named(lambda index: blocks(1)), '00001': blocks(1, 9)})
    assert as_dictionary(evaluation)['summary']['all']['J']['mean'] == 1
    assert told(evaluation) == [
        ('predicted ids that no object has', ('9',)),
        ('annotated objects that were not shown to the tracker', ('7',))]


def test_images_and_masks_belong_together_by_name(tmp_path):
    """Masks from 0, images from 1: nothing is moved, and what has no partner is named."""
    root = davis(tmp_path, named(lambda index: blocks(1, shift=index), 6), count=5, first=1)
    evaluation = score(root, {f'{i:05d}': blocks(1, shift=i) for i in range(1, 6)})
    assert as_dictionary(evaluation)['summary']['all']['J']['mean'] == 1
    assert told(evaluation) == [('annotations without an image of their name', ('00000',))]
    root = davis(tmp_path / 'other', {f'frame_{i}': blocks(1) for i in range(5)})
    with pytest.raises(InputError, match='no 00000.png.*it holds frame_0.png.*by name'):
        load_benchmark(Protocol.DAVIS_2017, root)


def test_hidden_files_other_cases_and_unpadded_numbers(tmp_path):
    root = tmp_path
    images, annotations = (root / kind / '480p' / 'cat' for kind in ('JPEGImages', 'Annotations'))
    images.mkdir(parents=True)
    for index in range(1, 13):
        cv2.imwrite(str(images / f'{index}.JPG'), np.full((*SHAPE, 3), index, np.uint8))
        write_label_map(annotations / f'{index}.png', blocks(1))
        (annotations / f'{index}.png').rename(annotations / f'{index}.PNG')
    for folder in (images, annotations):
        (folder / '._1.jpg').write_text('macOS')
        (folder / 'Thumbs.db').write_text('Windows')
        (folder.parent / '.ipynb_checkpoints').mkdir()
    (root / 'ImageSets').mkdir()
    (root / 'ImageSets' / 'val.txt').write_bytes('\ufeffcat\r\n'.encode())
    (sequence,) = load_benchmark(Protocol.DAVIS_2017, root).sequences
    assert [frame.name for frame in sequence.frames] == [str(i) for i in range(1, 13)]
    assert sequence.scored_frames(1) == list(range(1, 11))
    cv2.imwrite(str(images / '1.png'), blocks(1))
    with pytest.raises(InputError, match='two images named 1: are masks among them'):
        load_benchmark(Protocol.DAVIS_2017, root)


def youtube_vos(root: Path, masks: dict[str, np.ndarray], objects: list[int]) -> Path:
    write_frames(root / 'valid/JPEGImages/cat', 6)
    write_masks(root / 'valid/Annotations/cat', masks)
    frames = [f'{index:05d}' for index in range(6)]
    content = {'videos': {'cat': {'objects': {str(i): {'frames': frames} for i in objects}}}}
    (root / 'valid/meta.json').write_bytes(('\ufeff' + json.dumps(content)).encode())
    return root


def test_masks_of_entry_are_no_truth_for_the_others(tmp_path):
    """Object 3 enters on frame 2, whose mask shows it alone: object 1 is not judged there."""
    masks = {'00000': blocks(1), '00002': blocks(0, 3), '00004': blocks(1, 3)}
    root = youtube_vos(tmp_path, masks, [1, 3])
    evaluation = score(root, named(lambda index: blocks(1, 3), 6), Protocol.YOUTUBE_VOS)
    assert [np.flatnonzero(~np.isnan(item.region)).tolist() for item in evaluation.scores] == [
        [4], [4]]
    assert as_dictionary(evaluation)['summary']['all']['J']['mean'] == 1
    assert told(evaluation) == [('frames that show others and not object 1', ('00002',))]


def test_a_split_that_shows_entries_only_is_not_scored(tmp_path):
    masks = {'00000': blocks(1), '00002': blocks(1, 3)}
    root = youtube_vos(tmp_path, masks, [1, 3])
    evaluation = score(root, named(lambda index: blocks(1, 3), 6), Protocol.YOUTUBE_VOS)
    assert not evaluation.scores and 'nothing is scored' in told(evaluation)[0][0]


def test_an_object_that_nothing_shows_does_not_stop_the_others(tmp_path):
    masks = {'00000': blocks(1, 8), '00004': blocks(1)}
    root = youtube_vos(tmp_path, masks, [1, 7])
    evaluation = score(root, named(lambda index: blocks(1), 6), Protocol.YOUTUBE_VOS)
    assert [item.ident for item in evaluation.scores] == [1]
    assert as_dictionary(evaluation)['summary']['all']['J']['mean'] == 1
    assert told(evaluation) == [('no annotation shows object', ('7',)),
                                ('meta.json does not list object', ('8',))]


def test_a_folder_without_predictions_is_no_score_of_zero(tmp_path):
    root = davis(tmp_path, named(lambda index: blocks(1)))
    benchmark = load_benchmark(Protocol.DAVIS_2017, root)
    write_masks(root / 'flat', named(lambda index: blocks(1)))
    write_masks(root / 'renamed' / 'cat', {'1': blocks(1)})
    for name in ('nowhere', 'flat', 'renamed', 'JPEGImages/480p'):
        with pytest.raises(InputError, match=r'holds no prediction.*cat/00004.png'):
            evaluate_predictions(benchmark, root / name)
    write_masks(root / 'one' / 'cat', {'00002': blocks(1)})
    assert evaluate_predictions(benchmark, root / 'one').missing_predictions == 2
