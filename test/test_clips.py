# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Generated clips: the same every time, and what they claim to show is in the pixels."""
from importlib.util import find_spec

import numpy as np
import pytest

from stm_ros.synthetic.clips import CLIPS
from stm_ros.synthetic.clips import generate_clip
from stm_ros.synthetic.photographs import CUT_OUTS
from stm_ros.synthetic.photographs import PHOTOGRAPHS
from stm_ros.synthetic.photographs import cut_out
from stm_ros.synthetic.photographs import photograph
from stm_ros.vision.errors import InputError

photographs_installed = pytest.mark.skipif(
    find_spec('skimage') is None, reason='scikit-image, whose photographs are used, is absent')
SIZE = (96, 128)


def areas(name: str, frames: int, seed: int = 0) -> np.ndarray:
    return np.array([(label_map == 1).sum() for _, label_map in generate_clip(
        name, frames, SIZE, seed)])


@photographs_installed
@pytest.mark.parametrize('name', CLIPS)
def test_a_clip_is_the_same_every_time_and_another_for_another_seed(name):
    first, again, other = (generate_clip(name, 4, SIZE, seed) for seed in (3, 3, 4))
    for (image, truth), (image_again, truth_again) in zip(first, again, strict=True):
        assert image.shape == (*SIZE, 3) and image.dtype == np.uint8
        assert truth.shape == SIZE and set(np.unique(truth)) <= {0, 1}
        assert np.array_equal(image, image_again) and np.array_equal(truth, truth_again)
    assert not np.array_equal(first[3][1], other[3][1])


@photographs_installed
@pytest.mark.parametrize('name', CLIPS)
def test_the_first_frame_shows_the_whole_target(name):
    """A reference has to be whole: the cup's share of its box is that of the cut-out."""
    truth = generate_clip(name, 2, SIZE)[0][1] == 1
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    assert rows[0] > 0 and rows[-1] < SIZE[0] - 1 and columns[0] > 0
    box = truth[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    assert abs(box.mean() - (cut_out('cup')[..., 3] > 0).mean()) < 0.03


@photographs_installed
def test_truth_separates_red_cup_from_blue_sky():
    image, truth = generate_clip('scene_cut', 2, SIZE)[0]
    difference = image[..., 0].astype(int) - image[..., 2]
    assert difference[truth == 1].mean() > 60 and difference[:60][truth[:60] == 0].mean() < 10


@photographs_installed
def test_the_astronaut_hides_part_of_the_cup_and_goes_again():
    visible = areas('occlusion', 41)
    assert visible[19:28].min() < 0.55 * visible[17] and visible[30] > 1.2 * visible[19:28].min()


@photographs_installed
def test_light_falls_and_blur_smears_in_the_occlusion_clip():
    clip = generate_clip('occlusion', 41, SIZE)
    brightness = [image.mean() for image, _ in clip]
    assert min(brightness[32:]) < 0.75 * brightness[0]
    still, moving = (np.abs(np.diff(clip[index][0][clip[index][1].any(axis=1)].astype(int),
                                    axis=1)).mean() for index in (0, 11))
    assert moving < still


@photographs_installed
def test_target_leaves_and_returns():
    visible = areas('leave_return', 41)
    assert (visible[18:25] == 0).all() and visible[0] > 0 and visible[-1] > 0


@photographs_installed
def test_the_look_alike_is_no_part_of_the_truth():
    clip = generate_clip('look_alike', 41, SIZE)
    image, truth = clip[0]
    reddish = image[..., 0].astype(int) - image[..., 2] > 60
    assert reddish[:, 80:].sum() > 300 and not truth[:, 80:].any()
    crossed = (areas('look_alike', 41) / areas('scene_cut', 41))[16:26].min()
    assert crossed < 0.7


@photographs_installed
def test_the_scene_changes_at_the_cut_and_nowhere_else():
    clip = generate_clip('scene_cut', 20, SIZE)
    changes = [np.abs(after[0].astype(int) - before[0]).mean()
               for before, after in zip(clip, clip[1:], strict=False)]
    assert np.argmax(changes) == 9 and changes[9] > 4 * np.delete(changes, 9).max()


@photographs_installed
@pytest.mark.parametrize('name', CUT_OUTS)
def test_cut_outs_are_solid_and_tight(name):
    alpha = cut_out(name)[..., 3]
    assert set(np.unique(alpha)) == {0, 255}
    assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any()
    assert 0.5 < (alpha > 0).mean() < 0.95


@photographs_installed
@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_photographs_are_in_the_wheel(name):
    assert photograph(name).std() > 20


def test_refusals():
    for arguments, told in ((('nothing', 3, SIZE), 'occlusion'), (('occlusion', 0, SIZE), '0 fr'),
                            (('occlusion', 3, (16, 128)), '128×16')):
        with pytest.raises(InputError, match=told):
            generate_clip(*arguments)
    with pytest.raises(InputError, match='cup'):
        cut_out('kettle')
    with pytest.raises(InputError, match='rocket'):
        photograph('moon landing')
