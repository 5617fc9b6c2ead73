# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The YAML file that describes one training from seeds to weights."""
from collections.abc import Sequence
from dataclasses import MISSING
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from stm_ros.training.sources import DataSet
from stm_ros.vision.errors import InputError

_KINDS = ('video', 'instances', 'binary', 'regions')


@dataclass(frozen=True)
class Phase:
    """A stretch of training, up to iteration `until`, with clips of its own.

    only_quality: nothing but the head that predicts the mask's IoU learns, at the full rate.
    """

    until: int
    frames: int
    batch: int
    max_skip: int
    size: int = 256
    only_quality: bool = False


@dataclass(frozen=True)
class TrainingConfig:
    """What `stm train` does. Rates are AdamW learning rates; shares are of clips.

    cosine_until: iteration at which the rates would reach their least; 0 for the last one.
    frozen: parts of the network, by attribute, that keep their weights.
    """

    data_sets: tuple[DataSet, ...]
    phases: tuple[Phase, ...]
    licence: str
    seed: int = 1
    workers: int = 1
    head_rate: float = 4e-4
    trunk_rate: float = 4e-5
    weight_decay: float = 0.01
    warm_up: int = 100
    bootstrap_from: int = 300
    bootstrap_share: float = 0.2
    average_decay: float = 0.998
    cosine_until: int = 0
    shares: tuple[float, float, float] = (0.45, 0.2, 0.35)
    checkpoint_seconds: float = 240.0
    validate_every: int = 400
    frozen: tuple[str, ...] = ()

    @property
    def iterations(self) -> int:
        """The iteration at which training ends."""
        return self.phases[-1].until


def load_config(path: Path, data_root: Path) -> TrainingConfig:
    """Read a training configuration; folders of data sets are relative to `data_root`.

    :raises InputError: for an unknown key, an unknown kind of data set or a missing folder.
    """
    content = read_yaml(path, TrainingConfig, ('data_sets', 'phases'))
    data_sets = read_data_sets(path, content.pop('data_sets'), data_root)
    phases = tuple(Phase(**entry) for entry in content.pop('phases'))
    for name in {'shares', 'frozen'} & set(content):
        content[name] = tuple(content[name])
    return TrainingConfig(data_sets=data_sets, phases=phases, **content)


def read_yaml(path: Path, kind: Any, lists: Sequence[str]) -> dict[str, Any]:
    """The values of a configuration by name.

    :param kind: the dataclass whose fields are accepted. lists: those of them that are lists.
    :raises InputError: where it is no such file.
    """
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
    except (UnicodeError, yaml.YAMLError) as error:
        raise InputError(f'{path} is no YAML in UTF-8: {error}') from error
    is_table = isinstance(content, dict)
    if is_table and (unknown := sorted(map(str, set(content) - known))):
        raise InputError(f'{path}: unknown {unknown}; known are {sorted(known)}')
    if not is_table or needed - set(content) or not all(
            isinstance(content[name], list) for name in lists):
        raise InputError(f'{path} is no configuration: it needs {", ".join(sorted(needed))}, of '
                         f'which {", ".join(lists)} are lists')
    return content


def read_data_sets(path: Path, entries: list[dict], data_root: Path) -> tuple[DataSet, ...]:
    """The data sets of a configuration at `path`; folders are relative to `data_root`.

    :raises InputError: for an unknown kind of data set or a missing folder.
    """
    return tuple(_data_set(path, entry, data_root) for entry in entries)


def _data_set(path: Path, entry: dict, data_root: Path) -> DataSet:
    if not isinstance(entry, dict) or not {'name', 'folder'} <= set(entry):
        raise InputError(f'{path}: data set {entry!r} has no name and folder')
    if entry.get('kind') not in _KINDS:
        raise InputError(f'{path}: data set {entry.get("name")} has kind {entry.get("kind")!r}; '
                         f'accepted are {_KINDS}')
    data_set = DataSet(**{**entry, 'folder': data_root / entry['folder']})
    if not data_set.folder.is_dir():
        raise InputError(f'{path}: data set {data_set.name} is not at {data_set.folder}')
    return data_set


def shortened(config: TrainingConfig, iterations: int) -> TrainingConfig:
    """The same training, ended after `iterations`."""
    phases = tuple(replace(phase, until=min(phase.until, iterations)) for phase in config.phases)
    return replace(config, phases=phases)
