# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files: what is written is what is read, and every refusal names its reason."""
import cv2
import numpy as np
import pytest
from PIL import Image

from stm_ros.vision.boxes import Box
from stm_ros.vision.crops import crop_around_box
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_mask
from stm_ros.vision.image_files import write_image
from stm_ros.vision.image_files import write_label_map
from stm_ros.vision.palette import PALETTE


def picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def test_image_comes_back_in_rgb(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'a.png'
    write_image(path, picture())
    assert np.array_equal(read_image(path), picture())
    assert np.array_equal(np.asarray(Image.open(path)), picture())


def test_grey_and_transparent_images_become_rgb(tmp_path):
    grey = picture()[..., 0]
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    assert np.array_equal(read_image(tmp_path / 'grey.png'), np.stack([grey] * 3, axis=2))
    Image.fromarray(np.dstack((picture(), grey))).save(tmp_path / 'alpha.png')
    assert np.array_equal(read_image(tmp_path / 'alpha.png'), picture())


def test_label_map_keeps_every_id_and_shows_davis_colours(tmp_path):
    label_map = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_label_map(tmp_path / 'm.png', label_map)
    assert np.array_equal(read_mask(tmp_path / 'm.png'), label_map)
    shown = np.asarray(Image.open(tmp_path / 'm.png').convert('RGB'))
    assert np.array_equal(shown, PALETTE[label_map])


def test_palette_is_that_of_the_benchmarks():
    # the first colours of PASCAL VOC's devkit, DAVIS and YouTube-VOS, and the border's
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128),
                7: (128, 128, 128), 8: (64, 0, 0), 15: (192, 128, 128), 255: (224, 224, 192)}
    assert {index: tuple(PALETTE[index].tolist()) for index in expected} == expected
    assert len({tuple(colour) for colour in PALETTE.tolist()}) == 256


def test_masks_of_every_kind(tmp_path):
    mask = np.zeros((5, 7), np.uint8)
    mask[1:3, 2:6] = 255
    for mode in ('L', '1', 'RGB', 'LA'):
        Image.fromarray(mask).convert(mode).save(tmp_path / f'{mode}.png')
        assert np.array_equal(read_mask(tmp_path / f'{mode}.png'), mask), mode


def test_refusals_of_files(tmp_path):
    (tmp_path / 'text.png').write_text('no picture')
    (tmp_path / 'empty.png').write_bytes(b'')
    cv2.imwrite(str(tmp_path / 'deep.png'), picture()[..., 0].astype(np.uint16))
    half = cv2.imencode('.png', picture())[1].tobytes()[:60]
    (tmp_path / 'half.png').write_bytes(half)
    for read in (read_image, read_mask):
        for name, told in (('absent.png', 'does not exist'), ('text.png', 'not a picture'),
                           ('empty.png', '0 bytes'), ('half.png', 'cut short'),
                           ('', 'is a folder')):
            with pytest.raises(InputError, match=told):
                read(tmp_path / name)
    with pytest.raises(InputError, match='uint16'):
        read_image(tmp_path / 'deep.png')
    write_image(tmp_path / 'colour.png', picture())
    with pytest.raises(InputError, match='colours'):
        read_mask(tmp_path / 'colour.png')


def test_refusals_of_arrays(tmp_path):
    with pytest.raises(InputError, match='.jpg'):
        write_image(tmp_path / 'a.txt', picture())
    with pytest.raises(InputError, match='dtype'):
        write_image(tmp_path / 'a.png', picture().astype(float))
    with pytest.raises(InputError, match=r'\(0, 5\)'):
        write_label_map(tmp_path / 'a.png', np.zeros((0, 5), np.uint8))
    assert not (tmp_path / 'a.png').exists()


def test_crop_has_its_margin_and_ends_at_the_border():
    image = picture()
    crop = crop_around_box(image, Box(4, 3, 4, 2), margin=0.5)
    assert np.array_equal(crop, image[2:6, 2:10])
    assert np.array_equal(crop_around_box(image, Box(10, 0, 9, 4), margin=0), image[0:4, 10:13])
    crop[:] = 0
    assert np.array_equal(image, picture())
    with pytest.raises(InputError, match='13×9'):
        crop_around_box(image, Box(14, 0, 3, 3))
    with pytest.raises(InputError, match='-1'):
        crop_around_box(image, Box(1, 1, 3, 3), margin=-1)


def test_pictures_of_other_formats_say_which_are_accepted(tmp_path):
    Image.fromarray(picture()).save(tmp_path / 'a.gif')
    with pytest.raises(InputError, match='of the format GIF; accepted are PNG'):
        read_image(tmp_path / 'a.gif')
