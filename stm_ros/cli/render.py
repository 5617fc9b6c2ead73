# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm render`: clips of textured objects whose label maps and depth are exact."""
import re
import sys
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path

from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import refuse_overlap


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of `stm render`."""
    parser.add_argument('--objects', type=Path, required=True,
                        help='folder of objects; docs/rendering.md says how to get them')
    parser.add_argument('--out', type=Path, required=True,
                        help='folder for the clips; those that are there already are left alone')
    parser.add_argument('--clips', type=int, default=8, help='how many (%(default)s)')
    parser.add_argument('--first', type=int, default=0,
                        help='number of the first clip (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the clips (%(default)s)')
    parser.add_argument('--split', default='train', choices=('train', 'held_out'),
                        help='which objects (%(default)s)')
    parser.add_argument('--backgrounds', type=Path, action='append', default=[], metavar='DIR',
                        help='folder of photographs for tables and walls; may be repeated '
                        "(scikit-image's if left out)")
    parser.add_argument('--layout', default='training', choices=('training', 'davis'),
                        help='CLIP/images and masks, or as DAVIS-2017 (%(default)s)')
    parser.add_argument('--list', default='dev', metavar='NAME', dest='split_list',
                        help='of the list in ImageSets/2017 (%(default)s)')
    parser.add_argument('--size', default='384x288', metavar='WxH', help='in pixels (%(default)s)')
    parser.add_argument('--frames', default='10-12', metavar='LEAST-MOST',
                        help='of a clip (%(default)s)')
    parser.add_argument('--stories', action='store_true',
                        help='tell one thing that trackers fail at in each clip, in turn, instead '
                        'of whatever chance draws; only targets have ids')
    parser.add_argument('--depth', action='store_true',
                        help='also write depth (16 bits, millimetres; layout training)')


def run(arguments: Namespace) -> int:
    """Render the clips and print the name of each."""
    from stm_ros.benchmark.settings import parse_size
    from stm_ros.synthetic.clip_files import ClipFolder
    from stm_ros.synthetic.objects import find_objects
    from stm_ros.synthetic.producing import NoSceneError
    from stm_ros.synthetic.producing import Production
    from stm_ros.synthetic.producing import produce_clip
    from stm_ros.synthetic.rendering import missing_for_rendering
    from stm_ros.synthetic.staging import pictures_in
    from stm_ros.synthetic.staging import shipped_pictures
    from stm_ros.synthetic.stories import STORIES

    width, height = parse_size(arguments.size)
    frames = _frames(arguments)
    _check(arguments, min(width, height))
    objects = find_objects(arguments.objects, arguments.split)
    pictures = pictures_in(arguments.backgrounds) if arguments.backgrounds else shipped_pictures
    missing = missing_for_rendering()
    if missing is not None:
        raise InputError(f'nothing can be rendered here: {missing}')
    production = Production((height, width), frames, all_labelled=not arguments.stories,
                            with_depth=arguments.depth, seed=arguments.seed)
    refuse_overlap(arguments.out, [arguments.objects, *arguments.backgrounds])
    folder = ClipFolder(arguments.out, arguments.layout, arguments.split_list)
    folder.root.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.first, arguments.first + arguments.clips):
        story = STORIES[number % len(STORIES)] if arguments.stories else None
        name = f'{story or "mixed"}_{arguments.seed}_{number:04d}'
        if folder.holds(name):
            continue
        try:
            folder.write(name, produce_clip(production, number, story, objects, pictures))
            print(folder.root / name, flush=True)
        except NoSceneError as error:
            print(f'{name} is left out: {error}', file=sys.stderr, flush=True)
    return 0


def _frames(arguments: Namespace) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', arguments.frames)
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 2 <= least <= most <= 1000:
        raise InputError(f'--frames {arguments.frames}: accepted is LEAST-MOST, such as 10-12, '
                         'from 2 to 1000')
    return least, most


def _check(arguments: Namespace, shortest: int) -> None:
    for name, least in (('clips', 1), ('first', 0), ('seed', 0)):
        if getattr(arguments, name) < least:
            raise InputError(f'--{name} {getattr(arguments, name)}: accepted is {least} or more')
    if shortest < 64:
        raise InputError(f'--size {arguments.size}: 64 pixels are the least')
    if arguments.depth and arguments.layout != 'training':
        raise InputError('--depth belongs to --layout training: DAVIS-2017 has no depth')
