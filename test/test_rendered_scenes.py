# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What rendered clips are made of, where no renderer is needed: ways, tables, light, files."""
from dataclasses import replace
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from render_helpers import box

from stm_ros.evaluation.datasets import load_benchmark
from stm_ros.evaluation.sequences import Protocol
from stm_ros.synthetic.choreography import OUTSIDE
from stm_ros.synthetic.choreography import Actor
from stm_ros.synthetic.choreography import Route
from stm_ros.synthetic.choreography import Turning
from stm_ros.synthetic.choreography import leave_and_return
from stm_ros.synthetic.choreography import make_camera_way
from stm_ros.synthetic.choreography import make_slots
from stm_ros.synthetic.choreography import make_turning
from stm_ros.synthetic.clip_files import ClipFolder
from stm_ros.synthetic.clip_files import TrueFrame
from stm_ros.synthetic.clip_files import depth_in_millimetres
from stm_ros.synthetic.geometry import Camera
from stm_ros.synthetic.geometry import Plane
from stm_ros.synthetic.geometry import look_at
from stm_ros.synthetic.producing import label_ids
from stm_ros.synthetic.reliability_clips import View
from stm_ros.synthetic.rendered_clips import share_inside
from stm_ros.synthetic.rendered_reliability import others_apart
from stm_ros.synthetic.rendered_reliability import view_of
from stm_ros.synthetic.rendering import missing_for_rendering
from stm_ros.synthetic.staging import Backdrop
from stm_ros.synthetic.staging import Lighting
from stm_ros.synthetic.staging import Surface
from stm_ros.synthetic.staging import make_table
from stm_ros.synthetic.staging import pictures_in
from stm_ros.synthetic.staging import press_highlights
from stm_ros.synthetic.stories import STORIES
from stm_ros.synthetic.stories import Scene
from stm_ros.synthetic.stories import random_recipe
from stm_ros.synthetic.stories import story_recipe
from stm_ros.training.sources import videos_in
from stm_ros.vision.errors import InputError

CAMERA = Camera((48, 64), 60.0, look_at(np.array([0, -1.0, 0.5]), np.zeros(3)))
seeds = st.integers(0, 2**32 - 1)


def surface(distance: float, grey: int, bounded: bool = False) -> Surface:
    """A wall of 2 by 2 m that faces the camera."""
    plane = Plane(np.array([-1, distance, 1.0]), np.array([2.0, 0, 0]), np.array([0, 0, -2.0]))
    return Surface(plane, np.full((20, 20, 3), grey, np.float32), bounded)


def actor(place=(0.0, 0.0, 0.0), **more) -> Actor:
    still = Turning(np.eye(3), (np.array([0, 0, 1.0]),) * 2, (0.0, 0.0))
    return Actor(box(), 1.0, Route(np.zeros(1), np.array([place])), still, **more)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_a_route_passes_its_places_and_does_not_jump(seed, stops):
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(np.arange(11), 4, replace=False)) / 10
    places = random.uniform(-0.2, 0.2, (4, 3))
    route = Route(times, places, stops)
    for time, place in zip(times, places, strict=True):
        assert np.allclose(route.at(time), place)
    way = np.stack([route.at(time) for time in np.linspace(-0.1, 1.1, 1201)])
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 0.03
    if stops:
        assert (way <= places.max(axis=0) + 1e-9).all() and (way >= places.min(axis=0) - 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_what_leaves_is_outside_between_and_back_at_the_end(seed):
    random = np.random.default_rng(seed)
    route = leave_and_return(np.array([0.05, 0.0, 0.0]), random, (0.4, 0.6))
    camera = make_camera_way(random, on_table=True, moves=False, height=0.0)
    for time in (0.4, 0.45, 0.5, 0.55, 0.6):
        view = Camera((288, 384), 464, camera.at(time))
        pixels, depth = view.project(route.at(time)[None])
        assert depth[0] < 0 or not 0 < pixels[0, 0] < 384
    assert np.allclose(route.at(0.2), [0.05, 0, 0]) and abs(route.at(0.4)[0]) == OUTSIDE
    assert abs(route.at(0.8)[0]) < 0.2


def test_an_object_turns_as_far_as_is_said_and_shows_other_sides():
    random = np.random.default_rng(2)
    upright = make_turning(random, upright=True, degrees=90, calm=0.5)
    start, end = upright.at(0.5), upright.at(1.0)
    assert np.allclose(end[2], [0, 0, 1])
    turned = np.degrees(np.arccos((np.trace(end @ upright.at(0).T) - 1) / 2))
    assert 85 < turned < 95
    assert (np.trace(start @ upright.at(0).T) - 1) / 2 > np.cos(0.06)
    farthest = []
    for seed in range(40):
        tumbling = make_turning(np.random.default_rng(seed), upright=False, degrees=500)
        faced = np.stack([tumbling.at(time).T @ [0, -1, 0] for time in np.linspace(0, 1, 60)])
        farthest.append((faced @ faced[0]).min())
    # a side that was turned away by more than 120 degrees comes to the front
    assert np.mean(np.array(farthest) < -0.5) >= 0.9


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_what_rests_touches_the_table_however_it_turns(seed):
    random = np.random.default_rng(seed)
    turning = make_turning(random, upright=False, degrees=360)
    resting = replace(actor(rests=True), turning=turning, scale=0.7)
    for time in (0.0, 0.3, 0.9):
        place = resting.at(time)
        points = resting.mesh.vertices @ place[:3, :3].T + place[:3, 3]
        assert abs(points[:, 2].min()) < 1e-6


@pytest.mark.parametrize('count', range(1, 7))
def test_slots_are_in_view_and_apart(count):
    places = make_slots(count, np.random.default_rng(count), on_table=True)
    pixels, _ = Camera((288, 384), 464, look_at(np.array([0, -0.55, 0.35]), np.zeros(3))).project(
        places)
    assert places.shape == (count, 3) and (places[:, 2] == 0).all()
    assert (pixels > 0).all() and (pixels < [384, 288]).all()
    if count > 1:
        columns = np.sort(places[:, 0])
        assert np.diff(columns).min() > 0


def test_the_nearest_surface_is_seen_and_gains_are_its_own():
    backdrop = Backdrop((surface(2.0, 100), surface(0.5, 200, bounded=True)))
    colours, depth, ground = backdrop.draw(CAMERA, [np.ones(3), np.full(3, 0.5)])
    middle = (24, 32)
    assert np.allclose(colours[middle], 100) and not ground.any()
    assert np.array_equal(depth, backdrop.depth(CAMERA))
    direction = CAMERA.pose[:3, 2]
    assert depth[middle] == pytest.approx(1.5 / direction[1], rel=0.02)
    far = surface(0.5, 200, bounded=True)
    away = Camera((48, 64), 60.0, look_at(np.array([0, -1.0, 0.5]), np.array([3.0, 0.5, 0.5])))
    seen = far.depth(away)
    assert np.isinf(seen[:, -1]).all()


def test_a_picture_on_a_wall_is_not_mirrored_and_lies_where_projection_says():
    wall = surface(1.0, 0)
    wall.picture[:10, :10] = 255
    seen = wall.draw(CAMERA)
    corners, _ = CAMERA.project(wall.plane.corner + np.array([[0.05, 0, -0.05], [0.95, 0, -0.95],
                                                              [1.05, 0, -0.95], [0.95, 0, -1.05]]))
    values = []
    for x, y in np.floor(corners).astype(int):
        inside = 0 <= x < 64 and 0 <= y < 48
        values.append(float(seen[y, x, 0]) if inside else None)
    # the last pixel within is mixed with its neighbours
    assert values[1] > 200 and values[2] < 60 and values[3] < 60


def test_tables_are_ground_and_walls_are_not():
    def grey(random):
        return np.full((40, 60, 3), 128, np.uint8)

    for seed in range(6):
        backdrop = make_table(grey, np.random.default_rng(seed))
        wall, table = backdrop
        assert table.is_ground and not wall.is_ground
        assert np.allclose(table.plane.normal, [0, 0, 1]) and table.plane.corner[2] == 0
        assert np.allclose(wall.plane.normal, [0, -1, 0])
        _, depth, ground = backdrop.draw(CAMERA, [np.ones(3)] * 2)
        assert np.isfinite(depth).all()
        corners = np.array([[x, y, 0.0] for x in (-0.26, 0.26) for y in (-0.2, 0.2)])
        for x, y in CAMERA.project(corners)[0].astype(int):
            assert ground[y, x]


def test_a_switched_light_goes_off_and_on_and_a_moved_one_moves():
    still = Lighting(0.3, 0.0, 1.0, 3.0, 1.0, 0.3, switched=(0.4, 0.6))
    counts = [len(still.at(time)[0]) for time in (0.0, 0.39, 0.4, 0.59, 0.6, 1.0)]
    assert counts == [2, 2, 1, 1, 2, 2]
    table = Surface(Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, -1.0, 0])),
                    np.zeros((4, 4, 3), np.float32))
    bright, dark = (table.brightness(*still.at(time)) for time in (0.0, 0.5))
    assert (dark < 0.7 * bright).all()
    moved = Lighting(0.3, 1.0, 1.0, 3.0, 1.0, 0.3)
    directions = [moved.at(time)[0][1].direction for time in (0.0, 1.0)]
    assert directions[0][2] == directions[1][2] < 0
    angle = np.arctan2(directions[1][1], directions[1][0]) - np.arctan2(
        directions[0][1], directions[0][0])
    assert angle == pytest.approx(1.0)


def test_highlights_are_pressed_not_cut():
    values = np.linspace(0, 600, 100)
    pressed = press_highlights(values)
    assert np.allclose(pressed[values < 200], values[values < 200])
    assert (np.diff(pressed) > 0).all() and pressed.max() < 255


def test_every_story_has_its_point_and_recipes_vary():
    told = {story: story_recipe(story) for story in STORIES}
    assert told['turn'].degrees >= 360 and told['hand'].held and told['hand'].passed
    assert told['leave'].leaves and told['clutter'].same_kind and told['twins'].twin
    assert told['pass'].crosses and told['lights'].lights_switch and told['camera'].camera_moves
    drawn = [random_recipe(np.random.default_rng(seed), 11, (10, 30)) for seed in range(200)]
    assert {recipe.objects for recipe in drawn} == set(range(1, 7))
    for flag in ('on_table', 'upright', 'twin', 'same_kind', 'held', 'passed', 'leaves', 'crosses',
                 'lights_move', 'lights_switch', 'camera_moves'):
        assert 10 < sum(getattr(recipe, flag) for recipe in drawn) < 190, flag
    assert all(110 <= recipe.degrees <= 330 for recipe in drawn)
    assert all(recipe.gone[1] - recipe.gone[0] >= 0.1 for recipe in drawn)


def test_hands_and_backdrop_have_no_id():
    cast = (actor(is_target=True), actor(), actor(is_object=False), actor(is_target=True))
    scene = Scene(cast, Backdrop(), Lighting(0, 0, 1, 1, 1, 1),
                  make_camera_way(np.random.default_rng(0), True, False, 0.0), 0.0)
    assert label_ids(scene, all_labelled=True).tolist() == [0, 1, 2, 0, 3]
    assert label_ids(scene, all_labelled=False).tolist() == [0, 1, 0, 0, 2]


def test_the_share_of_a_hull_inside_the_picture():
    square = np.array([[0, 0], [20, 0], [20, 20], [0, 20]], float)
    assert share_inside(square + [5, 5], (40, 60)) == pytest.approx(1)
    assert share_inside(square + [50, 5], (40, 60)) == pytest.approx(0.5)
    assert share_inside(square + [50, -10], (40, 60)) == pytest.approx(0.25)
    assert share_inside(square + [100, 0], (40, 60)) == 0
    assert share_inside(square[:2], (40, 60)) == 0


def test_only_others_that_leave_a_gap_count_as_mistaken_for_it():
    truth, near, far = (np.zeros((100, 100), bool) for _ in range(3))
    truth[40:60, 40:60] = near[40:60, 61:70] = far[10:20, 10:20] = True
    assert np.array_equal(others_apart(truth, [near, far]), far)
    assert view_of(truth, 0.25) == View.VISIBLE and view_of(truth, 0.24) == View.PARTIAL
    assert view_of(np.zeros_like(truth), 0.0) == View.ABSENT


def test_pictures_come_from_all_folders(tmp_path):
    for name, value in (('a', 10), ('b', 250)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'one.png'), np.full((30, 40, 3), value, np.uint8))
    draw = pictures_in([tmp_path / 'a', tmp_path / 'b'])
    means = {int(draw(np.random.default_rng(seed)).mean()) for seed in range(12)}
    assert means == {10, 250}
    with pytest.raises(InputError, match='holds no pictures'):
        pictures_in([tmp_path])


def frames(count: int = 3, depth: bool = True) -> list[TrueFrame]:
    random = np.random.default_rng(0)
    made = []
    for index in range(count):
        labels = np.zeros((48, 64), np.uint8)
        labels[10:20, 5 + index:25] = 1
        labels[30:40, 30:50] = 2
        made.append(TrueFrame(random.integers(0, 255, (48, 64, 3)).astype(np.uint8), labels,
                              np.full((48, 64), 1.2345, np.float32) if depth else None))
    return made


def test_training_reads_what_is_written_ids_and_depth_exact(tmp_path):
    folder = ClipFolder(tmp_path / 'out', 'training')
    assert not folder.holds('one')
    folder.write('one', frames())
    assert folder.holds('one')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['one']
    [sequence] = videos_in(tmp_path / 'out')
    assert len(sequence) == 3
    for pair, frame in zip(sequence, frames(), strict=True):
        mask = cv2.imread(str(pair.mask), cv2.IMREAD_UNCHANGED)
        assert mask.ndim == 2 and np.array_equal(mask, frame.label_map)
        depth = cv2.imread(str(tmp_path / 'out' / 'one' / 'depth' / f'{pair.mask.stem}.png'),
                           cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and (depth == 1234).all()


def test_an_interrupted_clip_is_not_there_and_is_written_anew(tmp_path):
    root = tmp_path / 'out'
    folder = ClipFolder(root, 'training')

    def breaking():
        yield frames()[0]
        assert not root.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write('one', breaking())
    assert not folder.holds('one')
    assert not root.exists()
    folder.write('one', frames(2))
    assert len(list((root / 'one' / 'images').iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_davis_2017_reads_what_is_written(tmp_path):
    root = tmp_path / 'out'
    folder = ClipFolder(root, 'davis', 'dev')
    for name in ('two', 'one'):
        folder.write(name, frames(depth=False))
        assert folder.holds(name)
    benchmark = load_benchmark(Protocol.DAVIS_2017, root, 'dev')
    assert [sequence.name for sequence in benchmark.sequences] == ['one', 'two']
    for index, frame in enumerate(frames()):
        assert np.array_equal(benchmark.sequences[0].read_annotation(index), frame.label_map)
    assert benchmark.sequences[0].entries == {0: (1, 2)}
    assert {path.name for path in root.iterdir()} == {'JPEGImages', 'Annotations', 'ImageSets'}


def test_depth_is_in_millimetres_and_nothing_is_zero():
    depth = np.array([[0.5, 65.535, 65.6, np.inf]])
    assert depth_in_millimetres(depth).tolist() == [[500, 65535, 0, 0]]


@pytest.mark.skipif(find_spec('skimage') is None,
                    reason='scikit-image, whose photographs are used, is absent')
def test_refusals_of_the_command(tmp_path, capsys):
    from render_helpers import write_object

    from stm_ros.cli.main import main
    write_object(tmp_path, 'ycb_024_bowl')
    usual = ['render', '--objects', str(tmp_path), '--out', str(tmp_path / 'out')]
    for words, told in ((['--frames', '12-10'], '--frames 12-10'),
                        (['--frames', '1'], '--frames 1'),
                        (['--size', '40x40'], '64 pixels'), (['--clips', '0'], '--clips 0'),
                        (['--split', 'held_out'], 'holds no object of the split'),
                        (['--layout', 'davis', '--depth'], '--depth belongs to'),
                        (['--backgrounds', str(tmp_path)], 'holds no pictures')):
        assert main([*usual, *words]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(missing_for_rendering() is None, reason='here all is there to render with')
def test_the_command_says_what_is_missing(tmp_path, capsys):
    pytest.importorskip('skimage', reason='scikit-image has the photographs')
    from render_helpers import write_object

    from stm_ros.cli.main import main
    write_object(tmp_path, 'ycb_024_bowl')
    assert main(['render', '--objects', str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    told = capsys.readouterr().err
    assert 'nothing can be rendered here' in told and missing_for_rendering() in told
    assert not (tmp_path / 'out').exists()
