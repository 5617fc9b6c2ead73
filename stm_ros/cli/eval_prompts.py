# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm eval-prompts`: masks from boxes and clicks against the truth, segmenters side by side."""
import json
import sys
from argparse import ArgumentParser
from argparse import Namespace
from itertools import chain
from pathlib import Path

from stm_ros.networks.published import DEFAULT_WEIGHTS
from stm_ros.vision.output_folder import OutputFolder

_FILE = 'prompts.json'
_TABLE = 'prompts.md'
_SAY_EVERY = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--data', type=Path, required=True,
                        help='folder with video/davis2016_dev, static/coco_subset and '
                             'static/tabletop_icra25 (docs/training-data.md)')
    parser.add_argument('--weights', default=DEFAULT_WEIGHTS,
                        help='stm_lite weights whose head is measured (%(default)s)')
    parser.add_argument('--segmenter', action='append', metavar='NAME',
                        help='auto for the head, grabcut, or one that another package offers; '
                             'again for each further one (auto and grabcut)')
    parser.add_argument('--way', action='append', help='box, click or "box, 3 corrections"; again '
                        'for each further one (all)')
    parser.add_argument('--davis-every', type=int, default=0, metavar='N',
                        help='every Nth frame of the dev split instead of first frames')
    parser.add_argument('--most', type=int, default=0, metavar='N',
                        help='so many targets of each data set, evenly picked (all)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (%(default)s)')
    parser.add_argument('--out', type=Path, default=Path('runs/prompts'),
                        help='folder for prompts.json and prompts.md (%(default)s)')


def run(arguments: Namespace) -> int:
    """Measure, print the table, and return the exit code."""
    from stm_ros.evaluation.prompts import WAYS
    from stm_ros.evaluation.prompts import as_rows
    from stm_ros.evaluation.prompts import davis_targets
    from stm_ros.evaluation.prompts import score_target
    from stm_ros.evaluation.prompts import still_targets
    from stm_ros.evaluation.prompts import table
    from stm_ros.evaluation.prompts import thinned
    from stm_ros.inference.prompting import segmenter_for
    from stm_ros.vision.errors import InputError
    ways = arguments.way or list(WAYS)
    if unknown := set(ways) - set(WAYS):
        raise InputError(f'{sorted(unknown)} are no ways of showing; known are {", ".join(WAYS)}')
    folder = OutputFolder(arguments.out, [_FILE, _TABLE], [str(arguments.data)], shared=True)
    segmenters = [segmenter_for('stm_lite', arguments.weights, arguments.device, name)
                  for name in arguments.segmenter or ('auto', 'grabcut')]
    static = arguments.data / 'static'
    targets = chain.from_iterable(thinned(each, arguments.most) for each in (
        davis_targets(arguments.data / 'video' / 'davis2016_dev', arguments.davis_every),
        still_targets('COCO', static / 'coco_subset'),
        still_targets('tabletop', static / 'tabletop_icra25')))
    scores = []
    for count, target in enumerate(targets, start=1):
        for segmenter in segmenters:
            scores += score_target(target, segmenter, ways)
        if sys.stderr.isatty():
            print(f'\r{count} targets', end='', file=sys.stderr, flush=True)
        elif count % _SAY_EVERY == 0:
            print(table(scores), file=sys.stderr, flush=True)
    text = table(scores)
    print(f'mean IoU in per cent, boxes from truth with each side moved by up to 10 %, weights '
          f'{arguments.weights}\n{text}')
    with folder:
        (folder.staging / _FILE).write_text(json.dumps(as_rows(scores), indent=1) + '\n')
        (folder.staging / _TABLE).write_text(text + '\n')
    return 0
