# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm context`: where a view is spoiled, does a target's context hold a clean one?"""
import json
from argparse import ArgumentParser
from argparse import Namespace
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.evaluate import changed_config
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.output_folder import write_result

if TYPE_CHECKING:
    from stm_ros.evaluation.context import Pair

_CASES = ('deformation', 'look_alike', 'leave_10')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of `stm context`."""
    parser.add_argument('--root', type=Path, help='folder laid out like DAVIS (default: clips that '
                        'are generated)')
    parser.add_argument('--split', help='of that folder')
    parser.add_argument('--sequences', default='', help='of that folder: names with commas')
    parser.add_argument('--protocol', default='davis2016', choices=('davis2016', 'davis2017'),
                        help='davis2016 takes all objects of a sequence as one (%(default)s)')
    parser.add_argument('--clips', type=int, default=2, help='generated, of each of '
                        f'{", ".join(_CASES)} (%(default)s)')
    parser.add_argument('--size', default='640x480', metavar='WxH', help='of generated clips '
                        '(%(default)s)')
    parser.add_argument('--strength', type=int, default=3, choices=(1, 2, 3),
                        help='of blur, darkness and deformation (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of everything (%(default)s)')
    parser.add_argument('--max-frames', type=int, help='of each sequence')
    parser.add_argument('--model', default='stm_lite', choices=('stm', 'stm_lite'))
    parser.add_argument('--weights', type=Path, help='checkpoint (default: the shipped weights)')
    parser.add_argument('--device', default='cpu', help='such as cpu or cuda (%(default)s)')
    parser.add_argument('--threads', type=int, default=1,
                        help='processor threads; 0 leaves it to torch (%(default)s)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        dest='settings', help='a field of TrackerConfig; may be repeated')
    parser.add_argument('--out', type=Path, help='file for the figures as JSON')


def run(arguments: Namespace) -> int:
    """Measure, and print a table by what spoiled the view.

    Raises InputError (or CheckpointError, OSError) where an argument cannot be used.
    """
    if arguments.clips < 1 or (arguments.max_frames or 1) < 1:
        raise InputError('--clips and --max-frames take 1 or more')
    if arguments.out is not None:
        given = [each for each in (arguments.root, arguments.weights) if each is not None]
        OutputFolder(arguments.out.parent, [arguments.out.name], given, shared=True)
    from itertools import islice

    import torch

    from stm_ros.evaluation.context import SPOILERS
    from stm_ros.evaluation.context import as_text
    from stm_ros.evaluation.context import measure_context
    from stm_ros.evaluation.context import score_context
    from stm_ros.tracking import Tracker

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    tracker = Tracker.from_pretrained(arguments.model, arguments.weights, arguments.device,
                                      changed_config({}, arguments.settings))
    frames = []
    for name, pairs in _videos(arguments):
        found = measure_context(tracker, name, islice(pairs, arguments.max_frames),
                                arguments.strength, arguments.seed)
        frames += found
        print(f'{name}: {len(found)} spoiled views', flush=True)
    groups = [*((name, [frame for frame in frames if frame.spoiler == name])
                for name in SPOILERS), ('all', frames)]
    rows = [(name, score) for name, group in groups
            if (score := score_context(group)) is not None]
    if not rows:
        raise InputError('no frame was spoiled in which a target was in view; the videos are '
                         'too short')
    print(as_text(rows))
    if arguments.out is not None:
        settings = {key: value if isinstance(value, (int, list)) else str(value)
                    for key, value in vars(arguments).items()}
        write_result(arguments.out, (json.dumps(
            {'settings': settings, 'fingerprint': tracker.fingerprint,
             'scores': {name: asdict(score) for name, score in rows}}, indent=2) + '\n').encode())
        print(f'written: {arguments.out}')
    return 0


def _videos(arguments: Namespace) -> Iterator[tuple[str, 'Iterable[Pair]']]:
    from stm_ros.benchmark.settings import parse_size
    from stm_ros.evaluation.context import clip_frames
    from stm_ros.evaluation.context import video_frames
    from stm_ros.evaluation.datasets import load_benchmark
    from stm_ros.evaluation.sequences import Protocol
    from stm_ros.synthetic.reliability_clips import ReliabilityClip

    if arguments.root is not None:
        wanted = [name for name in arguments.sequences.split(',') if name]
        for video in load_benchmark(Protocol(arguments.protocol), arguments.root, arguments.split,
                                    wanted).sequences:
            yield video.name, video_frames(video)
        return
    width, height = parse_size(arguments.size)
    for case in _CASES:
        for number in range(arguments.clips):
            clip = ReliabilityClip(case, number, (height, width), arguments.seed)
            yield f'{case}_{number}', clip_frames(clip)
