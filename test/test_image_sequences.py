# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from folders and patterns: their order, their gaps, and what lies among them."""
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.replay.image_sequences import find_images
from stm_ros.replay.sources import open_source
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_folders import natural_key


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b'x')
    return folder


def found(place: Path) -> list[str]:
    return [path.name for path in find_images(place).paths]


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1), st.integers(0, 7))
def test_natural_order_is_that_of_the_numbers(numbers, width):
    names = [f'frame_{number:0{width}d}.jpg' for number in numbers]
    expected = [f'frame_{number:0{width}d}.jpg' for number in sorted(numbers)]
    assert sorted(names, key=natural_key) == expected


@given(st.lists(st.text(), max_size=6))
def test_any_names_can_be_ordered(names):
    assert sorted(sorted(names, key=natural_key), key=natural_key) == sorted(names, key=natural_key)


def test_folders_patterns_and_their_numbers(tmp_path):
    names = [f'f_{index}.jpg' for index in range(1, 13)]
    touch(tmp_path, *reversed(names), 'notes.txt', '._f_3.jpg', 'Thumbs.db', '.DS_Store')
    (tmp_path / '.ipynb_checkpoints').mkdir()
    (tmp_path / 'f_99.jpg').mkdir()
    for place in (tmp_path, tmp_path / 'f_*.jpg', tmp_path / '*', tmp_path / 'f_%d.jpg'):
        assert found(place) == names, place
        assert find_images(place).notes == ()


@pytest.mark.parametrize(('numbers', 'told'), [
    (range(7, 20), []), (range(0, 50, 5), ['steps of 5']),
    ([1, 2, 3, 5, 6, 7], ['1 frames are missing between 3 and 5']),
    ([0, 5, 10, 25, 30], ['steps of 5', '2 frames are missing between 10 and 25']),
    ([3, 900, 70_000], [])])
def test_sequences_start_step_and_break_where_the_files_do(tmp_path, numbers, told):
    names = [f'{number:05d}.png' for number in numbers]
    touch(tmp_path, *names)
    for place in (tmp_path, tmp_path / '%05d.png', tmp_path / '*.png'):
        sequence = find_images(place)
        assert [path.name for path in sequence.paths] == names
        assert len(sequence.notes) == len(told)
        for note, words in zip(sequence.notes, told, strict=True):
            assert words in note


def test_stamps_are_no_counters(tmp_path):
    touch(tmp_path, *(f'{1_700_000_000_000 + 33 * index ** 2}.png' for index in range(6)))
    assert len(found(tmp_path)) == 6 and find_images(tmp_path).notes == ()


def test_a_pattern_takes_what_it_names_only(tmp_path):
    touch(tmp_path, '7.png', '00008.png', '00009.PNG', '00010.jpg', 'x00011.png')
    assert found(tmp_path / '%05d.png') == ['00008.png', '00009.PNG']
    assert found(tmp_path / '%d.png') == ['7.png']
    for pattern in ('%d_%d.png', '%s.png', '%f.png'):
        with pytest.raises(InputError, match='single number'):
            find_images(tmp_path / pattern)
    assert found(tmp_path / 'nowhere' / '%d.png') == []


@pytest.mark.parametrize('other', ['{}.png', '{}_mask.png', 'mask_{}.jpg', '{}_right.jpg'])
def test_frames_and_what_counts_alike_are_told_apart_by_the_user(tmp_path, other):
    for index in range(4):
        touch(tmp_path, f'{index:03d}.jpg', other.format(f'{index:03d}'))
    with pytest.raises(InputError, match=r'same numbers: .*\(4\), .*\(4\).*pattern'):
        find_images(tmp_path)
    assert len(found(tmp_path / '%03d.jpg')) == 4


def test_a_stray_image_is_told(tmp_path):
    touch(tmp_path, *(f'{index:03d}.jpg' for index in range(4)), 'cover.png', '004.JPEG')
    assert found(tmp_path) == ['000.jpg', '001.jpg', '002.jpg', '003.jpg', '004.JPEG', 'cover.png']
    (note,) = find_images(tmp_path).notes
    assert 'several kinds, all taken as frames: #.jpg (5), cover.png (1)' in note


def test_one_number_written_in_two_ways_is_refused(tmp_path):
    for names in (('1.png', '01.png', '2.png'), ('f_1.jpg', 'f_1.jpeg', 'f_2.jpg')):
        folder = touch(tmp_path / names[0], *names)
        with pytest.raises(InputError, match='two images of one number'):
            find_images(folder)
    assert found(tmp_path / '1.png' / '%d.png') == ['1.png', '2.png']
    assert len(found(touch(tmp_path / 'decimals', '0.05.png', '0.5.png'))) == 2
    assert 'seconds need equally many digits' in find_images(tmp_path / 'decimals').notes[0]
    assert not find_images(touch(tmp_path / 'versions', '1.05.png', '1.10.png')).notes


def test_fractions_of_seconds_are_decimals(tmp_path):
    """As `f'{time.time()}.png'` writes them, without zeros at the end."""
    names = ['1700000000.12.png', '1700000000.5.png', '1700000000.95.png', '1700000001.0.png',
             '1700000001.1234567.png', '1700000001.2.png']
    assert found(touch(tmp_path, *reversed(names))) == names


def test_all_wildcards_of_a_shell_name_frames(tmp_path):
    for index in range(1, 4):
        write_image(tmp_path / f'f{index}.png', np.full((4, 5, 3), index, np.uint8))
    for pattern in ('f?.png', 'f[1-3].png', '*'):
        assert [frame.image[0, 0, 0] for frame in open_source(tmp_path / pattern)] == [1, 2, 3]


def test_a_frame_that_cannot_be_read_is_left_out_and_told(tmp_path):
    for index in range(4):
        write_image(tmp_path / f'{index}.png', np.full((4, 5, 3), index, np.uint8))
    (tmp_path / '2.png').write_bytes(b'')
    source = open_source(tmp_path, rate=10)
    for _ in range(2):
        frames = list(source)
        assert [frame.image[0, 0, 0] for frame in frames] == [0, 1, 3]
        assert frames[2].stamp_ns == 400_000_000, 'time goes on where one is missing'
        assert source.notes == [
            f'1 of 4 images were skipped: {tmp_path / "2.png"} is empty (0 bytes)']
    (tmp_path / '0.png').write_bytes(b'')
    with pytest.raises(InputError, match='0.png is empty'):
        list(open_source(tmp_path))


@pytest.mark.parametrize('rate', [0, -1, float('nan'), float('inf'), 1e-300, 1e300])
def test_rates_that_stamps_cannot_tell_are_refused(tmp_path, rate):
    write_image(tmp_path / '1.png', np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(InputError, match='1e-06 to 1e.06 are accepted'):
        open_source(tmp_path, rate=rate)


def test_what_is_no_video_says_what_it_is(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'')
    (tmp_path / 'metadata.yaml').write_text('rosbag2_bagfile_information: {}')
    (tmp_path / 'b' / 'bag').mkdir(parents=True)
    (tmp_path / 'b' / 'bag' / 'metadata.yaml').write_text('')
    for name, reason in (('a.mp4', 'is empty'), ('metadata.yaml', 'name its folder'),
                         ('b', 'such as .*b/bag'), ('none.mp4', 'does not exist')):
        with pytest.raises(InputError, match=reason):
            open_source(tmp_path / name)
