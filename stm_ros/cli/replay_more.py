# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm replay` with several topics, onto a live graph, or against an earlier result."""
import argparse
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path

from stm_ros.replay.bag_options import BagOptions
from stm_ros.replay.demo_clips import open_source_or_demo
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.tracking import Tracker
from stm_ros.vision.errors import InputError

MIN_IOU = 0.95
_STREAM = 'camera'


def add_more_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--bag-images', action='store_true',
                        help='put the images into the result bag too')
    parser.add_argument('--expect', metavar='BASELINE', type=Path, help='folder that an earlier '
                        'replay wrote: exit code 1 where masks differ from it, with the first '
                        'frame that does')
    parser.add_argument('--min-iou', type=float, default=MIN_IOU, help='with --expect: least IoU '
                        'of each mask with the earlier one (default %(default)s)')
    parser.add_argument('--publish', action='store_true', help='do not track: publish the images '
                        'on `image` (with several topics on <stream>/image) and /clock, as they '
                        'were recorded, for a node that runs')
    parser.add_argument('--speed', type=float, default=1.0, help='with --publish: so many times as '
                        'fast (default %(default)s)')
    parser.add_argument('--hold', type=float, default=0.0, metavar='SECONDS', help='with '
                        '--publish: stay at the first image for so long, so that a target can be '
                        'shown on it (default %(default)g)')


def check_more(arguments: argparse.Namespace) -> None:
    """Check what is needed together, before anything is read or written.

    :raises InputError: where something is missing, out of range, or would overwrite the baseline.
    """
    if not arguments.speed > 0:
        raise InputError(f'--speed {arguments.speed} is not positive')
    if not 0 <= arguments.hold < float('inf'):
        raise InputError(f'--hold {arguments.hold} is not 0 or a number of seconds')
    if not 0 <= arguments.min_iou <= 1:
        raise InputError(f'--min-iou {arguments.min_iou} is outside 0..1')
    if arguments.publish:
        return
    if arguments.out is None:
        raise InputError('--out is needed: the folder for what is found')
    if arguments.reference_mask is None and arguments.box is None:
        raise InputError('the target is shown by --reference-mask or --box')
    if arguments.expect is None:
        return
    from stm_ros.replay.baseline import check_baseline
    for folder in _result_folders(arguments.expect, list(topics_of(arguments))):
        check_baseline(folder)
    if arguments.expect.resolve() == Path(arguments.out).resolve():
        raise InputError(f'--out and --expect are both {arguments.out}; the baseline would be '
                         'overwritten')


def topics_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """The topics to read by stream; one stream without a topic where none was given."""
    words = arguments.topic or []
    if len(words) <= 1:
        # a name before the topic is of use with several only
        return {_STREAM: words[0].rpartition('=')[2] if words else None}
    from stm_ros.replay.several import stream_topics
    return dict(stream_topics(words))


def open_sources(arguments: argparse.Namespace) -> dict[str, FrameSource]:
    """The sources by stream."""
    return {name: open_source_or_demo(arguments.source, topic, arguments.rate)
            for name, topic in topics_of(arguments).items()}


def publish(arguments: argparse.Namespace) -> int:
    """Play onto the graph; the exit code."""
    try:
        from stm_ros.node.playback import play
    except ImportError as error:
        raise InputError(f'--publish needs ROS 2, which this Python does not find: {error}'
                         ) from error
    said = play(open_sources(arguments), arguments.speed, arguments.max_frames, arguments.hold)
    for name, count in said.frames.items():
        print(f'{name}: {count} images published')
    return 0


def replay_several(arguments: argparse.Namespace, tracker: Tracker,
                   show_reference: Callable[[Frame], None], on_frame: Callable[[int], None],
                   inputs: Iterable[str | Path] = ()) -> int:
    """Track through several topics, a folder each; the exit code."""
    from stm_ros.replay.several import replay_streams
    said = replay_streams(open_sources(arguments), tracker, arguments.out, show_reference,
                          bag=bag_of(arguments), limit=arguments.max_frames, inputs=inputs,
                          on_frame=on_frame)
    for name, summary in said.items():
        print(f'{name}: {summary.frames} frames')
        for target_id, confidence in summary.mean_confidence.items():
            print(f'  target {target_id} ({tracker.targets[target_id]}): mean confidence '
                  f'{confidence:.2f}, lost in {summary.frames_lost[target_id]} frames')
    print(f'written: {arguments.out}/{{{",".join(said)}}}')
    return against_baseline(arguments)


def bag_of(arguments: argparse.Namespace) -> BagOptions | None:
    """How the result bag is written, None for none."""
    if arguments.storage == 'none':
        return None
    return BagOptions(arguments.storage, with_images=arguments.bag_images)


def against_baseline(arguments: argparse.Namespace) -> int:
    """Compare what was written with --expect, if that was given; the exit code."""
    if arguments.expect is None:
        return 0
    from stm_ros.replay.baseline import compare_with_baseline
    names = list(topics_of(arguments))
    status = 0
    for new, old in zip(_result_folders(Path(arguments.out), names),
                        _result_folders(arguments.expect, names), strict=True):
        said = compare_with_baseline(new, old, arguments.min_iou)
        print(f'{new} against {old}: least IoU {said.least_iou:.3f}, mean {said.mean_iou:.3f}, '
              f'{said.different} of {said.frames} frames differ')
        if said.first is not None:
            status = 1
            print(f'first difference: frame {said.first.frame} (stamp '
                  f'{said.first.stamp_ns / 1e9:.9f}): {said.first.what}')
    return status


def _result_folders(folder: Path, names: list[str]) -> list[Path]:
    return [folder] if len(names) == 1 else [folder / name for name in names]
