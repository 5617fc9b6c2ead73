# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens in a rendered clip: who plays, what each does, and what is drawn by chance."""
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.choreography import Actor
from stm_ros.synthetic.choreography import CameraWay
from stm_ros.synthetic.choreography import Route
from stm_ros.synthetic.choreography import cross
from stm_ros.synthetic.choreography import fitting_scale
from stm_ros.synthetic.choreography import leave_and_return
from stm_ros.synthetic.choreography import make_camera_way
from stm_ros.synthetic.choreography import make_holder
from stm_ros.synthetic.choreography import make_passer
from stm_ros.synthetic.choreography import make_slots
from stm_ros.synthetic.choreography import make_turning
from stm_ros.synthetic.choreography import wander
from stm_ros.synthetic.hands import make_gripper
from stm_ros.synthetic.hands import make_hand
from stm_ros.synthetic.objects import Mesh
from stm_ros.synthetic.objects import ObjectFolder
from stm_ros.synthetic.objects import load_object
from stm_ros.synthetic.staging import Backdrop
from stm_ros.synthetic.staging import Lighting
from stm_ros.synthetic.staging import Pictures
from stm_ros.synthetic.staging import make_air
from stm_ros.synthetic.staging import make_lighting
from stm_ros.synthetic.staging import make_table

MOST_OBJECTS = 6
#: how likely one, two, ... six objects are
_COUNTS = (0.2, 0.25, 0.2, 0.15, 0.1, 0.1)
#: by how much at most that many are enlarged
_MOST_ENLARGED = (2.4, 2.0, 1.6, 1.3, 1.15, 1.0)


@dataclass(frozen=True)
class Recipe:
    """
    What happens in a clip.

    objects: how many, the target first. targets: how many of them are to be followed. degrees: by
    how much a target turns over the clip. upright: whether objects stay on their base. twin: one
    more copy of the target. same_kind: the others are of its kind. held: a hand holds the target;
    passed: one passes in front of it. leaves: it goes out of view and comes back. crosses: it and
    another change sides. calm: the share of the clip until anything of this begins.
    shutter: how long a frame is exposed, as a share of the time to the next. gone: when what leaves
    is as far as it goes, and when it comes back. enlarged: by how much all objects are.
    """

    objects: int = 3
    targets: int = 1
    on_table: bool = True
    upright: bool = False
    degrees: float = 360.0
    twin: bool = False
    same_kind: bool = False
    held: bool = False
    passed: bool = False
    leaves: bool = False
    crosses: bool = False
    lights_move: bool = False
    lights_switch: bool = False
    camera_moves: bool = True
    calm: float = 0.0
    shutter: float = 0.4
    gone: tuple[float, float] = (0.4, 0.6)
    enlarged: float = 1.0


def random_recipe(random: Generator, frames: int, degrees: tuple[float, float]) -> Recipe:
    """Draw a recipe; targets turn by `degrees` (least, most) a frame."""
    def chance(share: float) -> bool:
        return bool(random.random() < share)

    count = int(random.choice(MOST_OBJECTS, p=_COUNTS)) + 1
    start = float(random.uniform(0.25, 0.5))
    on_table = chance(0.55)
    return Recipe(
        objects=count, targets=count, on_table=on_table, upright=on_table and chance(0.5),
        degrees=float(random.uniform(*degrees)) * frames, twin=chance(0.3), same_kind=chance(0.35),
        held=chance(0.25), passed=chance(0.2), leaves=chance(0.2), crosses=chance(0.4),
        lights_move=chance(0.5), lights_switch=chance(0.15), camera_moves=chance(0.65),
        shutter=float(random.uniform(0, 0.35)),
        gone=(start, start + float(random.uniform(0.1, 0.3))),
        # few objects have more room
        enlarged=float(random.uniform(1.0, _MOST_ENLARGED[count - 1])))


def _turn(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=3, on_table=True, upright=False, degrees=720.0)


def _hand(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=2, on_table=False, held=True, passed=True, degrees=400.0)


def _leave(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=3, leaves=True, gone=(0.4, 0.65))


def _clutter(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=5, on_table=True, upright=True, same_kind=True, crosses=True)


def _twins(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=2, twin=True, crosses=True, upright=True)


def _pass(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=4, targets=2, crosses=True, on_table=False)


def _lights(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=2, lights_move=True, lights_switch=True, targets=2)


def _camera(recipe: Recipe) -> Recipe:
    return replace(recipe, objects=6, targets=3, on_table=True, upright=True, camera_moves=True,
                   degrees=180.0, shutter=0.8)


_STORIES: dict[str, Callable[[Recipe], Recipe]] = {
    'turn': _turn, 'hand': _hand, 'leave': _leave, 'clutter': _clutter, 'twins': _twins,
    'pass': _pass, 'lights': _lights, 'camera': _camera}
STORIES = tuple(_STORIES)
_TOLD = Recipe()


def story_recipe(story: str) -> Recipe:
    """Return the recipe of one of `STORIES`: one thing that trackers fail at, told slowly."""
    return _STORIES[story](_TOLD)


@dataclass(frozen=True)
class Scene:
    """All that is in a clip, as functions of time from 0 to 1; objects come first among actors."""

    actors: tuple[Actor, ...]
    backdrop: Backdrop
    lighting: Lighting
    camera: CameraWay
    shutter: float

    @property
    def has_ground(self) -> bool:
        """Whether there is a table that shadows fall on."""
        return any(surface.is_ground for surface in self.backdrop)


def make_scene(recipe: Recipe, objects: Sequence[ObjectFolder], pictures: Pictures,
               random: Generator, target: ObjectFolder | None = None) -> Scene:
    """Cast the objects and stage the recipe; everything follows from `random`.

    :param target: the first of them; one of `objects` by chance where None.
    """
    cast = _cast(recipe, objects, target or objects[int(random.integers(len(objects)))], random)
    places = make_slots(len(cast), random, recipe.on_table)
    actors = [_object_actor(recipe, mesh, place, index, random)
              for index, (mesh, place) in enumerate(zip(cast, places, strict=True))]
    hands = _hands(recipe, actors[0], random)
    camera = make_camera_way(random, recipe.on_table, recipe.camera_moves,
                             0.04 if recipe.on_table else 0.0)
    stage = make_table if recipe.on_table else make_air
    return Scene((*actors, *hands), stage(pictures, random),
                 make_lighting(random, recipe.lights_move, recipe.lights_switch), camera,
                 recipe.shutter)


def _cast(recipe: Recipe, objects: Sequence[ObjectFolder], target: ObjectFolder,
          random: Generator) -> list[Mesh]:
    others = [place for place in objects if place != target]
    if recipe.same_kind:
        others = [place for place in others if place.kind == target.kind] or others
    count = min(recipe.objects - 1, len(others))
    chosen = [others[index] for index in random.permutation(len(others))[:count]]
    twins = [target] if recipe.twin and recipe.objects < MOST_OBJECTS else []
    return [load_object(place) for place in (target, *twins, *chosen)]


def _object_actor(recipe: Recipe, mesh: Mesh, place: np.ndarray, index: int,
                  random: Generator) -> Actor:
    """Say what one object does; the first is the target, the second may cross its way."""
    is_held = recipe.held and index == 0
    rests = recipe.on_table and not is_held
    if is_held and recipe.on_table:
        place = place + [0, 0, 0.12]
    if recipe.leaves and index == 0:
        route = leave_and_return(place, random, recipe.gone)
    elif recipe.crosses and index < 2:
        route = cross(place, random, is_in_front=index == 1)
    elif index < recipe.targets or random.random() < 0.4:
        route = wander(place, random, rests, reach=0.07)
    else:
        route = Route(np.zeros(1), place[None])
    turns = index < recipe.targets or (recipe.twin and index == 1)
    degrees = recipe.degrees if turns else float(random.uniform(0, 90))
    if recipe.crosses and recipe.twin and index == 1:
        degrees = recipe.degrees * random.uniform(0.3, 1.0)
    turning = make_turning(random, recipe.upright and rests, degrees, recipe.calm)
    most = 0.1 if recipe.objects < 4 else 0.085
    scale = recipe.enlarged * fitting_scale(mesh, random, 0.045, most)
    return Actor(mesh, scale, route, turning, is_target=index < recipe.targets, rests=rests)


def _hands(recipe: Recipe, target: Actor, random: Generator) -> list[Actor]:
    hands = []
    if recipe.held:
        make = make_hand if random.random() < 0.7 else make_gripper
        # things are no balls: what is held is thinner than its radius
        grip = max(0.02, 0.55 * target.mesh.radius * target.scale)
        hands.append(make_holder(make(grip, random), target, random, recipe.on_table))
    if recipe.passed:
        start = float(random.uniform(0.3, 0.6))
        covered = (start, start + float(random.uniform(0.0, 0.12)))
        make = make_hand if random.random() < 0.8 else make_gripper
        middle = target.at((covered[0] + covered[1]) / 2)[:3, 3]
        hands.append(make_passer(make(0.03, random), middle, random, covered,
                                 float(random.uniform(1.0, 1.4))))
    return hands
