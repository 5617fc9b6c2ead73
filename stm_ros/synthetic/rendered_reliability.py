# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reliability clips of rendered objects that were never trained on.

They turn until every side was in front, or are among others of their kind.
"""
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from stm_ros.synthetic.objects import ObjectFolder
from stm_ros.synthetic.producing import shows_all_targets
from stm_ros.synthetic.reliability_clips import LEAST_SIDE
from stm_ros.synthetic.reliability_clips import VISIBLE_SHARE
from stm_ros.synthetic.reliability_clips import ClipFrame
from stm_ros.synthetic.reliability_clips import View
from stm_ros.synthetic.reliability_clips import are_apart
from stm_ros.synthetic.rendered_clips import Film
from stm_ros.synthetic.rendered_clips import Lens
from stm_ros.synthetic.staging import shipped_pictures
from stm_ros.synthetic.stories import Recipe
from stm_ros.synthetic.stories import make_scene
from stm_ros.vision.errors import InputError

_FRAMES = 60
_CALM = 1 / 6
_ATTEMPTS = 12
_OWN = 1  # the target is the first actor
#: by the clip's number in turn: on a table, in mid-air, in a hand
_TURNS = (Recipe(objects=3, on_table=True, degrees=500, calm=_CALM, shutter=0.3),
          Recipe(objects=2, on_table=False, degrees=500, calm=_CALM, shutter=0.3),
          Recipe(objects=2, on_table=False, held=True, degrees=500, calm=_CALM, shutter=0.3))
_AMONG = Recipe(objects=5, on_table=True, upright=True, degrees=200, same_kind=True, crosses=True,
                calm=_CALM, shutter=0.3)
_RECIPES = {'unseen_sides': _TURNS, 'same_kind': (_AMONG,)}
RENDERED_CASES = tuple(_RECIPES)


@dataclass(frozen=True)
class RenderedReliabilityClip:
    """
    One clip, in whose first frame the target is clear, as a reference should be.

    objects: those that may play, see `find_objects`. number: which clip of the case; every object
    is the target in its turn. size: (H, W) in pixels.
    """

    case: str
    number: int
    objects: tuple[ObjectFolder, ...]
    size: tuple[int, int] = (240, 320)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check case and size.

        :raises InputError: for an unknown case or too small a size.
        """
        if self.case not in _RECIPES:
            raise InputError(f'case {self.case!r} is unknown; known are '
                             f'{", ".join(RENDERED_CASES)}')
        if min(self.size) < LEAST_SIDE:
            raise InputError(f'{self.size[0]}x{self.size[1]} pixels is too small; '
                             f'{LEAST_SIDE}x{LEAST_SIDE} is the least')

    def __len__(self) -> int:
        """How many frames it has."""
        return _FRAMES

    @property
    def description(self) -> str:
        """Who plays where."""
        target = self._target
        if self.case == 'same_kind':
            return f'{target.name} among {target.kind}'
        recipe = self._recipe
        where = 'in a hand' if recipe.held else 'on a table' if recipe.on_table else 'in mid-air'
        return f'{target.name} {where}'

    @property
    def _target(self) -> ObjectFolder:
        return self.objects[(self.number + 7 * self.seed) % len(self.objects)]

    @property
    def _recipe(self) -> Recipe:
        recipes = _RECIPES[self.case]
        return recipes[self.number % len(recipes)]

    def frames(self) -> Iterator[ClipFrame]:
        """Render one frame after the other.

        :raises InputError: where nothing can be rendered here, or scikit-image, whose photographs
            are used, is not installed.
        """
        for attempt in range(_ATTEMPTS):
            random = np.random.default_rng(
                (self.seed, RENDERED_CASES.index(self.case), self.number, attempt))
            scene = make_scene(self._recipe, self.objects, shipped_pictures, random, self._target)
            film = Film(scene, Lens(self.size, exposures=2))
            try:
                if shows_all_targets(film):
                    yield from self._shoot(film, random)
                    return
            finally:
                film.close()
        raise InputError(f'{self.case} {self.number}, seed {self.seed}: in {_ATTEMPTS} attempts '
                         'no scene has its target in view')

    def _shoot(self, film: Film, random: Generator) -> Iterator[ClipFrame]:
        others = [index + 1 for index, actor in enumerate(film.scene.actors)
                  if index + 1 != _OWN and actor.is_object]
        for index, frame in enumerate(film.frames(_FRAMES, random)):
            truth = frame.owners == _OWN
            look_alike = None
            if self.case == 'same_kind':
                look_alike = others_apart(truth, [frame.owners == other for other in others])
            share = film.share_in_view(index / (_FRAMES - 1), _OWN - 1, truth)
            yield ClipFrame(frame.image, truth, look_alike, view_of(truth, share))


def others_apart(truth: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return where those others (H×W bool each) are seen that leave a gap to the target."""
    union: np.ndarray = np.zeros(truth.shape, bool)
    for other in others:
        if are_apart(truth, other):
            union |= other
    return union


def view_of(truth: np.ndarray, share: float) -> View:
    """Return what a frame shows of the target, of which `share` (0..1) is seen."""
    if not truth.any():
        return View.ABSENT
    return View.VISIBLE if share >= VISIBLE_SHARE else View.PARTIAL
