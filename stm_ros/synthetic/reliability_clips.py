# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Clips of what trackers fail at, composed of real photographs, so that the truth is exact.

A target goes away and comes back, is hidden, meets its double, bends, or the light goes out. All
of it follows from the case, the clip's number, the size and the seed.
"""
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from enum import Enum
from functools import partial
from math import pi
from math import sin

import cv2
import numpy as np

from stm_ros.synthetic.clips import Layer
from stm_ros.synthetic.clips import Moment
from stm_ros.synthetic.clips import Pose
from stm_ros.synthetic.clips import compose
from stm_ros.synthetic.clips import expose
from stm_ros.vision.errors import InputError

LEAST_SIDE = 64
#: of the target's area in the first frame; with less in view it is not judged whether it is found
VISIBLE_SHARE = 0.25
#: farther from each other than this share of the image's shorter side, two objects are apart
_APART_SHARE = 0.03
_CALM = 15
_WAY = 10
_HIDDEN = 15
_AFTER = 25
_BEND_FRAMES = 90
_DARK_GAIN = 0.02
_OUTSIDE = 0.7


class View(str, Enum):
    """What a frame shows of the target; dark: it is there, and nobody could see it."""

    VISIBLE = 'visible'
    PARTIAL = 'partial'
    ABSENT = 'absent'
    DARK = 'dark'


@dataclass(frozen=True)
class ClipFrame:
    """One frame: H×W×3 uint8 RGB, and H×W bool masks of what is seen of target and look-alike."""

    image: np.ndarray
    truth: np.ndarray
    look_alike: np.ndarray | None
    view: View


@dataclass(frozen=True)
class _Cast:
    """Who plays in a clip, and a seed's own choices: phases in radians, a side (1 or -1)."""

    target: str
    other: str
    scene: str
    other_scene: str
    phases: tuple[float, float, float]
    side: int
    in_front: bool

    def pose(self, index: int, x: float = 0.5, y: float = 0.52, scale: float = 1.0,
             angle: float = 0.0) -> Pose:
        """The target near a place, never quite still."""
        first, second, third = self.phases
        return Pose(x=x + 0.02 * sin(index / 7 + first), y=y + 0.02 * sin(index / 9 + second),
                    height=scale * _HEIGHTS[self.target],
                    angle=angle + 6 * sin(index / 11 + third))

    def moment(self, index: int, *layers: Layer, scene: str = '', gain: float = 1.0) -> Moment:
        """A scene that the camera slowly pans over, under light that slowly changes."""
        first, second, _ = self.phases
        return Moment(scene or self.scene, layers, pan=0.5 + 0.25 * sin(index / 40 + first),
                      gain=gain * (0.95 + 0.05 * sin(index / 25 + second)))


_HEIGHTS = {'cup': 0.4, 'astronaut': 0.52, 'coin': 0.34}
_PHOTOGRAPH_OF = {'cup': 'coffee', 'astronaut': 'astronaut', 'coin': 'coins'}
_BACKGROUNDS = ('rocket', 'chelsea', 'motorcycle', 'astronaut', 'coffee')


def _leave(index: int, cast: _Cast, absent: int) -> Moment:
    """Out over one side, back over one: elsewhere, smaller and turned."""
    back = index - _CALM - _WAY - absent
    if index < _CALM:
        pose = cast.pose(index)
    elif index < _CALM + _WAY:
        pose = cast.pose(index, x=0.5 + cast.side * _OUTSIDE * (index - _CALM + 1) / _WAY)
    elif back < 0:
        return cast.moment(index)
    else:
        side = cast.side if cast.in_front else -cast.side
        way = max(0.0, 1 - (back + 1) / _WAY)
        pose = cast.pose(index, x=0.5 + side * (0.12 + _OUTSIDE * way),
                         y=0.45 + 0.12 * sin(cast.phases[0]), scale=0.8,
                         angle=25 * sin(cast.phases[1]))
    return cast.moment(index, Layer(cast.target, pose, is_target=True))


def _full_occlusion(index: int, cast: _Cast) -> Moment:
    """Something large stops in front of the target, and goes on."""
    own = Layer(cast.target, cast.pose(index, y=0.6, scale=0.75), is_target=True)
    covered, leaving = _CALM + _WAY, _CALM + _WAY + _HIDDEN
    if index < covered:
        distance = 1 - max(0, index - _CALM + 1) / _WAY
    else:
        distance = -max(0, index - leaving + 1) / _WAY
    # the astronaut is widest below her shoulders
    y = 0.25 if cast.other == 'astronaut' else 0.55
    cover = Pose(x=0.5 + cast.side * 1.4 * distance, y=y,
                 height=1.9 if cast.other == 'astronaut' else 1.5)
    return cast.moment(index, own, Layer(cast.other, cover))


def _scene_cut(index: int, cast: _Cast) -> Moment:
    """Another scene with another object for a while; back in the old one, elsewhere."""
    if _CALM <= index < _CALM + _HIDDEN:
        pose = Pose(x=0.5, y=0.55, height=_HEIGHTS[cast.other])
        return cast.moment(index, Layer(cast.other, pose), scene=cast.other_scene)
    x = 0.5 if index < _CALM else 0.5 + 0.15 * cast.side
    return cast.moment(index, Layer(cast.target, cast.pose(index, x=x), is_target=True))


def _look_alike(index: int, cast: _Cast) -> Moment:
    """Target and an identical copy change sides; one passes in front of the other."""
    share = min(1.0, max(0.0, (index - _CALM) / 30))
    shift = 0.25 * cast.side * (1 - 2 * share)
    own = Layer(cast.target, cast.pose(index, x=0.5 + shift, y=0.5, scale=0.85), is_target=True)
    copy = Layer(cast.target, replace(own.pose, x=own.pose.x - 2 * shift, y=own.pose.y + 0.06))
    return cast.moment(index, *((copy, own) if cast.in_front else (own, copy)))


def _deformation(index: int, cast: _Cast) -> Moment:
    """It bends, turns, tilts, and its size changes by half: slowly, all at once."""
    time = index / (_BEND_FRAMES - 1)
    pose = cast.pose(index, angle=cast.side * 70 * sin(pi * time / 1.6),
                     scale=1 - 0.35 * sin(2 * pi * time))
    pose = replace(pose, bend=0.14 * time, phase=3 * pi * time, tilt=0.5 * sin(pi * time))
    return cast.moment(index, Layer(cast.target, pose, is_target=True))


def _lights(index: int, cast: _Cast) -> Moment:
    """The light goes off within two frames, and on again at once."""
    off = _CALM + 2
    gain = 1.0
    if _CALM <= index < off + _HIDDEN:
        gain = 0.4 if index == _CALM else 0.12 if index == _CALM + 1 else _DARK_GAIN
    pose = cast.pose(index, x=0.5 + cast.side * 0.004 * index)
    return cast.moment(index, Layer(cast.target, pose, is_target=True), gain=gain)


@dataclass(frozen=True)
class _Case:
    frames: int
    scene: Callable[[int, _Cast], Moment]


_CASES = {
    **{f'leave_{absent}': _Case(_CALM + _WAY + absent + _WAY + _AFTER,
                                partial(_leave, absent=absent)) for absent in (10, 100, 1000)},
    'full_occlusion': _Case(_CALM + 2 * _WAY + _HIDDEN + _AFTER, _full_occlusion),
    'scene_cut': _Case(_CALM + _HIDDEN + _AFTER, _scene_cut),
    'look_alike': _Case(_CALM + 30 + _AFTER, _look_alike),
    'deformation': _Case(_BEND_FRAMES, _deformation),
    'lights': _Case(_CALM + 2 + _HIDDEN + _AFTER, _lights)}
CASES = tuple(_CASES)


@dataclass(frozen=True)
class ReliabilityClip:
    """
    One clip; in its first frame the target is whole and clear, as a reference should be.

    number: which clip of the case; target and scenes change with it. size: (H, W) in pixels.
    """

    case: str
    number: int
    size: tuple[int, int] = (240, 320)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check case and size.

        :raises InputError: for an unknown case or too small a size.
        """
        if self.case not in _CASES:
            raise InputError(f'case {self.case!r} is unknown; known are {", ".join(CASES)}')
        if min(self.size) < LEAST_SIDE:
            raise InputError(f'{self.size[0]}x{self.size[1]} pixels is too small; '
                             f'{LEAST_SIDE}x{LEAST_SIDE} is the least')

    def __len__(self) -> int:
        """How many frames it has."""
        return _CASES[self.case].frames

    @property
    def description(self) -> str:
        """Who plays where."""
        cast = self._cast()
        return f'{cast.target} before {cast.scene}'

    def frames(self) -> Iterator[ClipFrame]:
        """Render one frame after the other.

        :raises InputError: where scikit-image, whose photographs are used, is not installed.
        """
        cast, scene = self._cast(), _CASES[self.case].scene
        whole = 0
        for index in range(len(self)):
            moment = scene(index, cast)
            colours, coverage = compose(moment, self.size)
            truth = coverage >= 0.5
            whole = whole or int(truth.sum())
            image = expose(colours, moment, (self.seed, self.number, index))
            look_alike = None
            if self.case == 'look_alike':
                # a pixel that shows half of each is the target's
                look_alike = (compose(_exchanged(moment), self.size)[1] >= 0.5) & ~truth
            yield ClipFrame(image, truth, look_alike, _view(int(truth.sum()), whole, moment.gain))

    def _cast(self) -> _Cast:
        rng = np.random.default_rng((self.seed, CASES.index(self.case), self.number))
        targets = list(_HEIGHTS)
        # every target has its turn, whatever the seed
        target = targets[(self.number + self.seed) % len(targets)]
        # the coin is too small a photograph to hide anything
        other = str(rng.choice([name for name in ('cup', 'astronaut') if name != target]))
        taken = _PHOTOGRAPH_OF[target]
        scene, other_scene = rng.permutation([name for name in _BACKGROUNDS if name != taken])[:2]
        first, second, third = rng.uniform(0, 2 * pi, 3)
        return _Cast(target, other, str(scene), str(other_scene), (first, second, third),
                     1 if rng.random() < 0.5 else -1, bool(rng.random() < 0.5))


def _exchanged(moment: Moment) -> Moment:
    """The same moment with the copy as target."""
    layers = tuple(replace(layer, is_target=not layer.is_target) for layer in moment.layers)
    return replace(moment, layers=layers)


def _view(area: int, whole: int, gain: float) -> View:
    if gain <= _DARK_GAIN:
        return View.DARK
    if area == 0:
        return View.ABSENT
    return View.VISIBLE if area >= VISIBLE_SHARE * whole else View.PARTIAL


def are_apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two H×W bool masks leave a gap between them."""
    gap = max(1, round(_APART_SHARE * min(first.shape)))
    grown = cv2.dilate(first.astype(np.uint8), np.ones((2 * gap + 1, 2 * gap + 1), np.uint8))
    return not (grown.astype(bool) & second).any()
