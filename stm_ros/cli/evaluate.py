# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm eval`: measure a tracker on DAVIS-2016, DAVIS-2017, YouTube-VOS, or a folder like them."""
from argparse import ArgumentParser
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stm_ros.cli.devices import check_device
from stm_ros.cli.fleet import add_worker_arguments
from stm_ros.cli.fleet import check_workers
from stm_ros.cli.fleet import make_pool
from stm_ros.cli.settings import add_set_option
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import OutputFolder

if TYPE_CHECKING:
    from stm_ros.evaluation.datasets import Benchmark
    from stm_ros.evaluation.report import Evaluation
    from stm_ros.evaluation.runner import RunAll
    from stm_ros.tracking import TrackerConfig

_ARCHIVE = 'submission.zip'
_RESULTS = ('predictions', 'results.json', 'objects.csv', 'frames.csv', 'attributes.csv',
            'perturbations.csv', 'memories.csv', 'report.png', 'calibration.png',
            'perturbations.png', 'memories.png', 'calibration.json', 'report.html', _ARCHIVE)
_TRACKER_OPTIONS = ('input_size', 'max_frames', 'memorize_every', 'top_k', 'policy', 'dtype')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of `stm eval`."""
    data = parser.add_argument_group('what to measure on')
    data.add_argument(
        '--dataset', required=True, choices=('davis2016', 'davis2017', 'youtube-vos'),
        help='the protocol; the DAVIS ones work on any folder laid out like DAVIS',
    )
    data.add_argument('--root', required=True, type=Path, help="the benchmark's folder")
    data.add_argument('--split', help='of ImageSets, or a folder of YouTube-VOS (default: val)')
    data.add_argument('--sequences', default='', help='only these: names with commas')
    data.add_argument('--resolution', default='480p', help='folder under JPEGImages (%(default)s)')
    data.add_argument('--attributes', type=Path, help='YAML of attributes per sequence')
    data.add_argument('--every', type=int, default=1, metavar='N', help='use every Nth frame only')
    data.add_argument('--out', required=True, type=Path, help='folder for everything written')
    tracker = parser.add_argument_group('what to measure')
    tracker.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES)
    tracker.add_argument('--weights', type=Path, help='checkpoint (default: the shipped weights)')
    tracker.add_argument('--device', default='cpu', help='such as cpu or cuda (%(default)s)')
    tracker.add_argument('--size', type=int, dest='input_size', help='short side seen, in pixels')
    tracker.add_argument('--max-frames', type=int, help='memory slots')
    tracker.add_argument('--memorize-every', type=int, help='frames between memories')
    tracker.add_argument('--top-k', type=int, help='memory positions read; 0 for all')
    tracker.add_argument('--policy', help='which frame memory gives up')
    tracker.add_argument('--dtype', help='auto, float32, bfloat16 or float64')
    add_set_option(tracker)
    tracker.add_argument(
        '--predictions', type=Path, help='score the label maps of this folder instead of tracking'
    )
    more = parser.add_argument_group('what else to find out')
    more.add_argument(
        '--perturb', metavar='NAME[:STRENGTH],...',
        help='run again with damaged images; "all" for eleven kinds at three strengths',
    )
    more.add_argument(
        '--ablate-memory', action='store_true',
        help='run again with the reference only, and with the reference and the previous frame',
    )
    more.add_argument('--seed', type=int, default=0, help='of the perturbations (%(default)s)')
    spread = parser.add_argument_group(
        'several sequences at a time, by stm fleet; times of a frame are then those of a full '
        'machine')
    add_worker_arguments(spread, workers=1)
    more.add_argument('--quiet', action='store_true', help='no progress bar')


def run(arguments: Namespace) -> int:
    """Evaluate, write the report to `--out` and print its tables.

    Raises InputError (or CheckpointError, OSError) where an argument cannot be used.
    """
    _check_packages()
    from stm_ros.evaluation.evaluation_page import write_page
    from stm_ros.evaluation.plots import write_plots
    from stm_ros.evaluation.report import as_text
    from stm_ros.evaluation.report import write_report
    from stm_ros.evaluation.youtube_vos import write_archive

    given = (arguments.root, arguments.predictions, arguments.weights, arguments.attributes)
    folder = OutputFolder(arguments.out, _RESULTS, [each for each in given if each is not None])
    benchmark = _benchmark(arguments)
    check_device(arguments.device)
    with folder:
        out = folder.staging
        predictions = arguments.predictions or out / 'predictions'
        evaluation = _evaluate(arguments, benchmark, predictions, out)
        # from here on, what took hours is not thrown away for a plot
        folder.keep_partial = True
        write_report(out, evaluation)
        print(as_text(evaluation))
        if not evaluation.scores:
            print('the split is not annotated beyond its first masks: nothing was scored')
        if arguments.dataset == 'youtube-vos':
            count = write_archive(out / _ARCHIVE, predictions, benchmark.sequences)
            print(f'for the server: {arguments.out / _ARCHIVE} ({count} label maps)')
        write_plots(out, evaluation, benchmark, predictions)
        write_page(out / 'report.html', evaluation, benchmark, predictions)
    print(f'report: {arguments.out}/report.html')
    return 0


def _check_packages() -> None:
    missing = [name for name in ('matplotlib', 'scipy', 'tqdm') if find_spec(name) is None]
    if missing:
        raise InputError(
            f'stm eval needs {", ".join(missing)}: pip install "stm_ros[eval]", or '
            '-r requirements/eval.txt'
        )


def _evaluate(arguments: Namespace, benchmark: 'Benchmark', predictions: Path,
              out: Path) -> 'Evaluation':
    from stm_ros.evaluation.experiment import Subject
    from stm_ros.evaluation.experiment import evaluate_predictions
    from stm_ros.evaluation.experiment import evaluate_tracker
    from stm_ros.evaluation.perturbations import parse_perturbations
    from stm_ros.networks.checkpoints import load_network

    settings = {'root': str(arguments.root), 'every': arguments.every}
    if arguments.predictions:
        if arguments.perturb or arguments.ablate_memory:
            raise InputError('--predictions only scores: --perturb and --ablate-memory need the '
                             'tracker')
        evaluation = evaluate_predictions(benchmark, predictions)
        settings['predictions'] = str(predictions)
    else:
        perturbations = []
        if arguments.perturb:
            perturbations = parse_perturbations(arguments.perturb, arguments.seed)
        config = tracker_config(arguments)
        network = load_network(arguments.model, arguments.weights)
        with ExitStack() as stack:
            evaluation = evaluate_tracker(
                benchmark, Subject(network, config, arguments.device), predictions, perturbations,
                arguments.ablate_memory, arguments.quiet,
                _run_all(arguments, len(benchmark.sequences), stack),
            )
        settings['weights'] = str(arguments.weights or 'shipped')
    return replace(evaluation, settings={**evaluation.settings, **settings})


def _run_all(arguments: Namespace, sequences: int, stack: ExitStack) -> 'RunAll | None':
    """What runs the sequences, where it is not this process; it ends with `stack`."""
    check_workers(arguments)
    if arguments.workers == 1 and not arguments.ray_address:
        return None
    from stm_ros.fleet.evaluating import EvaluationWorker
    from stm_ros.fleet.evaluating import run_all_by

    pool, _ = make_pool(arguments, EvaluationWorker.maker(arguments.threads), sequences)
    return partial(run_all_by, stack.enter_context(pool))


def _benchmark(arguments: Namespace) -> 'Benchmark':
    from stm_ros.evaluation.datasets import load_benchmark
    from stm_ros.evaluation.sequences import Protocol

    if arguments.every < 1:
        raise InputError(f'--every {arguments.every}: accepted is 1 or more')
    benchmark = load_benchmark(
        Protocol(arguments.dataset),
        arguments.root,
        arguments.split,
        [name for name in arguments.sequences.split(',') if name],
        arguments.resolution,
        arguments.attributes,
    )
    thinned = tuple(sequence.thinned(arguments.every) for sequence in benchmark.sequences)
    return replace(benchmark, sequences=thinned)


def tracker_config(arguments: Namespace) -> 'TrackerConfig':
    """The tracker's configuration: the defaults, changed by what the command line says.

    Raises InputError for a field that does not exist or a value it does not take.
    """
    changes = {
        name: getattr(arguments, name)
        for name in _TRACKER_OPTIONS
        if getattr(arguments, name) is not None
    }
    return changed_config(changes, arguments.settings)


def changed_config(changes: dict[str, Any], settings: list[str]) -> 'TrackerConfig':
    """The defaults with `changes` by name and `settings` as NAME=VALUE, which count more.

    Raises InputError for a field that does not exist or a value it does not take.
    """
    from stm_ros.tracking import TrackerConfig
    from stm_ros.tracking.settings import parse_settings

    return TrackerConfig(**{**changes, **parse_settings(TrackerConfig, settings)})
