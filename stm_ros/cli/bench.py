# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm bench`: what a frame takes, stage by stage, on this machine."""
import argparse
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import OutputFolder

if TYPE_CHECKING:
    from stm_ros.benchmark.settings import Settings

_SWEEPS = ('memory', 'targets', 'size')
_PAGE = 'report.md'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_argument_group('what to measure')
    what.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES,
                      help='network (default %(default)s)')
    what.add_argument('--weights', help='its weights; left out, the shipped ones, or random ones '
                      'for stm, of which only timings mean anything')
    what.add_argument('--size', default='640x480', metavar='WxH', help='frames in pixels; the '
                      'network sees them as they are (default %(default)s)')
    what.add_argument('--targets', type=int, default=1, metavar='N',
                      help='targets to follow (default %(default)s)')
    what.add_argument('--memory', type=int, default=8, metavar='N', help='memory frames read in '
                      'every frame, the reference included (default %(default)s)')
    what.add_argument('--top-k', type=int, default=0, metavar='N', help='memory positions read by '
                      'each query position; 0 for all (default %(default)s)')
    what.add_argument('--full-look-seconds', type=float, default=0.33, metavar='S',
                      help='every S seconds a frame is searched as a whole, the others around the '
                      'targets; 0 for always (default %(default)s)')
    what.add_argument('--dtype', default='auto', help='auto, float32, bfloat16, float16 or '
                      'float64 (default %(default)s)')
    what.add_argument('--compile', default='none', metavar='MODE', help="none, or torch.compile's "
                      'default, reduce-overhead or max-autotune (default %(default)s)')
    what.add_argument('--threads', type=int, default=0, metavar='N',
                      help="processor threads; 0 for torch's own choice (default %(default)s)")
    what.add_argument('--device', default='cpu', help='cpu or cuda (default %(default)s); on cuda '
                      'the stages wait for the device, whole frames (--against) do not')
    how = parser.add_argument_group('how')
    how.add_argument('--frames', type=int, default=100, metavar='N',
                     help='frames to measure (default %(default)s)')
    how.add_argument('--warm-up', type=int, default=10, metavar='N',
                     help='frames before them, beside those that fill memory (default %(default)s)')
    how.add_argument('--overfit', type=int, default=0, metavar='N', help='with --model stm and no '
                     'weights: first train N iterations on the clip itself, so that masks mean '
                     'something (0)')
    how.add_argument('--out', type=Path, metavar='DIR', help='folder for JSON, CSV and plots')
    kind = parser.add_argument_group(
        'instead of the table of stages').add_mutually_exclusive_group()
    kind.add_argument('--sweep', choices=_SWEEPS, help='measure again and again with memory '
                      '1..64, targets 1..16, or sizes from 320x240 to 1280x720')
    kind.add_argument('--against', metavar='SETTINGS', help='let two settings step in turn and '
                      'print the ratio: "dtype=float32,memory=16", or "plain" for the paper\'s '
                      'procedure as written, or both as in "plain,memory=5"')
    kind.add_argument('--graph', action='store_true', help='measure the real node over ROS 2, '
                      'from this process to another and back')
    kind.add_argument('--soak', type=int, metavar='N', help='step N frames, then in turn with what '
                      'the tracker was at frame 100: does a frame cost more, has memory grown?')
    kind.add_argument('--report', action='store_true', help='measure all that another machine '
                      'should tell of itself, in ten minutes on a GPU, and write one page to send '
                      'back (--out, default runs/bench); on a processor a short form')
    parser.add_argument('--points', metavar='A,B,..', help='other points for --sweep')
    parser.add_argument('--rate', type=float, default=30.0, metavar='HZ',
                        help='camera rate for --graph (default %(default)g)')


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write, and return the exit code.

    :raises InputError: for an option that is not accepted, naming it.
    """
    _check(arguments)
    settings = _settings(arguments)
    if arguments.out is None and arguments.report:
        arguments.out = Path('runs/bench')
    if arguments.out is not None:
        given = [] if arguments.weights is None else [arguments.weights]
        OutputFolder(arguments.out, _results(arguments), given, shared=True)
    if arguments.overfit:
        with TemporaryDirectory() as scratch:
            weights = _overfitted(settings, arguments.overfit, Path(scratch))
            return _measure(arguments, replace(settings, weights=weights))
    return _measure(arguments, settings)


def _measure(arguments: argparse.Namespace, settings: 'Settings') -> int:
    if arguments.graph:
        return _run_graph(arguments, settings)
    if arguments.report:
        return _run_report(arguments, settings)
    if arguments.soak is not None:
        return _run_soak(arguments, settings)
    if arguments.against is not None:
        return _run_against(arguments, settings)
    if arguments.sweep is not None:
        return _run_sweep(arguments, settings)
    return _run_stages(arguments, settings)


def _results(arguments: argparse.Namespace) -> list[str]:
    """The names of the files that will be written."""
    if arguments.report:
        return [_PAGE]
    if arguments.sweep is not None:
        stem = f'sweep_{arguments.sweep}'
        return [f'{stem}.json', f'{stem}.csv', f'{stem}.png']
    chosen = {'graph': arguments.graph, 'soak': arguments.soak is not None,
              'against': arguments.against is not None}
    stem = next((name for name, is_chosen in chosen.items() if is_chosen), 'bench')
    return [f'{stem}.json', f'{stem}.csv']


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (('frames', 1), ('warm_up', 0), ('overfit', 0)):
        if getattr(arguments, name) < least:
            raise InputError(f'--{name.replace("_", "-")} is {getattr(arguments, name)}; {least} '
                             'or more is accepted')
    if not 0 < arguments.rate <= 1000:
        raise InputError(f'--rate is {arguments.rate:g}; above 0 and up to 1000 is accepted')
    if arguments.points is not None and arguments.sweep is None:
        raise InputError('--points belongs to --sweep')
    if arguments.sweep is not None and arguments.out is not None \
            and find_spec('matplotlib') is None:
        raise InputError('the plot of a sweep needs matplotlib: pip install "stm_ros[eval]"')
    if arguments.graph and find_spec('rclpy') is None:
        raise InputError('--graph needs ROS 2 (rclpy): run `make setup`, or source a ROS 2 in '
                         'which stm_ros is built')


def _settings(arguments: argparse.Namespace) -> 'Settings':
    from stm_ros.benchmark.settings import Settings
    from stm_ros.benchmark.settings import parse_size
    return Settings(
        model=arguments.model, weights=arguments.weights, size=parse_size(arguments.size),
        targets=arguments.targets, memory=arguments.memory, dtype=arguments.dtype,
        threads=arguments.threads, device=arguments.device, top_k=arguments.top_k,
        full_look_seconds=arguments.full_look_seconds, compile=arguments.compile)


def _overfitted(settings: 'Settings', iterations: int, folder: Path) -> str:
    """Train `stm` on the clip of `settings`; the path of its weights."""
    from stm_ros.benchmark.frames import benchmark_clip
    from stm_ros.benchmark.overfitting import overfit
    from stm_ros.benchmark.subjects import CLIP_PERIOD
    from stm_ros.benchmark.subjects import random_network
    from stm_ros.networks.stm import STM
    from stm_ros.training.export import export_weights
    network = random_network(settings.model)
    if settings.weights is not None or not isinstance(network, STM):
        raise InputError('--overfit is for --model stm without --weights')

    def show(index: int, loss: float) -> None:
        if index % 10 == 0:
            _show_progress(f'overfitting: iteration {index} of {iterations}, loss {loss:.3f}')
    overfit(network, benchmark_clip(settings.size, settings.targets, CLIP_PERIOD), iterations, show)
    path = folder / f'overfitted_{iterations}.safetensors'
    export_weights(network, path, {'licence': 'none: overfitted to a benchmark clip'})
    return str(path)


def _run_stages(arguments: argparse.Namespace, settings: 'Settings') -> int:
    from stm_ros.benchmark.machine import describe_machine
    from stm_ros.benchmark.measuring import measure
    from stm_ros.benchmark.report import machine_text
    from stm_ros.benchmark.report import stages_text
    from stm_ros.benchmark.report import write_measurements
    measurement = measure(settings, arguments.frames, arguments.warm_up)
    machine = describe_machine(settings.device)
    print(f'{machine_text(machine)}\n{stages_text(measurement)}')
    if arguments.out is not None:
        write_measurements(arguments.out, 'bench', machine, [measurement])
        print(f'written: {arguments.out}/bench.json, bench.csv')
    return 0


def _run_sweep(arguments: argparse.Namespace, settings: 'Settings') -> int:
    from stm_ros.benchmark.machine import describe_machine
    from stm_ros.benchmark.measuring import sweep
    from stm_ros.benchmark.report import machine_text
    from stm_ros.benchmark.report import sweep_text
    from stm_ros.benchmark.report import write_measurements
    name = arguments.sweep
    measurements = []
    for measurement in sweep(settings, name, arguments.frames, arguments.warm_up,
                             _points(arguments), _show_progress):
        measurements.append(measurement)
        machine = describe_machine(settings.device)
        # after each point, so that a sweep that is broken off leaves what it has
        if arguments.out is not None:
            write_measurements(arguments.out, f'sweep_{name}', machine, measurements)
    print(f'{machine_text(machine)}\n{sweep_text(name, measurements)}')
    if arguments.out is not None:
        from stm_ros.benchmark.plots import write_sweep_plot
        write_sweep_plot(arguments.out / f'sweep_{name}.png', name, measurements,
                         machine_text(machine))
        print(f'written: {arguments.out}/sweep_{name}.json, .csv, .png')
    return 0


def _points(arguments: argparse.Namespace) -> tuple[int | str, ...]:
    words = [word.strip() for word in (arguments.points or '').split(',') if word.strip()]
    if arguments.sweep == 'size':
        return tuple(words)
    for word in words:
        if not word.isdecimal():
            raise InputError(f'--points: {word!r} is no whole number')
    return tuple(int(word) for word in words)


def _run_against(arguments: argparse.Namespace, settings: 'Settings') -> int:
    from stm_ros.benchmark.machine import describe_machine
    from stm_ros.benchmark.measuring import compare
    from stm_ros.benchmark.report import comparison_text
    from stm_ros.benchmark.report import machine_text
    from stm_ros.benchmark.report import write_comparison
    comparison = compare(settings, settings.changed(arguments.against), arguments.frames,
                         arguments.warm_up)
    machine = describe_machine(settings.device)
    print(f'{machine_text(machine)}\n{comparison_text(comparison)}')
    if arguments.out is not None:
        write_comparison(arguments.out, machine, comparison)
        print(f'written: {arguments.out}/against.json, against.csv')
    return 0


def _run_soak(arguments: argparse.Namespace, settings: 'Settings') -> int:
    from stm_ros.benchmark.machine import describe_machine
    from stm_ros.benchmark.report import machine_text
    from stm_ros.benchmark.report import write_figures
    from stm_ros.benchmark.soak import soak
    from stm_ros.benchmark.soak import soak_text

    def show(index: int) -> None:
        if index % 500 == 0:
            _show_progress(f'frame {index} of {arguments.soak}')
    result = soak(settings, arguments.soak, on_frame=show)
    machine = describe_machine(settings.device)
    print(f'{machine_text(machine)}\n{soak_text(result)}')
    if arguments.out is not None:
        write_figures(arguments.out, 'soak', {
            'machine': machine, 'settings': settings.entries(), 'frames': result.frames,
            'ratio': result.ratio, 'growth': result.growth,
            'resident_bytes': {'young': result.resident[0], 'old': result.resident[1]}})
        print(f'written: {arguments.out}/soak.json, soak.csv')
    return 0


def _run_report(arguments: argparse.Namespace, settings: 'Settings') -> int:
    from stm_ros.benchmark.one_page import parts_for
    from stm_ros.benchmark.one_page import write_page
    path = arguments.out / _PAGE
    failed = write_page(path, settings, parts_for(settings, arguments.frames, arguments.warm_up),
                        lambda title: print(f'{title} ...', file=sys.stderr, flush=True))
    print(path.read_text(encoding='utf-8'))
    print(f'written: {path}')
    return 1 if failed else 0


def _run_graph(arguments: argparse.Namespace, settings: 'Settings') -> int:
    # only these need ROS, and the environment must be complete before its first use
    from stm_ros.apps.demo.process import prepare_environment
    prepare_environment()
    from stm_ros.apps.graph_benchmark.show import show_graph
    return show_graph(settings, arguments.frames, arguments.rate, arguments.out)


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f'measuring {text}', file=sys.stderr, flush=True)
