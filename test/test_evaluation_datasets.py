# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on disk: what is found, how annotations are understood, what is refused."""
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from stm_ros.evaluation.datasets import load_benchmark
from stm_ros.evaluation.sequences import Protocol
from stm_ros.evaluation.youtube_vos import write_archive
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import write_label_map


def label_map(*ids: int) -> np.ndarray:
    """A 24×32 uint8 label map with a block of each id."""
    labels = np.zeros((24, 32), dtype=np.uint8)
    for number, ident in enumerate(ids):
        labels[4:12, 6 * number:6 * number + 5] = ident
    return labels


def write_sequence(images: Path, annotations: Path, labels: list[np.ndarray | None]) -> None:
    """A folder of grey images and a folder of the label maps that are not None."""
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for index, labelled in enumerate(labels):
        picture = np.full((24, 32, 3), 10 * index, dtype=np.uint8)
        cv2.imwrite(str(images / f'{index:05d}.jpg'), picture)
        if labelled is not None:
            write_label_map(annotations / f'{index:05d}.png', labelled)


def write_davis(root: Path, sequences: dict[str, list[np.ndarray | None]]) -> Path:
    """A folder in DAVIS's layout at 480p, without ImageSets."""
    for name, labels in sequences.items():
        write_sequence(
            root / 'JPEGImages' / '480p' / name, root / 'Annotations' / '480p' / name, labels)
    return root


def write_list(root: Path, folder: str, split: str, lines: list[str]) -> None:
    """A split in ImageSets."""
    path = root / 'ImageSets' / folder / f'{split}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')


def write_youtube_vos(root: Path) -> Path:
    """A split whose first video shows object 1 at frame 1 and object 3 at frame 3."""
    split = root / 'valid'
    write_sequence(
        split / 'JPEGImages' / 'aa', split / 'Annotations' / 'aa',
        [None, label_map(1), None, label_map(1, 3), None, label_map(1, 3)])
    objects = {
        '1': {'category': 'owl', 'frames': ['00001', '00003', '00005']},
        '3': {'category': 'yak', 'frames': ['00003', '00005']},
    }
    (split / 'meta.json').write_text(json.dumps({'videos': {'aa': {'objects': objects}}}))
    return root


def test_davis_2016_merges_objects_and_void(tmp_path: Path) -> None:
    """Everything that is not background is object 1, 255 included."""
    write_davis(tmp_path, {'cat': [label_map(1, 2, 255)] * 4})
    (sequence,) = load_benchmark(Protocol.DAVIS_2016, tmp_path).sequences
    assert sequence.object_ids == (1,)
    np.testing.assert_array_equal(sequence.read_annotation(0), label_map(1, 1, 1))
    assert sequence.scored_frames(1) == [1, 2]


def test_davis_2017_has_the_objects_of_the_first_frame(tmp_path: Path) -> None:
    """Ids may have gaps; void is background; later ids are not objects."""
    write_davis(tmp_path, {'cat': [label_map(1, 200, 255), label_map(1, 5), label_map(200)]})
    (sequence,) = load_benchmark(Protocol.DAVIS_2017, tmp_path).sequences
    assert sequence.object_ids == (1, 200)
    assert sequence.entries == {0: (1, 200)}
    np.testing.assert_array_equal(sequence.read_annotation(0), label_map(1, 200, 0))
    np.testing.assert_array_equal(sequence.read_reference(0), label_map(1, 200, 0))


def test_splits_of_both_years(tmp_path: Path) -> None:
    """Each protocol reads its own year's list, in the list's order; val is the default."""
    write_davis(tmp_path, {name: [label_map(1)] * 3 for name in ('ant', 'bee', 'cat', 'dog')})
    write_list(tmp_path, '2016', 'val', [
        f'/JPEGImages/480p/{name}/{frame:05d}.jpg /Annotations/480p/{name}/{frame:05d}.png'
        for name in ('dog', 'ant') for frame in range(3)])
    write_list(tmp_path, '2017', 'val', ['cat', 'ant'])
    write_list(tmp_path, '2017', 'train', ['bee'])

    def names(protocol: Protocol, **options) -> list[str]:
        found = load_benchmark(protocol, tmp_path, **options)
        return [sequence.name for sequence in found.sequences]

    assert names(Protocol.DAVIS_2016) == ['dog', 'ant']
    assert names(Protocol.DAVIS_2017) == ['cat', 'ant']
    assert names(Protocol.DAVIS_2017, split='train') == ['bee']
    assert names(Protocol.DAVIS_2017, sequences=['dog', 'bee']) == ['dog', 'bee']
    with pytest.raises(InputError, match='no split dev: there are train, val'):
        names(Protocol.DAVIS_2017, split='dev')
    with pytest.raises(InputError, match='no sequence cow .* ant, bee, cat, dog'):
        names(Protocol.DAVIS_2017, sequences=['cow'])


def test_a_folder_without_lists_or_resolution(tmp_path: Path) -> None:
    """Any folder laid out like DAVIS will do."""
    for name in ('cat', 'ant'):
        write_sequence(
            tmp_path / 'JPEGImages' / name, tmp_path / 'Annotations' / name, [label_map(1)] * 3)
    benchmark = load_benchmark(Protocol.DAVIS_2017, tmp_path)
    assert [sequence.name for sequence in benchmark.sequences] == ['ant', 'cat']
    assert benchmark.split == 'all'


def test_attributes(tmp_path: Path) -> None:
    """From db_info.yml as DAVIS-2016 has it, or from a mapping."""
    write_davis(tmp_path, {'cat': [label_map(1)] * 3, 'dog': [label_map(1)] * 3})
    (tmp_path / 'db_info.yml').write_text(
        'attributes: [LR, FM]\nsequences:\n- name: cat\n  attributes: [LR, FM]\n')
    found = load_benchmark(Protocol.DAVIS_2016, tmp_path).sequences
    assert [sequence.attributes for sequence in found] == [('LR', 'FM'), ()]
    mapping = tmp_path / 'own.yml'
    mapping.write_text('dog: [dark]\n')
    found = load_benchmark(Protocol.DAVIS_2016, tmp_path, attributes=mapping).sequences
    assert [sequence.attributes for sequence in found] == [(), ('dark',)]
    mapping.write_text('- dark\n')
    with pytest.raises(InputError, match='not a list of attributes'):
        load_benchmark(Protocol.DAVIS_2016, tmp_path, attributes=mapping)


def test_folders_of_another_layout_are_refused(tmp_path: Path) -> None:
    """Each message says which folder, and what it should be."""
    with pytest.raises(InputError, match='nowhere is not a folder'):
        load_benchmark(Protocol.DAVIS_2016, tmp_path / 'nowhere')
    with pytest.raises(InputError, match='JPEGImages is missing'):
        load_benchmark(Protocol.DAVIS_2016, tmp_path)
    with pytest.raises(InputError, match='meta.json is missing'):
        load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)
    write_davis(tmp_path, {'cat': [None, label_map(1), label_map(1)]})
    with pytest.raises(InputError, match='no 00000.png: the first mask is needed'):
        load_benchmark(Protocol.DAVIS_2016, tmp_path)
    write_davis(tmp_path / 'empty', {'cat': [label_map()] * 3})
    with pytest.raises(InputError, match='holds no object'):
        load_benchmark(Protocol.DAVIS_2016, tmp_path / 'empty')


def test_an_unannotated_sequence_is_not_scored(tmp_path: Path) -> None:
    """DAVIS's test-dev has the first mask only."""
    write_davis(tmp_path, {'cat': [label_map(1, 2), None, None, None]})
    (sequence,) = load_benchmark(Protocol.DAVIS_2017, tmp_path).sequences
    assert sequence.scored_frames(1) == []


def test_youtube_vos_objects_enter_at_their_first_annotation(tmp_path: Path) -> None:
    """An object is scored on its annotated frames after the one it is given on."""
    write_youtube_vos(tmp_path)
    (sequence,) = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path).sequences
    assert sequence.entries == {1: (1,), 3: (3,)}
    assert len(sequence.frames) == 6
    assert sequence.scored_frames(1) == [3, 5]
    assert sequence.scored_frames(3) == [5]
    np.testing.assert_array_equal(sequence.read_reference(3), label_map(0, 3))
    assert sequence.unseen is None


def test_youtube_vos_unseen_categories_are_those_the_training_set_lacks(tmp_path: Path) -> None:
    """Known only where the training split lies beside."""
    write_youtube_vos(tmp_path)
    (tmp_path / 'train').mkdir()
    objects = {'1': {'category': 'owl', 'frames': []}}
    (tmp_path / 'train' / 'meta.json').write_text(
        json.dumps({'videos': {'zz': {'objects': objects}}}))
    (sequence,) = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path, split='val').sequences
    assert sequence.unseen == frozenset({3})


def test_youtube_vos_images_of_all_frames_are_preferred(tmp_path: Path) -> None:
    """The archive's `valid` holds every fifth frame; `valid_all_frames` lies beside it."""
    write_youtube_vos(tmp_path)
    write_sequence(
        tmp_path / 'valid_all_frames' / 'JPEGImages' / 'aa', tmp_path / 'unused', [None] * 9)
    (sequence,) = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path).sequences
    assert len(sequence.frames) == 9
    assert sequence.entries == {1: (1,), 3: (3,)}


def test_youtube_vos_archive_holds_the_frames_asked_for(tmp_path: Path) -> None:
    """It holds the frames of meta.json only, and equal results give equal bytes."""
    write_youtube_vos(tmp_path)
    benchmark = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)
    predictions = tmp_path / 'predictions' / 'aa'
    predictions.mkdir(parents=True)
    for index in range(6):
        write_label_map(predictions / f'{index:05d}.png', label_map(1))
    first, second = tmp_path / 'one.zip', tmp_path / 'two.zip'
    assert write_archive(first, predictions.parent, benchmark.sequences) == 3
    write_archive(second, predictions.parent, benchmark.sequences)
    assert first.read_bytes() == second.read_bytes()
    with ZipFile(first) as archive:
        assert archive.namelist() == [f'Annotations/aa/0000{index}.png' for index in (1, 3, 5)]
    (predictions / '00003.png').unlink()
    with pytest.raises(InputError, match='00003.png is missing'):
        write_archive(first, predictions.parent, benchmark.sequences)


def test_youtube_vos_meta_of_another_form_is_refused(tmp_path: Path) -> None:
    """So is a split in which no annotation shows any object."""
    write_youtube_vos(tmp_path)
    meta = tmp_path / 'valid' / 'meta.json'
    meta.write_text('{"videos": {"aa": {"objects": {"7": {"frames": ["00001"]}}}}}')
    with pytest.raises(InputError, match='sequence aa: no annotation shows object 7'):
        load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)
    meta.write_text('{"videos": ["aa"]}')
    with pytest.raises(InputError, match='not a meta.json'):
        load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)


def test_thinning_keeps_every_nth_frame_and_all_entries(tmp_path: Path) -> None:
    """Every second frame of six, and those on which objects enter."""
    write_youtube_vos(tmp_path)
    (sequence,) = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path).sequences
    thinned = sequence.thinned(2)
    names = [frame.name for frame in thinned.frames]
    assert names == ['00000', '00001', '00002', '00003', '00004']
    assert thinned.entries == {1: (1,), 3: (3,)}
    assert sequence.thinned(1) == sequence


@pytest.mark.parametrize('frames', ['00001', [1, 3], [float('nan')], None, {'00001': 1}])
def test_frames_of_meta_json_are_names(tmp_path: Path, frames: Any) -> None:
    write_youtube_vos(tmp_path)
    meta = tmp_path / 'valid' / 'meta.json'
    meta.write_text(json.dumps({'videos': {'aa': {'objects': {'1': {'frames': frames}}}}}))
    with pytest.raises(InputError, match='frames of object 1 are'):
        load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)


def test_frames_and_ids_of_meta_json_that_are_not_there_are_told(tmp_path: Path) -> None:
    write_youtube_vos(tmp_path)
    meta = tmp_path / 'valid' / 'meta.json'
    objects = {'1': {'frames': ['00001', '99999']}, '7': {'frames': ['00001']}}
    meta.write_text(json.dumps({'videos': {'aa': {'objects': objects}}}), encoding='utf-8-sig')
    (sequence,) = load_benchmark(Protocol.YOUTUBE_VOS, tmp_path).sequences
    told = {item.reason: item.names for item in sequence.left_out}
    assert told['meta.json lists frames that have no image'] == ('99999',)
    assert told['no annotation shows object'] == ('7',)
    objects = {'1': {'frames': ['00001']}, '01': {'frames': ['00001']}}
    meta.write_text(json.dumps({'videos': {'aa': {'objects': objects}}}))
    with pytest.raises(InputError, match='an id is there twice'):
        load_benchmark(Protocol.YOUTUBE_VOS, tmp_path)


def test_lists_are_read_as_editors_write_them_or_refused(tmp_path: Path) -> None:
    write_davis(tmp_path, {'cat': [label_map(1)] * 2, 'dog': [label_map(1)] * 2})
    write_list(tmp_path, '2017', 'val', ['cat'])
    path = tmp_path / 'ImageSets' / '2017' / 'val.txt'
    for content in (b'\xef\xbb\xbfcat\r\ndog\r\n', b'cat\rdog\r', b'cat\n\ndog'):
        path.write_bytes(content)
        found = load_benchmark(Protocol.DAVIS_2017, tmp_path).sequences
        assert [item.name for item in found] == ['cat', 'dog']
    path.write_bytes('cat\n'.encode('utf-16'))
    with pytest.raises(InputError, match='val.txt is no list in UTF-8'):
        load_benchmark(Protocol.DAVIS_2017, tmp_path)
    write_list(tmp_path, '2017', 'val', ['cat'])
    (tmp_path / 'tags.yml').write_text('cat: OCC\n')
    with pytest.raises(InputError, match='is not a list of attributes'):
        load_benchmark(Protocol.DAVIS_2017, tmp_path, attributes=tmp_path / 'tags.yml')
