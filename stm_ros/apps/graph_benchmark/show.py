# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm bench --graph` from start to end: start the node, send frames, print the figures."""
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stm_ros.apps.demo.client import DemoError
from stm_ros.apps.demo.process import NodeProcess
from stm_ros.apps.graph_benchmark.probe import GraphProbe
from stm_ros.benchmark.frames import benchmark_clip
from stm_ros.benchmark.machine import describe_machine
from stm_ros.benchmark.report import machine_text
from stm_ros.benchmark.report import write_figures
from stm_ros.benchmark.settings import Settings
from stm_ros.benchmark.subjects import tracker_config
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.stm_lite import STMLite
from stm_ros.vision.errors import InputError

_START_SECONDS = 90.0
_PERIOD = 24
_WARM_UP = 10
_PAUSE_SHARE = 0.5
_LEAST_PAUSE = 0.03
_QUIET_SECONDS = 2.0
_DIAGNOSTICS_PERIOD = 0.2
_RELIABLE = {'qos_overrides./image.subscription.reliability': 'reliable'}

Figures = dict[str, float]


def show_graph(settings: Settings, frames: int, rate: float, folder: Path | None) -> int:
    """Measure a node of its own and print what was found.

    :param rate: of the camera in the second part, Hz. :param folder: for graph.json and graph.csv.
    :return: exit code: 0, or 1 with the reason printed.
    :raises InputError: for settings that no node can have.
    """
    parameters = _parameters(settings)
    clip = benchmark_clip(settings.size, settings.targets, _PERIOD)
    images = [frame.decoded() for frame in clip.frames]
    with tempfile.TemporaryDirectory() as scratch:
        node = NodeProcess(Path(scratch) / 'node.log', parameters)

        def check() -> None:
            if node.exit_code() is not None:
                raise DemoError(f'the node ended with exit code {node.exit_code()}')
        try:
            with GraphProbe(images) as probe:
                started = time.time_ns()
                with node:
                    parts = _measure(probe, clip.reference, settings, frames, rate, started, check)
        except DemoError as error:
            print(f'stm: error: {error}; the node last said:\n{node.last_words()}',
                  file=sys.stderr)
            return 1
    machine = describe_machine(settings.device)
    machine['threads'] = settings.threads or machine['threads']
    print(f'{machine_text(machine)}\n{settings.describe()}\n{_text(parts, rate)}')
    if folder is not None:
        write_figures(folder, 'graph', {'machine': machine, 'settings': settings.entries(),
                                        **parts})
        print(f'written: {folder}/graph.json, graph.csv')
    return 0


def _parameters(settings: Settings) -> dict[str, str]:
    """The node's parameters, as the benchmark sets its tracker up in process."""
    if settings.model != STMLite.name and settings.weights is None:
        raise InputError(f'--graph with --model {settings.model} needs --weights: none ship, and '
                         'the node runs no random ones')
    config = tracker_config(settings)
    weights = {}
    if settings.weights is not None:
        is_name = settings.weights in SHIPPED_BY_NAME
        weights['weights'] = settings.weights if is_name else str(Path(settings.weights).resolve())
    return {
        'model': settings.model, 'device': settings.device, 'dtype': config.dtype,
        'threads': str(settings.threads), 'input_size': str(config.input_size),
        'max_targets': str(config.max_targets), 'memory.max_frames': str(config.max_frames),
        'memory.policy': config.policy, 'memory.memorize_every': str(config.memorize_every),
        'memory.top_k': str(config.top_k), 'compile': config.compile,
        'search.full_look_seconds': str(config.full_look_seconds),
        'diagnostics_period': str(_DIAGNOSTICS_PERIOD),
        **weights, **_RELIABLE}


def _measure(probe: GraphProbe, reference: np.ndarray, settings: Settings, frames: int,
             rate: float, started: int, check: Callable[[], None]) -> dict[str, Figures]:
    probe.show(reference, _START_SECONDS, check)
    first = probe.first_answer(check)
    for _ in range(settings.memory + _WARM_UP):
        probe.ask()
    return {'start': {'to_first_mask_s': (first - started) / 1e9},
            'unhurried': _unhurried(probe, frames), 'camera': _at_rate(probe, frames, rate)}


def _unhurried(probe: GraphProbe, frames: int) -> Figures:
    """Send each frame when the last one has been answered and memorised."""
    latencies: list[float] = []
    sent = probe.sent
    for _ in range(frames):
        stamp = probe.ask()
        latencies.append((probe.answers[stamp] - stamp) / 1e6)
        pause = max(_LEAST_PAUSE, _PAUSE_SHARE * latencies[-1] / 1000)
        probe.spin_until(lambda: False, pause)
    p50, p99 = np.percentile(latencies, (50, 99))
    # of the same frames, which are a few more than those that were measured here
    node = probe.diagnostics()
    whole, step = (float(node[f'{title} p50 (ms)'])
                   for title in ('latency stamp to publish', 'tracker step'))
    return {'frames': frames, 'sent_again': probe.sent - sent - frames,
            'stamp_to_publish_p50_ms': float(p50), 'stamp_to_publish_p99_ms': float(p99),
            'tracker_step_p50_ms': step,
            'outside_tracker_p50_ms': whole - step,
            'outside_tracker_share': (whole - step) / whole}


def _at_rate(probe: GraphProbe, frames: int, rate: float) -> Figures:
    """Send frames as a camera does, whether they are answered or not."""
    before = probe.diagnostics()
    stamps = []
    began = time.monotonic()
    for index in range(frames):
        probe.spin_until(lambda: False, max(0.0, began + index / rate - time.monotonic()))
        stamps.append(probe.publish())
    probe.spin_until(lambda: stamps[-1] in probe.answers, _QUIET_SECONDS)
    after = probe.diagnostics()
    answered = [stamp for stamp in stamps if stamp in probe.answers]
    if not answered:
        raise DemoError(f'none of {frames} images sent at {rate:g} Hz was answered')
    published = [probe.answers[stamp] for stamp in answered]
    span = (max(published) - min(published)) / 1e9
    latencies = [(probe.answers[stamp] - stamp) / 1e6 for stamp in answered]
    p50, p99 = np.percentile(latencies, (50, 99))

    def counted(name: str) -> int:
        return int(after[f'frames {name}']) - int(before[f'frames {name}'])
    return {'camera_hz': rate, 'frames': frames, 'answered': len(answered),
            'answered_hz': (len(answered) - 1) / span if span else 0.0,
            'dropped_by_node': counted('dropped'),
            'lost_on_the_way': frames - counted('received'),
            'stamp_to_publish_p50_ms': float(p50), 'stamp_to_publish_p99_ms': float(p99)}


def _text(parts: dict[str, Figures], rate: float) -> str:
    start, calm, camera = parts['start'], parts['unhurried'], parts['camera']
    return '\n'.join([
        f'  process start to first mask  {start["to_first_mask_s"]:.2f} s',
        f'{calm["frames"]:.0f} frames, each sent when the last was answered and memorised '
        f'({calm["sent_again"]:.0f} sent again):',
        f'  stamp to publish   p50 {calm["stamp_to_publish_p50_ms"]:.1f} ms, '
        f'p99 {calm["stamp_to_publish_p99_ms"]:.1f} ms',
        f'  the tracker\'s step p50 {calm["tracker_step_p50_ms"]:.1f} ms',
        f'  outside of it      p50 {calm["outside_tracker_p50_ms"]:.1f} ms, '
        f'{100 * calm["outside_tracker_share"]:.0f} % (transport, conversion, messages, publish)',
        f'{camera["frames"]:.0f} frames sent at {rate:g} Hz:',
        f'  stamp to publish   p50 {camera["stamp_to_publish_p50_ms"]:.1f} ms, '
        f'p99 {camera["stamp_to_publish_p99_ms"]:.1f} ms',
        f'  answered           {camera["answered"]:.0f}, {camera["answered_hz"]:.1f} a second',
        f'  not answered       {camera["dropped_by_node"]:.0f} dropped by the node for newer '
        f'ones, {camera["lost_on_the_way"]:.0f} lost on the way'])
