# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm replay`: track through a recorded bag, a video or a folder of images."""
import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import torch

from stm_ros.cli.prompting import add_segmenter_option
from stm_ros.cli.prompting import chosen_segmenter
from stm_ros.cli.replay_more import add_more_arguments
from stm_ros.cli.replay_more import against_baseline
from stm_ros.cli.replay_more import bag_of
from stm_ros.cli.replay_more import check_more
from stm_ros.cli.replay_more import open_sources
from stm_ros.cli.replay_more import publish
from stm_ros.cli.replay_more import replay_several
from stm_ros.replay.offline import REPORT
from stm_ros.replay.offline import ReplaySummary
from stm_ros.replay.offline import replay
from stm_ros.replay.reference import show_reference
from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.sources import ImageSource
from stm_ros.replay.writers import BAG_STORAGES
from stm_ros.replay.writers import result_output
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import read_image
from stm_ros.vision.masks import one_label
from stm_ros.vision.prompts import parse_box

_BAG_SUFFIXES = ('.mcap', '.db3')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('source', help='rosbag2 folder or file (.mcap, .db3), video file, folder '
                        'of images, pattern such as frames/%%05d.png, or "demo" for a clip '
                        'composed of photographs')
    parser.add_argument('--topic', action='append', metavar='[STREAM=]TOPIC', help='image topic of '
                        'the bag; needed where it has several. Given again, all are tracked '
                        'together, each a stream')
    parser.add_argument('--reference-image', help='picture of the target; the first frame if left '
                        'out')
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument('--reference-mask', help='mask of the target in that picture: 0 and 255, '
                       'or target ids')
    shown.add_argument('--box', metavar='X,Y,W,H', help='box around the target in that picture; '
                       'it is turned into a mask')
    parser.add_argument('--target-id', type=int, help='id of the one target that is shown, 1..254 '
                        '(default 1; a mask of ids names its targets itself)')
    parser.add_argument('--label', help='name of the one target that is shown')
    parser.add_argument('--out', help='folder for annotated.mp4, masks/, '
                        'predictions.json and bag/')
    parser.add_argument('--storage', choices=(*BAG_STORAGES, 'none'), default='mcap',
                        help='storage of the result bag, or none (default mcap)')
    parser.add_argument('--rate', type=float, default=DEFAULT_RATE, help='frames per second of '
                        f'images in a folder (default {DEFAULT_RATE:g})')
    parser.add_argument('--max-frames', type=int, help='stop after so many frames')
    parser.add_argument('--model', default='stm_lite', help='network (default stm_lite)')
    parser.add_argument('--weights', help='its weights; the shipped ones if left out')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default cpu)')
    add_segmenter_option(parser)
    add_more_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay, print how it went, and return the exit code."""
    if arguments.max_frames is not None and arguments.max_frames < 1:
        raise InputError(f'--max-frames {arguments.max_frames} is less than one')
    check_more(arguments)
    _check_rosbags(arguments)
    if arguments.publish:
        return publish(arguments)
    box = None if arguments.box is None else parse_box(arguments.box)
    bag = bag_of(arguments)
    inputs = [each for each in (arguments.source, arguments.reference_mask,
                                arguments.reference_image, arguments.weights) if each is not None]
    sources = open_sources(arguments)
    source = next(iter(sources.values()))
    # before any work: what is in the way is not found out after an hour
    for name in [''] if len(sources) == 1 else sources:
        result_output(Path(arguments.out) / name, bag, inputs, (REPORT,))
    # the same input must give the same bytes; warn where a device cannot promise that
    torch.use_deterministic_algorithms(True, warn_only=True)
    tracker = Tracker.from_pretrained(arguments.model, arguments.weights, arguments.device,
                                      TrackerConfig(max_streams=len(sources)))
    if tracker.runner.judge.note:
        print(f'stm: note: {tracker.runner.judge.note}', file=sys.stderr)

    def show_first(first: Frame) -> None:
        image = (first.image if arguments.reference_image is None
                 else read_image(arguments.reference_image))
        picture = arguments.reference_image or _file_of_first(source)
        shown = show_reference(image, picture, arguments.reference_mask, box,
                               target_id=arguments.target_id,
                               segmenter=chosen_segmenter(arguments))
        print(f'mask: {shown.meaning}')
        # a picture of another occasion says nothing about where the target is now
        tracker.add_reference(image, shown.label_map, one_label(arguments.label, shown),
                              stream=next(iter(sources)), stamp_ns=first.stamp_ns,
                              place_hint=arguments.reference_image is None)

    if len(sources) > 1:
        return replay_several(arguments, tracker, show_first, _show_progress, inputs)
    started = time.monotonic()
    summary = replay(
        source, tracker, arguments.out, show_first,
        bag_storage=bag, limit=arguments.max_frames, inputs=inputs, on_frame=_show_progress)
    for note in source.notes:
        print(f'stm: note: {note}', file=sys.stderr)
    _report(summary, time.monotonic() - started, Path(arguments.out), tracker)
    return against_baseline(arguments)


def _file_of_first(source: FrameSource) -> Path | None:
    return source.paths[0] if isinstance(source, ImageSource) else None


def _check_rosbags(arguments: argparse.Namespace) -> None:
    if find_spec('rosbags') is not None:
        return
    path = Path(arguments.source)
    if path.suffix in _BAG_SUFFIXES or (path / 'metadata.yaml').exists():
        raise InputError(f"{path} is a bag, and rosbags, which reads it, is not installed: "
                         "pip install 'stm_ros[replay]'")
    if arguments.storage != 'none':
        raise InputError('rosbags, which writes the result bag, is not installed: '
                         "pip install 'stm_ros[replay]', or --storage none for no bag")


def _show_progress(index: int) -> None:
    if sys.stderr.isatty():
        print(f'\rframe {index + 1}', end='', file=sys.stderr, flush=True)


def _report(summary: ReplaySummary, seconds: float, folder: Path, tracker: Tracker) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f'{summary.frames} frames in {seconds:.1f} s ({summary.frames / seconds:.1f} per second)')
    for target_id, confidence in summary.mean_confidence.items():
        print(f'target {target_id} ({tracker.targets[target_id]}): mean confidence '
              f'{confidence:.2f}, lost in {summary.frames_lost[target_id]} frames')
    print(f'written: {folder}/annotated.mp4, {folder}/predictions.json, {folder}/masks/'
          + (f', {folder}/bag/' if (folder / 'bag').exists() else ''))
    print(f'report: {folder}/report.html')
