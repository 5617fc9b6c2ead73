# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm fleet`: replay a library of recordings with several workers, and go on where it stopped."""
import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError

if TYPE_CHECKING:
    from stm_ros.fleet.library import Recording
    from stm_ros.fleet.pool import Pool
    from stm_ros.fleet.replaying import FleetSettings
    from stm_ros.fleet.replaying import Outcome

ENGINES = ('auto', 'ray', 'processes')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_argument_group('what to replay')
    what.add_argument('library', metavar='MANIFEST|FOLDER', help='YAML with a list '
                      '"recordings", or a folder that is searched for bags and videos; a path, or '
                      'an address such as s3://bucket/bags')
    what.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for results, '
                      'tables and the report; what is done there is not done again')
    what.add_argument('--reference-mask', help='mask of the targets in the first frame, or in '
                      '--reference-image; for a recording <name>, <name>.mask.png beside it counts '
                      'more')
    what.add_argument('--reference-image', help='picture of the targets')
    what.add_argument('--box', metavar='X,Y,W,H', help='box around the target instead of a mask')
    what.add_argument('--references', help='folder of known objects, see stm memory export')
    what.add_argument('--topic', help='image topic of bags that have several')
    what.add_argument('--max-frames', type=int, help='of each recording')
    how = parser.add_argument_group('how')
    how.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES)
    how.add_argument('--weights', help='its weights; the shipped ones if left out')
    how.add_argument('--device', default='cpu', help='cpu or cuda (default %(default)s)')
    how.add_argument('--set', action='append', default=[], metavar='NAME=VALUE', dest='settings',
                     help='a field of TrackerConfig; may be repeated')
    how.add_argument('--storage', choices=('mcap', 'sqlite3', 'none'), default='mcap',
                     help='of the result bags, or none (default %(default)s)')
    add_worker_arguments(how)
    compared = parser.add_argument_group('compared with an earlier run')
    compared.add_argument('--expect', type=Path, metavar='DIR', help='the --out of an earlier run: '
                          'exit code 1 where a recording differs')
    compared.add_argument('--min-iou', type=float, default=0.95, help="of a frame's masks with "
                          'the expected ones (default %(default)s)')


def add_worker_arguments(group: 'argparse._ArgumentGroup', workers: int = 0) -> None:
    """Declare how many workers there are, by default `workers`, and where."""
    group.add_argument('--workers', type=int, default=workers, metavar='N', help='at a time; 0 '
                       'for one for each processor this process may use (default %(default)s)')
    group.add_argument('--threads', type=int, default=1, help='processor threads of each worker '
                       '(default %(default)s)')
    group.add_argument('--engine', choices=ENGINES, default='auto', help='ray, processes of this '
                       'machine, or auto: ray where it is installed (default %(default)s)')
    group.add_argument('--ray-address', metavar='ADDRESS', help='join this Ray cluster, which '
                       'must reach recordings and --out under the same names')
    group.add_argument('--retries', type=int, default=2, help='times that a task is given to '
                       'another worker after one died with it (default %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Replay what is not done, write tables and report; 1 where something failed or differs.

    :raises InputError: for an option or manifest that is not accepted.
    :raises PoolError: where workers cannot be started.
    """
    check_workers(arguments)
    if not 0 <= arguments.min_iou <= 1:
        raise InputError(f'--min-iou is {arguments.min_iou:g}; 0..1 is accepted')
    if arguments.expect is not None and not arguments.expect.is_dir():
        raise InputError(f'--expect {arguments.expect} is no folder; the --out of an earlier run '
                         'is accepted')
    from stm_ros.fleet.library import library_at
    from stm_ros.fleet.library import read_library
    from stm_ros.fleet.report import write_report
    from stm_ros.fleet.results import write_outcomes
    from stm_ros.fleet.results import write_tables
    library = library_at(arguments.library)
    recordings = read_library(library, _defaults(arguments))
    settings = _settings(arguments)
    # what cannot be used is said before any worker starts
    settings.digest()
    _own_results(arguments, library, recordings)
    from stm_ros.fleet.replaying import ReplayWorker
    pool, engine = make_pool(arguments, ReplayWorker.maker(settings), len(recordings))
    with pool:
        outcomes = _replayed(pool, recordings)
    written = [*write_tables(arguments.out, outcomes), write_outcomes(arguments.out, outcomes),
               write_report(arguments.out, outcomes, settings, engine)]
    return _tell(outcomes, written)


def _own_results(arguments: argparse.Namespace, library: Path | str,
                 recordings: 'list[Recording]') -> None:
    """Make sure that the fleet's files replace nothing of others; what is replayed looks itself.

    :raises InputError: where they do, or where recordings are read from the folder of results.
    """
    from stm_ros.fleet.library import paths_of
    from stm_ros.fleet.results import names_of_results
    from stm_ros.vision.output_folder import own_living_files
    from stm_ros.vision.output_folder import refuse_overlap
    read = [Path(each) for each in (arguments.expect, arguments.weights) if each is not None]
    if isinstance(library, Path):
        read.append(library)
    refuse_overlap(arguments.out, [*read, *paths_of(recordings)])
    if isinstance(library, Path) and library.is_dir() \
            and library.resolve() in arguments.out.resolve().parents:
        raise InputError(f'--out {arguments.out} lies in the library, where the next run would '
                         'take result bags for recordings: name another folder')
    own_living_files(arguments.out, names_of_results(each.name for each in recordings))


def check_workers(arguments: argparse.Namespace) -> None:
    """Check the options of add_worker_arguments.

    :raises InputError: naming the first that is not accepted.
    """
    for name, low, high in (('workers', 0, 1024), ('threads', 0, 256), ('retries', 0, 100)):
        if not low <= getattr(arguments, name) <= high:
            raise InputError(f'--{name} is {getattr(arguments, name)}; {low}..{high} is accepted')
    if arguments.ray_address and arguments.engine == 'processes':
        raise InputError('--ray-address is for --engine ray')


def make_pool(arguments: argparse.Namespace, make_worker: Any, tasks: int
              ) -> 'tuple[Pool, str]':
    """The workers that the options ask for, and which they are, for people."""
    workers = min(arguments.workers or len(os.sched_getaffinity(0)), max(1, tasks))
    by_ray = arguments.engine == 'ray' or bool(arguments.ray_address) or (
        arguments.engine == 'auto' and find_spec('ray') is not None)
    if by_ray:
        from stm_ros.fleet.ray_pool import RayPool
        gpus = 1.0 if arguments.device.startswith('cuda') else 0.0
        where = arguments.ray_address or 'this machine'
        return (RayPool(make_worker, workers, arguments.retries, arguments.ray_address, gpus),
                f'{workers} workers of Ray on {where}')
    from stm_ros.fleet.pool import ProcessPool
    return (ProcessPool(make_worker, workers, arguments.retries),
            f'{workers} processes of this machine')


def _defaults(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ('reference_mask', 'reference_image', 'box', 'references', 'topic', 'max_frames')
    return {name: getattr(arguments, name) for name in names
            if getattr(arguments, name) is not None}


def _settings(arguments: argparse.Namespace) -> 'FleetSettings':
    from stm_ros.cli.evaluate import changed_config
    from stm_ros.fleet.replaying import FleetSettings
    return FleetSettings(
        out=str(arguments.out.resolve()), model=arguments.model, weights=arguments.weights,
        device=arguments.device, config=changed_config({}, arguments.settings),
        storage=None if arguments.storage == 'none' else arguments.storage,
        threads=arguments.threads,
        expect=None if arguments.expect is None else str(arguments.expect.resolve()),
        min_iou=arguments.min_iou)


def _replayed(pool: 'Pool', recordings: 'list[Recording]') -> 'list[Outcome]':
    """What became of each recording, in their order, showing progress on the way."""
    from dataclasses import replace

    from stm_ros.fleet.replaying import Outcome
    from stm_ros.fleet.results import MOST_PICTURES
    from stm_ros.fleet.results import frames_shown
    from stm_ros.fleet.results import keep_worst_pictures
    from stm_ros.fleet.results import losses_of
    from stm_ros.fleet.results import status_of
    outcomes: dict[int, Outcome] = {}
    pictures = 0
    for answer in pool.run(recordings):
        recording = recordings[answer.index]
        outcome = answer.value
        if answer.error is not None:
            outcome = Outcome(recording.name, recording.source, reason=answer.error)
        outcome = outcomes[answer.index] = replace(outcome, losses=answer.losses)
        pictures += len(frames_shown(outcome))
        if pictures > 2 * MOST_PICTURES:
            keep_worst_pictures(outcomes, MOST_PICTURES)
            pictures = MOST_PICTURES
        said = (status_of(outcome), outcome.reason or f'{outcome.frames} frames',
                losses_of(outcome), *outcome.notes)
        print(f'[{len(outcomes)}/{len(recordings)}] {recording.name}: '
              + '; '.join(filter(None, said)), file=sys.stderr, flush=True)
    keep_worst_pictures(outcomes, MOST_PICTURES)
    return [outcomes[index] for index in range(len(recordings))]


def _tell(outcomes: 'list[Outcome]', written: list[Path]) -> int:
    from collections import Counter

    from stm_ros.fleet.results import status_of
    counts = Counter(map(status_of, outcomes))
    print(f'{len(outcomes)} recordings: '
          + ', '.join(f'{count} {name}' for name, count in counts.most_common()))
    print('written: ' + ', '.join(map(str, written)))
    failed = any(outcome.reason is not None or (
        outcome.comparison is not None and not outcome.comparison.is_as_expected)
        for outcome in outcomes)
    return 1 if failed else 0
