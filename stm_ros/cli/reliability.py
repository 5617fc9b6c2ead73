# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm reliability`: does the tracker say when the target is gone, and find it again?"""
from argparse import ArgumentParser
from argparse import Namespace
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.evaluate import changed_config
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import OutputFolder

if TYPE_CHECKING:
    from stm_ros.evaluation.reliability import ClipOutcome
    from stm_ros.evaluation.reliability_clips import ReliabilityClip
    from stm_ros.tracking import Tracker

_RESULTS = ('reliability.json', 'clips.csv', 'frames.csv', 'timeline.png')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of `stm reliability`."""
    parser.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES)
    parser.add_argument('--weights', type=Path, help='checkpoint (default: the shipped weights)')
    parser.add_argument('--device', default='cpu', help='such as cpu or cuda (%(default)s)')
    parser.add_argument('--threads', type=int, default=1,
                        help='processor threads; 0 leaves it to torch (%(default)s)')
    parser.add_argument('--size', default='640x480', metavar='WxH',
                        help='of the clips, in pixels, which the network sees as they are '
                        '(%(default)s)')
    parser.add_argument('--cases', default='', help='only these: names with commas')
    parser.add_argument('--clips', type=int, default=3, help='of each case (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the clips (%(default)s)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        dest='settings', help='a field of TrackerConfig; may be repeated')
    parser.add_argument('--sheets', action='store_true',
                        help='also write pictures of the frames at which something happens')
    parser.add_argument('--out', type=Path, default=Path('runs/reliability'),
                        help='folder for everything written (%(default)s)')


def run(arguments: Namespace) -> int:
    """Measure, write the report to `--out` and print its table.

    Raises InputError (or CheckpointError, OSError) where an argument cannot be used.
    """
    _check(arguments)
    import torch

    from stm_ros.benchmark.settings import parse_size
    from stm_ros.evaluation.reliability_clips import CASES
    from stm_ros.evaluation.reliability_clips import ReliabilityClip
    from stm_ros.evaluation.reliability_report import as_text
    from stm_ros.evaluation.reliability_report import write_report
    from stm_ros.tracking import Tracker

    pictures = [f'{case}_{number}.jpg' for case in CASES for number in range(arguments.clips)]
    output = OutputFolder(
        arguments.out, [*_RESULTS, *(pictures if arguments.sheets else [])],
        [] if arguments.weights is None else [arguments.weights])
    width, height = parse_size(arguments.size)
    size = (height, width)
    cases = [name for name in arguments.cases.split(',') if name] or list(CASES)
    clips = [ReliabilityClip(case, number, size, arguments.seed)
             for case in cases for number in range(arguments.clips)]
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = changed_config({'input_size': min(size)}, arguments.settings)
    tracker = Tracker.from_pretrained(arguments.model, arguments.weights, arguments.device, config)
    settings = {'model': arguments.model, 'weights': str(arguments.weights or 'shipped'),
                'fingerprint': tracker.engine.fingerprint, 'size': list(size),
                'seed': arguments.seed, 'device': arguments.device, 'tracker': asdict(config)}
    with output:
        outcomes = [_measure(tracker, clip, arguments, output.staging) for clip in clips]
        # from here on, what took an hour is not thrown away for a plot
        output.keep_partial = True
        print(as_text(outcomes))
        write_report(output.staging, outcomes, settings)
    print(f'report: {arguments.out}')
    return 0


def _measure(tracker: 'Tracker', clip: 'ReliabilityClip', arguments: Namespace,
             folder: Path) -> 'ClipOutcome':
    from stm_ros.evaluation.reliability import measure_clip
    from stm_ros.evaluation.reliability_report import ContactSheet

    print(f'{clip.case} {clip.number}: {clip.description}, {len(clip)} frames', flush=True)
    if not arguments.sheets:
        return measure_clip(tracker, clip)
    sheet = ContactSheet()
    outcome = measure_clip(tracker, clip, sheet.watch)
    sheet.write(folder / f'{clip.case}_{clip.number}.jpg')
    return outcome


def _check(arguments: Namespace) -> None:
    missing = [name for name in ('matplotlib', 'scipy', 'skimage') if find_spec(name) is None]
    if missing:
        raise InputError(f'stm reliability needs {", ".join(missing)}: pip install '
                         '"stm_ros[eval]" scikit-image')
    for name, least in (('clips', 1), ('threads', 0), ('seed', 0)):
        if getattr(arguments, name) < least:
            raise InputError(f'--{name} {getattr(arguments, name)}: accepted is {least} or more')
