# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is measured: one network with one memory on one kind of frame."""
import re
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from typing import Any

import torch

from stm_ros.inference.compilation import COMPILE_MODES
from stm_ros.networks.checkpoints import NETWORKS
from stm_ros.tracking.config import DTYPES
from stm_ros.tracking.config import TrackerConfig
from stm_ros.vision.errors import InputError

PLAIN = 'plain'
_LIMITS = {'targets': (1, 64), 'memory': (1, 1024), 'threads': (0, 256), 'top_k': (0, 1_000_000),
           'full_look_seconds': (0, 1_000_000)}
_SMALLEST, _LARGEST = 64, 4096


@dataclass(frozen=True)
class Settings:
    """One thing to measure, checked when made.

    size: width and height in pixels, which the network sees as they are. memory: frames read in
    every measured frame, the reference included. threads: of the processor; 0 leaves it to torch.
    compile: as in TrackerConfig. full_look_seconds: likewise; 0 for frames that are all searched as
    a whole.
    plain: the paper's procedure as written (benchmark.plain) instead of the tracker.
    """

    model: str = 'stm_lite'
    weights: str | None = None
    size: tuple[int, int] = (640, 480)
    targets: int = 1
    memory: int = 8
    dtype: str = 'auto'
    compile: str = 'none'
    threads: int = 0
    device: str = 'cpu'
    top_k: int = 0
    full_look_seconds: float = TrackerConfig.full_look_seconds
    plain: bool = False

    def __post_init__(self) -> None:
        """Check every value.

        :raises InputError: naming the first that is not accepted.
        """
        for name, accepted in (('model', tuple(sorted(NETWORKS))), ('dtype', DTYPES),
                               ('compile', COMPILE_MODES)):
            if getattr(self, name) not in accepted:
                raise InputError(f'{name} is {getattr(self, name)!r}; accepted are '
                                 f'{", ".join(accepted)}')
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f'{name} is {getattr(self, name)}; {low}..{high} is accepted')
        if not all(_SMALLEST <= side <= _LARGEST for side in self.size):
            raise InputError(f'size is {self.size_text}; {_SMALLEST}..{_LARGEST} pixels a side '
                             'are accepted')
        if self.plain:
            self._check_plain()
        _check_device(self.device)

    def _check_plain(self) -> None:
        if self.model != 'stm':
            raise InputError(f'the plain baseline is a procedure for stm, not for {self.model!r}')
        if self.dtype not in ('float32', 'float64'):
            raise InputError(f'the plain baseline runs in float32 or float64, not {self.dtype!r}')
        if self.memory < 2:
            raise InputError(f'memory is {self.memory}; the plain baseline reads the first and the '
                             'previous frame at least: 2 or more are accepted')
        if self.compile != 'none':
            raise InputError(f'compile is {self.compile!r}; the plain baseline is not compiled: '
                             'none is accepted')
        if self.top_k:
            raise InputError(f'top_k is {self.top_k}; the plain baseline reads all positions: 0 is '
                             'accepted')

    @property
    def size_text(self) -> str:
        """The size as it is given, such as '640x480'."""
        return f'{self.size[0]}x{self.size[1]}'

    def entries(self) -> dict[str, Any]:
        """The settings by name, for JSON."""
        return {**{field.name: getattr(self, field.name) for field in fields(self)},
                'size': self.size_text}

    def describe(self) -> str:
        """One line for people."""
        return (f'{"plain " if self.plain else ""}{self.model}, {self.size_text}, '
                f'{_counted(self.targets, "target")}, {_counted(self.memory, "memory frame")}, '
                f'{self.dtype}, {self.device}'
                f'{"" if self.compile == "none" else f", compiled ({self.compile})"}')

    def changed(self, text: str) -> 'Settings':
        """These settings with those of `text` instead, such as 'dtype=float32,memory=16'.

        The word 'plain' asks for the plain baseline: stm in float32 unless told otherwise.

        :raises InputError: for a name that does not exist or a value that is not accepted.
        """
        changes: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(','))):
            name, equals, value = part.partition('=')
            if name == PLAIN and not equals:
                weights = self.weights if self.model == 'stm' else None
                changes = {'plain': True, 'model': 'stm', 'dtype': 'float32', 'top_k': 0,
                           'compile': 'none', 'weights': weights, **changes}
            else:
                changes[name] = _parsed(name, value)
        if not changes:
            raise InputError(f'settings {text!r} change nothing; an example is '
                             'dtype=float32,memory=16')
        return replace(self, **changes)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of a text such as '640x480'.

    :raises InputError: for another form.
    """
    match = re.fullmatch(r'(\d+)[x×](\d+)', text)
    if match is None:
        raise InputError(f'size {text!r} is not of the form 640x480 (width and height in pixels)')
    return int(match[1]), int(match[2])


def _parsed(name: str, value: str) -> Any:
    types = {field.name: type(field.default) for field in fields(Settings)
             if field.name != PLAIN}
    if name not in types:
        raise InputError(f'there is no setting {name!r}; accepted are {PLAIN} and '
                         f'{", ".join(types)}')
    if name == 'size':
        return parse_size(value)
    if types[name] is not int:
        return value
    if not value.isdecimal():
        raise InputError(f'{name} is {value!r}; a whole number is accepted')
    return int(value)


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f'device {name!r} is none that torch knows, such as cpu or cuda'
                         ) from error
    if device.type not in ('cpu', 'cuda'):
        raise InputError(f'device is {name!r}; cpu and cuda are accepted')
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f'device {name!r} is not there: torch {torch.__version__} sees '
                         f'{torch.cuda.device_count()} CUDA devices')


def _counted(number: int, word: str) -> str:
    return f'{number} {word}{"" if number == 1 else "s"}'
