# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm render`'s work: clips by number, each of which follows from seed and number alone."""
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.clip_files import TrueFrame
from stm_ros.synthetic.objects import ObjectFolder
from stm_ros.synthetic.rendered_clips import Film
from stm_ros.synthetic.rendered_clips import Lens
from stm_ros.synthetic.staging import Pictures
from stm_ros.synthetic.stories import Scene
from stm_ros.synthetic.stories import make_scene
from stm_ros.synthetic.stories import random_recipe
from stm_ros.synthetic.stories import story_recipe
from stm_ros.vision.errors import InputError

MOST_FRAMES = 1000
_ATTEMPTS = 12
#: of the picture; what a target must have in view in the first frame, and of itself
_LEAST_AREA, _LEAST_SHARE = 0.004, 0.6


class NoSceneError(InputError):
    """Chance drew no scene in which all targets are in view."""


@dataclass(frozen=True)
class Production:
    """
    What clips are like.

    size: (H, W) in pixels. frames, degrees: least and most, of a clip and of a target's turn from
    frame to frame. all_labelled: whether every object has an id, or only targets.
    """

    size: tuple[int, int]
    frames: tuple[int, int]
    degrees: tuple[float, float] = (8.0, 36.0)
    all_labelled: bool = True
    with_depth: bool = False
    seed: int = 0


def produce_clip(production: Production, number: int, story: str | None,
                 objects: Sequence[ObjectFolder], pictures: Pictures) -> Iterator[TrueFrame]:
    """
    Render clip `number`, of which every target is in view in the first frame.

    :param story: one of `STORIES`, or None for whatever chance draws.
    :raises NoSceneError: where no scene comes out in which the targets are in view.
    """
    for attempt in range(_ATTEMPTS):
        random = np.random.default_rng([production.seed, number, attempt])
        frames = int(random.integers(production.frames[0], production.frames[1] + 1))
        recipe = (random_recipe(random, frames, production.degrees) if story is None
                  else story_recipe(story))
        scene = make_scene(recipe, objects, pictures, random)
        film = Film(scene, _lens(production.size, random))
        try:
            if shows_all_targets(film):
                yield from _shoot(film, frames, production, random)
                return
        finally:
            film.close()
    raise NoSceneError(
        f'clip {number}: in {_ATTEMPTS} attempts no scene has all its targets in view')


def _lens(size: tuple[int, int], random: Generator) -> Lens:
    return Lens(size, gain=float(np.exp(random.normal(0, 0.15))),
                noise=float(random.uniform(0.8, 4.0)))


def shows_all_targets(film: Film) -> bool:
    """Whether in the first frame each target is large enough and hardly hidden."""
    owners = film.owners(0.0)
    for index, actor in enumerate(film.scene.actors):
        seen = int((owners == index + 1).sum())
        if actor.is_target and (seen < _LEAST_AREA * owners.size
                                or seen < _LEAST_SHARE * film.alone(0.0, index).sum()):
            return False
    return True


def _shoot(film: Film, frames: int, production: Production,
           random: Generator) -> Iterator[TrueFrame]:
    ids = label_ids(film.scene, production.all_labelled)
    for index, frame in enumerate(film.frames(frames, random)):
        depth = film.depth(index / max(1, frames - 1)) if production.with_depth else None
        yield TrueFrame(frame.image, ids[frame.owners], depth)


def label_ids(scene: Scene, all_labelled: bool) -> np.ndarray:
    """Return which id each owner has in the label map (N+1 uint8): hands and backdrop have 0."""
    ids = np.zeros(len(scene.actors) + 1, np.uint8)
    for index, actor in enumerate(scene.actors):
        if actor.is_object and (all_labelled or actor.is_target):
            ids[index + 1] = ids.max() + 1
    return ids
