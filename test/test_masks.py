# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a mask means: every way of storing one, and what is too unclear to be guessed."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from stm_ros.replay.reference import show_reference
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import read_stored_mask
from stm_ros.vision.masks import MAX_SHOWN_IDS
from stm_ros.vision.masks import ShownTargets
from stm_ros.vision.masks import one_label
from stm_ros.vision.masks import show_targets
from stm_ros.vision.palette import PALETTE

SHAPE = (60, 90)


def disc(value: int = 255, radius: int = 18) -> np.ndarray:
    """A disc of `value` on 0, H×W uint8."""
    return cv2.circle(np.zeros(SHAPE, np.uint8), (40, 30), radius, (value,), cv2.FILLED)


def two_ids(first: int, second: int) -> np.ndarray:
    """A disc and a bar beside it."""
    ids = disc(first)
    ids[10:50, 70:80] = second
    return ids


def read(path: Path, **options) -> ShownTargets:
    """What a file shows, by the one way that there is."""
    stored = read_stored_mask(path)
    return show_targets(stored.values, name=path.name, source=stored.source,
                        is_lossy=stored.is_lossy, **options)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    Image.fromarray(pixels, mode).save(path, **options)
    return path


def with_palette(path: Path, indices: np.ndarray, colours: list, **options) -> Path:
    """An indexed PNG with the palette `colours`, black after them."""
    picture = Image.fromarray(indices, 'P')
    picture.putpalette(np.array(colours, np.uint8).tobytes())
    picture.save(path, **options)
    return path


def test_binary_masks_are_the_target_and_others_name_theirs():
    assert np.array_equal(show_targets(disc(), 7).label_map, disc(7))
    assert show_targets(disc(), free_id=9).ids == (9,)
    assert show_targets(disc(), 7, free_id=9).ids == (7,)
    shown = show_targets(two_ids(5, 200))
    assert np.array_equal(shown.label_map, two_ids(5, 200))
    assert shown.meaning == 'ids 5, 200'
    assert show_targets(disc()).meaning == 'binary'


def test_an_id_is_applied_or_refused():
    assert show_targets(disc(1), 7).ids == (7,), '0 and 1 are a binary mask where an id is given'
    assert show_targets(disc(1)).ids == (1,)
    assert show_targets(disc(2), 2).ids == (2,)
    for mask in (disc(2), disc(38), two_ids(2, 5)):
        with pytest.raises(InputError, match='target id 7 is not what'):
            show_targets(mask, 7)
    with pytest.raises(InputError, match=r'ids \[2, 5\]'):
        show_targets(two_ids(2, 5), 5)
    assert show_targets(two_ids(2, 5), 5, choose=True).ids == (2, 5)


def test_a_label_is_applied_or_refused():
    assert one_label('cup', show_targets(disc(38))) == {38: 'cup'}
    assert one_label(None, show_targets(two_ids(2, 5))) == {}
    with pytest.raises(InputError, match="'cup'.*targets 2, 5"):
        one_label('cup', show_targets(two_ids(2, 5)))


@pytest.mark.parametrize('soften', [
    lambda mask: cv2.GaussianBlur(mask, (5, 5), 1.0),
    lambda mask: cv2.GaussianBlur(mask, (0, 0), 3.0),
    lambda mask: cv2.resize(cv2.resize(mask, (45, 30), interpolation=cv2.INTER_NEAREST), (90, 60)),
    lambda mask: cv2.resize(cv2.resize(mask, (45, 30), interpolation=cv2.INTER_AREA), (90, 60),
                            interpolation=cv2.INTER_CUBIC),
    lambda mask: cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
    lambda mask: cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 0),
    lambda mask: np.where(mask, 254, 0).astype(np.uint8) + (np.arange(90, dtype=np.uint8) % 2)])
def test_soft_edges_become_one_target(soften):
    shown = show_targets(soften(disc()), 3)
    assert shown.ids == (3,)
    truth = disc() > 0
    found = shown.label_map > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.93
    assert 'thresholded at 128' in shown.meaning


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(1, 254), min_size=1, max_size=4, unique=True),
       void=st.integers(0, 3))
def test_sharp_ids_are_never_thresholded(ids, void):
    """Whatever the ids are, with and without a void border around them."""
    mask = np.zeros((40, 100), np.uint8)
    for place, ident in enumerate(ids):
        mask[10:30, 5 + 24 * place:20 + 24 * place] = ident
    wide = cv2.dilate(mask, np.ones((2 * void + 1, 2 * void + 1), np.uint8))
    seen = np.where((wide > 0) & (mask == 0), 255, mask).astype(np.uint8)
    if max(ids) >= 250 and void and all(each <= 5 or each >= 250 for each in ids):
        return  # too close to white to be told from it
    shown = show_targets(seen)
    assert np.array_equal(shown.label_map, mask) and shown.ids == tuple(sorted(ids))


def photograph() -> np.ndarray:
    rng = np.random.default_rng(1)
    return cv2.GaussianBlur(rng.integers(0, 256, SHAPE, dtype=np.uint8), (0, 0), 2) * 3


def speck() -> np.ndarray:
    mask = disc()
    mask[:5, :5] = 1
    return mask


@pytest.mark.parametrize(('mask', 'told'), [
    (np.zeros(SHAPE, np.uint8), 'empty'),
    (np.full(SHAPE, 255, np.uint8), 'covers the whole image of 90×60'),
    (np.full(SHAPE, 3, np.uint8), 'covers the whole image'),
    (two_ids(1, 2) + np.uint8(1), 'no pixel is 0'),
    (photograph(), 'grey levels'),
    (speck(), r'255 in \d+ pixels and ids \[1\] in 25'),
    (np.where(disc() > 0, 1 + np.indices(SHAPE)[1] % 90, 0).astype(np.uint8), 'fewer than 16|ids'),
    (disc(9, 1), r'9 \(5\)'),
    (np.repeat(np.repeat(np.arange(80, dtype=np.uint8).reshape(8, 10), 8, 0), 8, 1),
     f'79 ids .*up to {MAX_SHOWN_IDS}'),
    (disc().astype(np.float32), 'float32'),
    (np.zeros((2, 2, 3), np.uint8), 'H×W'),
    (disc().astype(np.uint16) * 2, 'grey levels|510')])
def test_unclear_masks_are_refused(mask, told):
    with pytest.raises(InputError, match=told):
        show_targets(mask)


@pytest.mark.parametrize('target', [0, -1, 255, 300])
def test_ids_outside_the_range_are_refused(target):
    with pytest.raises(InputError, match=f'target id {target}'):
        show_targets(disc(), target)


def test_sixteen_bits_hold_ids_and_levels(tmp_path):
    for ids, expected in ((two_ids(1, 200), (1, 200)), (disc().astype(np.uint16) * 257, (4,))):
        path = tmp_path / 'deep.png'
        cv2.imwrite(str(path), ids.astype(np.uint16))
        target = 4 if expected == (4,) else None
        assert read(path, target_id=target).ids == expected
    with pytest.raises(InputError, match='grey levels'):
        show_targets(disc(1).astype(np.uint16) * 1000)


def test_alpha_is_the_mask_where_colour_says_nothing(tmp_path):
    alpha = disc()
    rng = np.random.default_rng(0)
    colours = {'white': 255, 'black': 0, 'grey': 38,
               'photo': rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)}
    for name, colour in colours.items():
        rgb = np.broadcast_to(np.array(colour, np.uint8), (*SHAPE, 3)) if np.isscalar(
            colour) else colour
        shown = read(save(tmp_path / f'{name}.png', np.dstack((rgb, alpha))), target_id=6)
        assert np.array_equal(shown.label_map, disc(6)), name
        assert shown.meaning == 'binary, alpha'
    shown = read(save(tmp_path / 'la.png', np.dstack((np.full_like(alpha, 255), alpha)), 'LA'))
    assert shown.meaning == 'binary, alpha'
    soft = cv2.GaussianBlur(alpha, (5, 5), 1)
    white = np.full((*SHAPE, 3), 255, np.uint8)
    shown = read(save(tmp_path / 'soft.png', np.dstack((white, soft))))
    assert shown.meaning == 'soft, thresholded at 128, alpha'


def test_colours_count_where_alpha_says_nothing_or_the_same(tmp_path):
    ids = two_ids(1, 3)
    for name, alpha in (('opaque', np.full(SHAPE, 255, np.uint8)),
                        ('same', np.where(ids > 0, 255, 0).astype(np.uint8))):
        shown = read(save(tmp_path / f'{name}.png', np.dstack((PALETTE[ids], alpha))))
        assert np.array_equal(shown.label_map, ids), name
        assert shown.meaning == 'ids 1, 3, DAVIS colours'
    left = np.zeros(SHAPE, np.uint8)
    left[:, :60] = 255
    grey = np.dstack([disc()] * 3)
    with pytest.raises(InputError, match='two masks: its alpha shows 3600 pixels'):
        read(save(tmp_path / 'both.png', np.dstack((grey, left))))
    with pytest.raises(InputError, match='alpha is 0 everywhere'):
        read(save(tmp_path / 'clear.png', np.dstack((grey, np.zeros(SHAPE, np.uint8)))))


def test_palettes_are_followed_by_colour(tmp_path):
    ids = two_ids(1, 3)
    assert read(with_palette(tmp_path / 'davis.png', ids, PALETTE[:8])).meaning == (
        'ids 1, 3, DAVIS palette')
    swapped = with_palette(tmp_path / 'swapped.png', np.where(disc() > 0, 0, 1).astype(np.uint8),
                           [(255, 255, 255), (0, 0, 0)])
    assert np.array_equal(read(swapped, target_id=2).label_map, disc(2)), 'white is the target'
    moved = with_palette(tmp_path / 'moved.png', ids, [(0, 0, 0), (0, 0, 128), (9, 9, 9),
                                                       (0, 128, 0)])
    assert np.array_equal(read(moved).label_map, two_ids(4, 2)), 'DAVIS colours in another order'
    own = with_palette(tmp_path / 'own.png', ids, [(0, 0, 0), (250, 10, 10), (0, 0, 0),
                                                   (10, 250, 10)])
    assert read(own).meaning == 'ids 1, 3, palette indices'
    odd = with_palette(tmp_path / 'odd.png', ids, [(255, 0, 0), (250, 10, 10), (3, 3, 3),
                                                   (0, 0, 0)])
    with pytest.raises(InputError, match=r'index 0 \(255, 0, 0\)'):
        read(odd)
    clear = with_palette(tmp_path / 'clear.png', np.where(disc() > 0, 1, 0).astype(np.uint8),
                         [(200, 9, 9), (200, 9, 9)], transparency=0)
    assert np.array_equal(read(clear).label_map, disc(1)), 'index 0 is transparent'


def test_colours_are_ids_where_they_are_those_of_davis(tmp_path):
    ids = two_ids(2, 7)
    assert np.array_equal(read(save(tmp_path / 'ids.png', PALETTE[ids])).label_map, ids)
    red = np.dstack((disc(), disc(0), disc(0)))
    assert read(save(tmp_path / 'red.png', red)).meaning == 'binary, colour (255, 0, 0) on black'
    with pytest.raises(InputError, match='grey 128: that may be id 128, or id 7'):
        read(save(tmp_path / 'seven.png', PALETTE[disc(7)]))
    with pytest.raises(InputError, match=r'3 colours, such as \(1, 2, 3\)'):
        foreign = np.array([(0, 0, 0), (1, 2, 3), (9, 8, 7)], np.uint8)[
            (disc() > 0) + 2 * (two_ids(0, 1) > 0)]
        read(save(tmp_path / 'foreign.png', foreign))


def test_formats_that_change_values_hold_no_ids(tmp_path):
    assert read(save(tmp_path / 'binary.jpg', disc(), quality=60)).ids == (1,)
    blocks = np.kron(np.array([[0, 40], [90, 0]], np.uint8), np.ones((32, 32), np.uint8))
    with pytest.raises(InputError, match='JPEG|grey levels'):
        read(save(tmp_path / 'ids.jpg', blocks, quality=95))


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('form', ['jpg', 'png', 'webp', 'tiff'])
def test_exif_turns_image_and_mask_alike(tmp_path, orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'quality': 100} if form in ('jpg', 'webp') else {}
    if form == 'webp':
        options['lossless'] = True
    rgb = np.dstack([disc()] * 3)
    save(tmp_path / f'image.{form}', rgb, exif=exif, **options)
    save(tmp_path / f'mask.{form}', disc(), exif=exif, **options)
    image = read_image(tmp_path / f'image.{form}')
    upright = Image.fromarray(disc())
    turns = {2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
             4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE],
             6: [Image.Transpose.ROTATE_270], 7: [Image.Transpose.TRANSVERSE],
             8: [Image.Transpose.ROTATE_90]}
    expected = np.asarray(upright.transpose(turns[orientation][0]))
    assert np.abs(image[..., 0].astype(int) - expected).max() < 40
    shown = show_reference(image, tmp_path / f'image.{form}', tmp_path / f'mask.{form}')
    assert np.array_equal(shown.label_map > 0, expected > 0)


@pytest.mark.parametrize('orientation', [2, 3, 6, 8])
def test_a_mask_on_the_stored_pixels_of_a_turned_picture_is_refused(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = np.dstack([disc()] * 3)
    save(tmp_path / 'image.jpg', rgb, exif=exif)
    save(tmp_path / 'mask.png', two_ids(255, 255))
    image = read_image(tmp_path / 'image.jpg')
    with pytest.raises(InputError, match='EXIF'):
        show_reference(image, tmp_path / 'image.jpg', tmp_path / 'mask.png')


def test_a_mask_on_the_upright_picture_is_taken(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / 'image.jpg', np.dstack([disc()] * 3), exif=exif)
    save(tmp_path / 'mask.png', np.rot90(disc(), -1))
    image = read_image(tmp_path / 'image.jpg')
    shown = show_reference(image, tmp_path / 'image.jpg', tmp_path / 'mask.png')
    assert shown.label_map.shape == image.shape[:2] == (90, 60)


@pytest.mark.parametrize(('suffix', 'options'), [
    ('jpg', {'quality': 95}), ('webp', {'quality': 80}), ('tiff', {'compression': 'jpeg'})])
def test_ids_that_a_format_has_changed_are_refused(tmp_path, suffix, options):
    for value in (7, 200):
        path = save(tmp_path / f'{value}.{suffix}', np.kron(disc(value), np.ones((4, 4), np.uint8)),
                    **options)
        with pytest.raises(InputError, match='format that changes values'):
            read(path)
    if suffix != 'webp':  # which stores colours, and changes them
        white = read(save(tmp_path / f'white.{suffix}', disc(255), **options))
        assert white.meaning == 'soft, thresholded at 128'
        assert ((white.label_map > 0) != (disc() > 0)).sum() < 20


def test_ids_in_lossless_webp_are_ids(tmp_path):
    assert read(save(tmp_path / 'm.webp', disc(7), lossless=True)).ids == (7,)


@pytest.mark.parametrize('suffix', ['gif', 'webp', 'png', 'tiff'])
def test_of_several_pictures_in_a_file_none_is_guessed(tmp_path, suffix):
    path = tmp_path / f'several.{suffix}'
    Image.fromarray(disc()).save(path, save_all=True, append_images=[
        Image.fromarray(disc(radius=9)), Image.fromarray(disc(radius=5))])
    for reader in (read, read_image):
        with pytest.raises(InputError, match='holds 3 pictures'):
            reader(path)


def test_colours_of_16_bits_are_not_cut_to_their_upper_half(tmp_path):
    for value, channels in ((7, 3), (300, 3), (255, 3), (257 * 3, 4)):
        plane = disc(1).astype(np.uint16) * value
        cv2.imwrite(str(tmp_path / 'm.png'), np.dstack([plane] * channels))
        with pytest.raises(InputError, match='colours of 16 bits'):
            read(tmp_path / 'm.png')
    for suffix in ('png', 'tiff', 'ppm'):
        cv2.imwrite(str(tmp_path / f'm.{suffix}'),
                    np.dstack([disc(1).astype(np.uint16) * 65535] * 3))
        assert np.array_equal(read(tmp_path / f'm.{suffix}').label_map, disc(1)), suffix


def test_an_index_without_a_colour_is_not_black(tmp_path):
    path = with_palette(tmp_path / 'm.png', disc(1), [(255, 255, 255)])
    with pytest.raises(InputError, match='holds the index 1, and its palette has 1 colours'):
        read(path)


def test_what_ids_enclose_is_not_void():
    border = cv2.circle(disc(255, 9), (40, 30), 9, (1,), 2)
    assert (border == 255).sum() > (border == 1).sum()
    with pytest.raises(InputError, match='its border'):
        show_targets(border)
    around = cv2.circle(disc(1, 9), (40, 30), 12, (255,), 6)
    assert show_targets(around).ids == (1,)
