# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm reliability`: does the tracker say when the target is gone, and find it again?"""
import re
from argparse import ArgumentParser
from argparse import Namespace
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.evaluate import changed_config
from stm_ros.cli.settings import add_set_option
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import OutputFolder

if TYPE_CHECKING:
    from stm_ros.evaluation.reliability import Clip
    from stm_ros.evaluation.reliability import ClipOutcome
    from stm_ros.tracking import Tracker

_RESULTS = ('reliability.json', 'clips.csv', 'frames.csv', 'timeline.png', 'report.html')
_MOST_SEEDS = 100


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
    parser.add_argument('--clips', type=int, default=3,
                        help='of each case and seed (%(default)s)')
    parser.add_argument('--seeds', '--seed', default='0', metavar='SEEDS',
                        help='of the clips: one, or several as 100-109 or 0,7 (%(default)s)')
    parser.add_argument('--objects', type=Path, metavar='DIR',
                        help='folder of objects, for the cases that are rendered '
                        '(docs/rendering.md); these are left out without it')
    add_set_option(parser)
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
    from stm_ros.evaluation.reliability_page import write_page
    from stm_ros.evaluation.reliability_report import as_text
    from stm_ros.evaluation.reliability_report import write_report
    from stm_ros.tracking import Tracker

    width, height = parse_size(arguments.size)
    size = (height, width)
    seeds = parse_seeds(arguments.seeds)
    clips = _clips(arguments, size, seeds)
    pictures = [_sheet_of(clip) for clip in clips] if arguments.sheets else []
    output = OutputFolder(arguments.out, [*_RESULTS, *pictures],
                          [each for each in (arguments.weights, arguments.objects)
                           if each is not None])
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = changed_config({'input_size': min(size)}, arguments.settings)
    tracker = Tracker.from_pretrained(arguments.model, arguments.weights, arguments.device, config)
    settings = {'model': arguments.model, 'weights': str(arguments.weights or 'shipped'),
                'fingerprint': tracker.fingerprint, 'size': list(size),
                'seeds': seeds, 'device': arguments.device, 'tracker': asdict(config)}
    with output:
        outcomes = [_measure(tracker, clip, arguments, output.staging) for clip in clips]
        # from here on, what took an hour is not thrown away for a plot
        output.keep_partial = True
        print(as_text(outcomes))
        write_report(output.staging, outcomes, settings)
        write_page(output.staging / 'report.html', outcomes, settings)
    print(f'report: {arguments.out}/report.html')
    return 0


def parse_seeds(text: str) -> list[int]:
    """
    Return the seeds of a text such as '0', '0,7' or '100-109'.

    :raises InputError: for another form, or more than 100 of them.
    """
    seeds: list[int] = []
    for part in text.split(','):
        match = re.fullmatch(r'(\d{1,9})(?:-(\d{1,9}))?', part.strip())
        if match is None or int(match[2] or match[1]) - int(match[1]) not in range(_MOST_SEEDS):
            raise InputError(f'--seeds {text}: accepted is a seed from 0, or several as 0,7 or '
                             f'100-109, at most {_MOST_SEEDS}')
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    if len(set(seeds)) > _MOST_SEEDS:
        raise InputError(f'--seeds {text}: {len(set(seeds))} are too many; {_MOST_SEEDS} are the '
                         'most')
    return list(dict.fromkeys(seeds))


def _clips(arguments: Namespace, size: tuple[int, int], seeds: list[int]) -> list['Clip']:
    """All clips to measure; says which cases are left out for want of objects."""
    from stm_ros.synthetic.objects import find_objects
    from stm_ros.synthetic.reliability_clips import CASES
    from stm_ros.synthetic.reliability_clips import ReliabilityClip
    from stm_ros.synthetic.rendered_reliability import RENDERED_CASES
    from stm_ros.synthetic.rendered_reliability import RenderedReliabilityClip

    asked = [name for name in arguments.cases.split(',') if name]
    cases = asked or [*CASES, *RENDERED_CASES]
    unknown = sorted({*cases} - {*CASES, *RENDERED_CASES})
    if unknown:
        raise InputError(f'case {unknown[0]!r} is unknown; known are '
                         f'{", ".join([*CASES, *RENDERED_CASES])}')
    missing = _missing_for_rendered(arguments)
    rendered = [case for case in cases if case in RENDERED_CASES]
    if rendered and missing:
        if asked:
            raise InputError(f'{", ".join(rendered)} cannot be measured: {missing}')
        print(f'{" and ".join(rendered)} are left out: {missing}')
        cases = [case for case in cases if case not in rendered]
        rendered = []
    objects = tuple(find_objects(arguments.objects, 'held_out')) if rendered else ()
    return [RenderedReliabilityClip(case, number, objects, size, seed) if case in rendered
            else ReliabilityClip(case, number, size, seed)
            for case in cases for seed in seeds for number in range(arguments.clips)]


def _missing_for_rendered(arguments: Namespace) -> str | None:
    from stm_ros.synthetic.rendering import missing_for_rendering

    if arguments.objects is None:
        return 'they need a folder of objects, --objects DIR (docs/rendering.md)'
    return missing_for_rendering()


def _sheet_of(clip: 'Clip') -> str:
    return f'{clip.case}_{clip.seed}_{clip.number}.jpg'


def _measure(tracker: 'Tracker', clip: 'Clip', arguments: Namespace, folder: Path
             ) -> 'ClipOutcome':
    from stm_ros.evaluation.reliability import measure_clip
    from stm_ros.evaluation.reliability_report import ContactSheet

    print(f'{clip.case} {clip.seed}/{clip.number}: {clip.description}, {len(clip)} frames',
          flush=True)
    if not arguments.sheets:
        return measure_clip(tracker, clip)
    sheet = ContactSheet()
    outcome = measure_clip(tracker, clip, sheet.watch)
    sheet.write(folder / _sheet_of(clip))
    return outcome


def _check(arguments: Namespace) -> None:
    missing = [name for name in ('matplotlib', 'scipy', 'skimage') if find_spec(name) is None]
    if missing:
        raise InputError(f'stm reliability needs {", ".join(missing)}: pip install '
                         '"stm_ros[eval]" scikit-image')
    for name, least in (('clips', 1), ('threads', 0)):
        if getattr(arguments, name) < least:
            raise InputError(f'--{name} {getattr(arguments, name)}: accepted is {least} or more')
