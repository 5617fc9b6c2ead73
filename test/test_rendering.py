# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The renderer itself, where it is installed: labels, depth, shadows and whole clips."""
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from render_helpers import box
from render_helpers import needs_renderer
from render_helpers import write_object

from stm_ros.cli.main import main
from stm_ros.synthetic.choreography import Actor
from stm_ros.synthetic.choreography import CameraWay
from stm_ros.synthetic.choreography import Route
from stm_ros.synthetic.choreography import Turning
from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.geometry import Plane
from stm_ros.synthetic.geometry import look_at
from stm_ros.synthetic.geometry import pose
from stm_ros.synthetic.geometry import rotation
from stm_ros.synthetic.objects import find_objects
from stm_ros.synthetic.producing import shows_all_targets
from stm_ros.synthetic.reliability_clips import View
from stm_ros.synthetic.rendered_clips import Film
from stm_ros.synthetic.rendered_clips import Lens
from stm_ros.synthetic.rendered_reliability import RENDERED_CASES
from stm_ros.synthetic.rendered_reliability import RenderedReliabilityClip
from stm_ros.synthetic.rendering import Light
from stm_ros.synthetic.rendering import Renderer
from stm_ros.synthetic.staging import Backdrop
from stm_ros.synthetic.staging import Lighting
from stm_ros.synthetic.staging import Surface
from stm_ros.synthetic.stories import Scene
from stm_ros.vision.errors import InputError

pytestmark = needs_renderer
photographs_installed = pytest.mark.skipif(
    find_spec('skimage') is None, reason='scikit-image, whose photographs are used, is absent')
SIZE = (96, 128)
EYE = np.array([0.0, -1.0, 0.0])
CAMERA = Camera(SIZE, 120.0, look_at(EYE, np.zeros(3)))
FRONTAL = [Light(np.array([0.0, 1.0, 0.0]), (1.0, 1.0, 1.0), np.pi)]


@pytest.fixture
def renderer():
    made = Renderer([box((0.2, 0.2, 0.2)), box((0.2, 0.2, 0.2), colour=(20, 60, 220))], SIZE)
    yield made
    made.close()


def at(x: float, y: float, z: float = 0.0) -> np.ndarray:
    return pose(np.eye(3), np.array([x, y, z]))


def test_labels_and_depth_are_those_of_projection(renderer):
    owner, depth = renderer.outline(CAMERA, [at(-0.2, 0.0), at(0.2, 0.3)])
    for number, x, front in ((1, -0.2, 0.9), (2, 0.2, 1.2)):
        rows, columns = np.nonzero(owner == number)
        # pixels whose centre is within the front side's edges
        left, right = (64 + 120 * (x + side * 0.1) / front for side in (-1, 1))
        top, bottom = (48 + 120 * side * 0.1 / front for side in (-1, 1))
        # its inner side is seen as well, so that only the outer edge is the front's
        outer, edge = ((columns.min(), np.ceil(left - 0.5)) if x < 0
                       else (columns.max(), np.floor(right - 0.5)))
        assert abs(outer - edge) <= 1
        assert abs(rows.min() - np.ceil(top - 0.5)) <= 1 and abs(
            rows.max() - np.floor(bottom - 0.5)) <= 1
        middle = (48, int(64 + 120 * x / front))
        assert depth[middle] == pytest.approx(front, abs=2e-3)
    assert np.array_equal(np.isfinite(depth), owner > 0)


def test_what_is_nearer_hides_what_is_behind(renderer):
    for places, visible in (((at(0, 0), at(0, 0.4)), 1), ((at(0, 0.4), at(0, 0)), 2)):
        owner, _ = renderer.outline(CAMERA, places)
        assert set(np.unique(owner)) == {0, visible}
    owner, _ = renderer.outline(CAMERA, (at(0.05, 0.4), at(0, 0)))
    both = [(owner == number).sum() for number in (1, 2)]
    assert 0 < both[0] < 0.2 * both[1]


def test_colours_are_the_textures_in_full_light_and_darker_in_less(renderer):
    places = [at(-0.2, 0.0), at(0.2, 0.0)]
    bright, _ = renderer.draw(CAMERA, places, FRONTAL, 0.0)
    dark, _ = renderer.draw(CAMERA, places, [], 0.2)
    full, _ = renderer.draw(CAMERA, places, [], 1.0)
    blue = np.s_[52:56, 80:84]
    assert np.allclose(full[blue], (20, 60, 220), atol=8)
    assert np.allclose(full[52:56, 94:98], (235, 195, 35), atol=8)
    assert np.allclose(bright[blue], full[blue], atol=45)
    assert dark[blue].mean() < 0.6 * bright[blue].mean()
    assert bright[:8].max() == 0


def test_a_shifted_camera_shifts_the_picture(renderer):
    places = [at(0, 0), at(5, 0)]
    still, _ = renderer.outline(CAMERA, places)
    moved, _ = renderer.outline(Camera(SIZE, 120.0, CAMERA.pose, shift=(3.0, -2.0)), places)
    assert np.array_equal(np.roll(still, (-2, 3), (0, 1)), moved)


def test_too_many_meshes_are_refused():
    with pytest.raises(InputError, match='254 are the most'):
        Renderer([box()] * 255, SIZE)


def still(mesh, place, scale: float = 1.0, **more) -> Actor:
    turning = Turning(np.eye(3), (np.array([0, 0, 1.0]),) * 2, (0.0, 0.0))
    return Actor(mesh, scale, Route(np.zeros(1), np.array([place])), turning, **more)


def scene(*actors: Actor, shutter: float = 0.0) -> Scene:
    """A grey table seen from above its edge, in light that falls from the left."""
    plane = Plane(np.array([-2.0, 2.0, 0.0]), np.array([4.0, 0, 0]), np.array([0, -4.0, 0]))
    table = Surface(plane, np.full((50, 50, 3), 150, np.float32), is_ground=True)
    camera = CameraWay(0.8, 0.9, 0.0, 0.0, 0.0, np.zeros(3), 0.0, np.zeros(3), 0.0)
    lighting = Lighting(azimuth=0.0, sweep=0.0, elevation=0.8, power=4.0, fill=0.3, ambient=0.3)
    return Scene(actors, Backdrop((table,)), lighting, camera, shutter)


def test_a_thing_on_a_table_casts_its_shadow_away_from_the_light():
    film = Film(scene(still(box(), (0, 0, 0), is_target=True, rests=True)), Lens(SIZE, noise=0))
    frame = film.frame(0.0, 0.0, np.random.default_rng(0))
    depth = film.depth(0.0)
    film.close()
    rows, columns = np.nonzero(frame.owners == 1)
    row = rows.max() - 3
    right, left = columns[rows == row].max(), columns[rows == row].min()
    grey = frame.image.mean(axis=2)
    assert grey[row, right + 4] < 0.85 * grey[row, left - 8]
    assert abs(grey[row, left - 8] - 150) < 8
    # the table's depth is that of the plane z = 0, the thing stands before it
    assert np.isfinite(depth).all() and depth[rows, columns].max() < depth[2].min()
    assert np.abs(np.diff(depth[:, 2])).max() < 0.1


def test_hidden_and_outside_parts_are_not_in_view():
    hider = still(box((0.1, 0.02, 0.2)), (0.02, -0.15, 0.2), is_object=False)
    target = still(box(), (0, 0, 0), is_target=True, rests=True)
    film = Film(scene(target, hider), Lens(SIZE))
    owners = film.owners(0.0)
    whole = film.alone(0.0, 0)
    share = film.share_in_view(0.0, 0, owners == 1)
    assert (owners == 1).sum() < whole.sum() and not (owners[~whole] == 1).any()
    assert share == pytest.approx((owners == 1).sum() / whole.sum())
    assert not shows_all_targets(film)
    film.close()
    edge = Film(scene(still(box(), (0.33, 0, 0), is_target=True, rests=True)), Lens(SIZE))
    seen = edge.owners(0.0) == 1
    assert seen[:, -1].any() and 0.1 < edge.share_in_view(0.0, 0, seen) < 0.9
    edge.close()


def test_motion_blurs_the_picture_and_not_the_label():
    mesh = box()
    route = Route(np.array([0.0, 1.0]), np.array([[-0.3, 0, 0.05], [0.3, 0, 0.05]]))
    turning = Turning(np.eye(3), (np.array([0, 0, 1.0]),) * 2, (0.0, 0.0))
    moving = Actor(mesh, 1.0, route, turning, is_target=True)
    film = Film(scene(moving), Lens(SIZE, noise=0))
    sharp = film.frame(0.5, 0.0, np.random.default_rng(0))
    blurred = film.frame(0.5, 0.1, np.random.default_rng(0))
    film.close()
    assert np.array_equal(sharp.owners, blurred.owners)

    def steepest(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image.astype(float).mean(axis=2), axis=1)).max())
    assert steepest(blurred.image) < 0.8 * steepest(sharp.image)


@pytest.fixture(scope='module')
def objects(tmp_path_factory):
    """Five boxes under names of objects: three are held out, of one kind, two may be trained on."""
    folder = tmp_path_factory.mktemp('objects')
    for index, name in enumerate(('ycb_004_sugar_box', 'ycb_008_pudding_box',
                                  'ycb_010_potted_meat_can', 'shampoo', 'ycb_024_bowl')):
        write_object(folder, name, (0.06, 0.09, 0.12), (40 * index + 40, 200 - 30 * index, 90))
    return folder


@photographs_installed
def test_the_command_writes_whole_clips_and_goes_on_where_it_stopped(objects, tmp_path, capsys):
    usual = ['render', '--objects', str(objects), '--size', '96x72', '--frames', '3-4', '--seed',
             '5', '--depth']
    assert main([*usual, '--out', str(tmp_path / 'a'), '--clips', '2']) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main([*usual, '--out', str(tmp_path / 'a'), '--clips', '3']) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / 'a' / 'mixed_5_0002')]
    assert main([*usual, '--out', str(tmp_path / 'b'), '--clips', '1', '--first', '1']) == 0
    for number in range(3):
        clip = tmp_path / 'a' / f'mixed_5_{number:04d}'
        images, masks = (sorted((clip / part).iterdir()) for part in ('images', 'masks'))
        assert 3 <= len(images) == len(masks) <= 4
        first = cv2.imread(str(masks[0]), cv2.IMREAD_UNCHANGED)
        assert first.shape == (72, 96) and (first == 1).sum() >= 0.004 * first.size
        depth = cv2.imread(str(clip / 'depth' / '00000.png'), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and 200 < depth[first == 1].mean() < 1500
    again = tmp_path / 'b' / 'mixed_5_0001'
    for path in sorted((tmp_path / 'a' / 'mixed_5_0001').rglob('*.*')):
        same = again / path.relative_to(tmp_path / 'a' / 'mixed_5_0001')
        assert path.read_bytes() == same.read_bytes()


@photographs_installed
def test_a_clip_without_a_scene_is_left_out_and_the_others_are_made(objects, tmp_path, capsys,
                                                                    monkeypatch):
    from stm_ros.synthetic import producing
    made = producing.shows_all_targets
    asked = []

    def first_clip_fails(film):
        asked.append(film)
        return len(asked) > 12 and made(film)
    monkeypatch.setattr(producing, 'shows_all_targets', first_clip_fails)
    assert main(['render', '--objects', str(objects), '--size', '64x64', '--frames', '2', '--clips',
                 '2', '--out', str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert 'mixed_0_0000 is left out: clip 0: in 12 attempts' in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ['mixed_0_0001']


@photographs_installed
def test_stories_are_written_as_davis_2017_with_ids_of_targets_only(objects, tmp_path):
    assert main(['render', '--objects', str(objects), '--out', str(tmp_path), '--size', '96x72',
                 '--frames', '3', '--clips', '2', '--first', '3', '--stories', '--split',
                 'held_out', '--layout', 'davis']) == 0
    names = (tmp_path / 'ImageSets' / '2017' / 'dev.txt').read_text().split()
    assert names == ['clutter_0_0003', 'twins_0_0004']
    for name in names:
        masks = sorted((tmp_path / 'Annotations' / '480p' / name).iterdir())
        assert len(masks) == 3


@photographs_installed
@pytest.mark.parametrize('case', RENDERED_CASES)
def test_reliability_clips_of_rendered_objects(objects, case):
    found = tuple(find_objects(objects, 'held_out'))
    clip = RenderedReliabilityClip(case, 0, found, (72, 96), seed=2)
    frames = list(clip.frames())
    assert len(frames) == len(clip) == 60
    assert frames[0].view == View.VISIBLE and frames[0].truth.sum() > 0.004 * 72 * 96
    views = [frame.view for frame in frames]
    assert views.count(View.VISIBLE) > 30
    if case == 'same_kind':
        assert 'among packaging' in clip.description
        assert any(frame.look_alike.any() for frame in frames)
        assert not any((frame.look_alike & frame.truth).any() for frame in frames)
    else:
        assert all(frame.look_alike is None for frame in frames)
    repeated = next(RenderedReliabilityClip(case, 0, found, (72, 96), seed=2).frames())
    assert np.array_equal(repeated.image, frames[0].image)


def test_rendered_reliability_clips_refuse_what_they_do_not_know():
    with pytest.raises(InputError, match='unseen_sides, same_kind'):
        RenderedReliabilityClip('leave_10', 0, ())
    with pytest.raises(InputError, match='20x30'):
        RenderedReliabilityClip('same_kind', 0, (), (20, 30))


@photographs_installed
def test_the_reliability_command_measures_rendered_cases(objects, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    assert main(['reliability', '--size', '96x72', '--cases', 'unseen_sides', '--clips', '1',
                 '--objects', str(objects), '--out', str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert 'clips kept while it turns to sides never shown at least 90 %; it is' in printed
    assert 'on a table, 60 frames' in printed


def test_a_turned_box_shows_more_than_its_front(renderer):
    turned = pose(rotation(np.array([0, 0, 1.0]), np.pi / 4), np.zeros(3))
    front, _ = renderer.outline(CAMERA, [at(0, 0), at(5, 0)])
    edge, depth = renderer.outline(CAMERA, [turned, at(5, 0)])
    assert (edge == 1).sum() > 1.2 * (front == 1).sum()
    assert depth[48, 64] == pytest.approx(1 - 0.1 * 2 ** 0.5, abs=6e-3)
