# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm bench --report`: everything that a person with another machine should send back.

One page of Markdown. A part that fails says why and the next goes on; what there is no time for is
named.
"""
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from stm_ros import __version__
from stm_ros.benchmark.machine import describe_machine
from stm_ros.benchmark.measuring import FRAME
from stm_ros.benchmark.measuring import Measurement
from stm_ros.benchmark.measuring import mean_overlap
from stm_ros.benchmark.measuring import measure
from stm_ros.benchmark.report import stages_text
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.subjects import TrackerSubject
from stm_ros.vision.output_folder import write_result

#: after so long no further part is begun, so that the last one may still take a minute
BUDGET_SECONDS = 540.0
_GRAPH_SECONDS = 150
_MEGABYTE = 1e6
_HEADER = ('setting', 'runs in', 'p50 ms', 'p99 ms', 'frames/s', 'device MB', 'bank MB')


@dataclass(frozen=True)
class Part:
    """A section of the page, and what gives its lines."""

    title: str
    lines: Callable[[], list[str]]


@dataclass(frozen=True)
class Agreement:
    """Masks of one setting beside those of another, on the same frames: IoU, and the largest
    difference of a probability."""

    mean: float
    worst: float
    difference: float

    def __str__(self) -> str:
        """For people."""
        return (f'IoU of the masks {self.mean:.4f} on average, {self.worst:.4f} at worst; '
                f'largest difference of a probability {self.difference:.3f}')


def parts_for(settings: Settings, frames: int, warm_up: int) -> list[Part]:
    """The parts for a device: all on a GPU, those that end soon on a processor."""
    on_gpu = torch.device(settings.device).type == 'cuda'
    models = ('stm_lite', 'stcn', 'stm') if on_gpu else (settings.model,)
    dtypes = ('float32', 'bfloat16', 'float16') if on_gpu else ('float32', 'bfloat16')
    reference = replace(settings, device='cpu', dtype='float32', compile='none')

    def stages() -> list[str]:
        return [line for model in models for line in _block(stages_text(measure(
            _of(settings, model), frames, warm_up)))]

    def precision() -> list[str]:
        settings_of = [replace(settings, dtype=dtype) for dtype in dtypes]
        return [*_table([(each.dtype, measure(each, frames, warm_up)) for each in settings_of]),
                *(f'- {each.dtype} beside float32 on the same device: '
                  f'{agree(settings_of[0], each, frames)}' for each in settings_of[1:])]

    def compiled() -> list[str]:
        # each new shape is compiled anew
        whole = replace(settings, full_look_seconds=0.0)
        return _table([(mode, measure(replace(whole, compile=mode), frames, warm_up))
                       for mode in ('none', 'default', 'reduce-overhead')])

    def memory() -> list[str]:
        return _table([(f'{count} memory frames', measure(replace(settings, memory=count), frames,
                                                          warm_up))
                       for count in ((2, 8, 32, 64) if on_gpu else (2, 4))])

    found = [Part('Stages of a frame', stages), Part('Precision', precision),
             Part('Memory', memory),
             Part('Masks beside those of the processor in float32',
                  lambda: [f'- {settings.dtype}: {agree(reference, settings, frames)}'])]
    if on_gpu:
        found += [Part('The node over ROS 2', lambda: _graph(settings)),
                  Part('torch.compile', compiled)]
    return found


def agree(first: Settings, second: Settings, frames: int) -> Agreement:
    """Let both follow the same frames."""
    subjects = [TrackerSubject(each) for each in (first, second)]
    overlaps, largest = [], 0.0
    for index in range(frames):
        image = subjects[0].clip.frame(first.memory + index).decoded()
        results = [subject.tracker.step(image) for subject in subjects]
        overlaps.append(mean_overlap(results[0].label_map, results[1].label_map))
        one, other = (result.soft_masks() for result in results)
        largest = max(largest, float(np.abs(one - other).max()))
    return Agreement(float(np.mean(overlaps)), min(overlaps), largest)


def write_page(path: Path, settings: Settings, parts: Sequence[Part],
               on_part: Callable[[str], None] = lambda title: None,
               budget: float = BUDGET_SECONDS) -> int:
    """Measure and write the page, part by part; how many parts failed."""
    machine = describe_machine(settings.device)
    text = [f'# stm_ros {__version__} on {machine.get("gpu", machine["cpu"])}', '',
            settings.describe(), '', '| | |', '|---|---|',
            *(f'| {name} | {value} |' for name, value in machine.items()), '']
    started, failed = time.monotonic(), 0
    for part in parts:
        begun = time.monotonic()
        text += [f'## {part.title}', '']
        if begun - started > budget:
            text += [f'left out: {budget:.0f} s had passed', '']
            write_result(path, '\n'.join(text).encode())
            continue
        on_part(part.title)
        try:
            text += part.lines()
        except Exception as error:
            # whatever it is, it belongs on the page, and the other parts may work
            failed += 1
            text += [f'**failed**: {type(error).__name__}: {error}']
        text += ['', f'({time.monotonic() - begun:.0f} s)', '']
        _give_back_memory(settings)
        # after each part, so that a run that is broken off leaves what it has
        write_result(path, '\n'.join(text).encode())
    return failed


def _of(settings: Settings, model: str) -> Settings:
    """The same for another network, whose weights are then the shipped or random ones."""
    return settings if model == settings.model else replace(settings, model=model, weights=None)


def _give_back_memory(settings: Settings) -> None:
    gc.collect()
    if torch.device(settings.device).type == 'cuda':
        torch.cuda.empty_cache()


def _block(text: str) -> list[str]:
    return ['```', *text.splitlines(), '```']


def _table(rows: Sequence[tuple[str, Measurement]]) -> list[str]:
    lines = ['| ' + ' | '.join(_HEADER) + ' |', '|---' * len(_HEADER) + '|']
    for name, item in rows:
        p50, _, p99 = item.percentiles(FRAME)
        device = '' if item.device_peak is None else f'{item.device_peak / _MEGABYTE:.0f}'
        bank = '' if item.bank is None else f'{item.bank / _MEGABYTE:.0f}'
        cells = (name, item.dtype, f'{p50:.1f}', f'{p99:.1f}', f'{1000 / p50:.1f}', device, bank)
        lines.append('| ' + ' | '.join(cells) + ' |')
    return [*lines, '']


def _graph(settings: Settings) -> list[str]:
    """What `stm bench --graph` prints, in a process of its own."""
    if find_spec('rclpy') is None:
        return ['left out: no ROS 2 here']
    words = [sys.executable, '-m', 'stm_ros.cli.main', 'bench', '--graph', '--device',
             settings.device, '--size', settings.size_text, '--dtype', settings.dtype,
             '--memory', str(settings.memory)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_GRAPH_SECONDS)
    return _block((done.stdout or done.stderr).strip())
