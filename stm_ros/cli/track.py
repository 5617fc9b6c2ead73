# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm track`: follow targets through a video, a folder of images or a camera, without ROS."""
from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import torch

from stm_ros.cli.evaluate import changed_config
from stm_ros.cli.prompting import add_segmenter_option
from stm_ros.cli.prompting import chosen_segmenter
from stm_ros.cli.settings import add_set_option
from stm_ros.cli.window import Window
from stm_ros.cli.window import why_no_window
from stm_ros.replay.camera import CameraSource
from stm_ros.replay.camera import is_camera
from stm_ros.replay.demo_clips import open_source_or_demo
from stm_ros.replay.offline import REPORT
from stm_ros.replay.offline import ReplaySummary
from stm_ros.replay.offline import replay
from stm_ros.replay.showing import Reference
from stm_ros.replay.showing import reference_of_mask
from stm_ros.replay.showing import reference_of_prompts
from stm_ros.replay.sources import DEFAULT_RATE
from stm_ros.replay.sources import Frame
from stm_ros.replay.sources import FrameSource
from stm_ros.replay.sources import ImageSource
from stm_ros.replay.writers import result_output
from stm_ros.tracking import Result
from stm_ros.tracking import Tracker
from stm_ros.vision.errors import InputError
from stm_ros.vision.image_files import IMAGE_SUFFIXES
from stm_ros.vision.image_files import read_image
from stm_ros.vision.image_files import write_image
from stm_ros.vision.output_folder import OutputFolder
from stm_ros.vision.prompts import Point
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import along
from stm_ros.vision.prompts import parse_box

_REHEARSALS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('source', metavar='VIDEO|FOLDER|CAMERA', help='video file; folder or '
                        'pattern of images; camera number, /dev/videoN, or URL of a stream; '
                        '"demo" for a clip composed of photographs')
    shown = parser.add_argument_group('the target', 'in the first frame, or in --image')
    shown.add_argument('--box', action='append', default=[], metavar='X,Y,W,H',
                       help='box around it in pixels; again for each further target')
    shown.add_argument('--point', action='append', default=[], metavar='X,Y',
                       help='point on it; may be repeated, also inside a --box')
    shown.add_argument('--not-point', action='append', default=[], metavar='X,Y',
                       help='point that is not on it')
    shown.add_argument('--scribble', action='append', default=[], metavar='"X,Y X,Y ..."',
                       help='line drawn over it, by its corners; may be repeated')
    shown.add_argument('--mask', help='picture of 0 and 255, or of target ids')
    shown.add_argument('--click', action='store_true', help='draw it in a window')
    shown.add_argument('--label', action='append', default=[], metavar='NAME',
                       help='its name; again for each further target')
    shown.add_argument('--image', help='picture in which it is shown, where that is not the first '
                       'frame')
    shown.add_argument('--first-frame', metavar='FILE', help='only write the first frame to FILE, '
                       'to read a box off it')
    output = parser.add_argument_group('what comes out')
    output.add_argument('--out', default='runs/track', help='folder for report.html, '
                        'annotated.mp4, masks/ and predictions.json (%(default)s)')
    output.add_argument('--show', action='store_true', help='watch in a window; q stops')
    output.add_argument('--max-frames', type=int, metavar='N', help='stop after N frames')
    output.add_argument('--rate', type=float, default=DEFAULT_RATE, help='frames per second of '
                        'images in a folder (%(default)g)')
    network = parser.add_argument_group('the network')
    network.add_argument('--model', default='stm_lite', help='(%(default)s)')
    network.add_argument('--weights', help='its weights; the shipped ones if left out')
    network.add_argument('--device', default='cpu', help='cpu or cuda (%(default)s)')
    add_segmenter_option(network)
    add_set_option(network)


def run(arguments: argparse.Namespace) -> int:
    """Follow the targets, print how it went, and return the exit code."""
    _check(arguments)
    inputs = [each for each in (arguments.source, arguments.mask, arguments.image,
                                arguments.weights) if each is not None]
    if not arguments.first_frame:
        # before any work: what is in the way is not found out after an hour
        result_output(arguments.out, None, inputs, (REPORT,))
    source = _open(arguments)
    if arguments.first_frame:
        return _write_first_frame(source, arguments.first_frame)
    window = _window(arguments)
    # the same input must give the same masks; warn where a device cannot promise that
    torch.use_deterministic_algorithms(True, warn_only=True)
    config = changed_config({}, arguments.settings)
    tracker = Tracker.from_pretrained(arguments.model, arguments.weights, arguments.device, config)
    if tracker.runner.judge.note:
        print(f'stm: note: {tracker.runner.judge.note}', file=sys.stderr)
    progress = Progress(_frame_count(source, arguments.max_frames))

    def show_reference(first: Frame) -> None:
        image = first.image if arguments.image is None else read_image(arguments.image)
        reference = _reference(arguments, image, window, arguments.image or _first_file(source))
        print(f'mask: {reference.meaning}')
        # a picture of another occasion says nothing about where the target is now
        tracker.add_reference(image, reference.label_map, reference.labels,
                              stamp_ns=first.stamp_ns, place_hint=arguments.image is None)
        if isinstance(source, CameraSource):
            source.pace(_seconds_a_frame(tracker, first))

    with _interruptible(source) as interrupted:
        def watch(picture: np.ndarray, result: Result) -> bool:
            progress.show(result)
            is_watched = window is None or not arguments.show or window.show(picture)
            return is_watched and not interrupted

        summary = replay(source, tracker, arguments.out, show_reference, bag_storage=None,
                         limit=arguments.max_frames, inputs=inputs, watch=watch)
    if window is not None:
        window.close()
    progress.end()
    _print_summary(summary, progress, Path(arguments.out), tracker, source)
    return 0


class Progress:
    """A line on a terminal: frames, rate, and how each target does."""

    def __init__(self, expected: int | None) -> None:
        """Take the number of frames, None where nobody knows."""
        self._expected = expected
        self._count = 0
        self._started = time.monotonic()
        self._first: float | None = None

    @property
    def rate(self) -> float:
        """Frames a second since the first, which also waits for the network to warm up."""
        if self._first is None or self._count < 2:
            return self._count / max(time.monotonic() - self._started, 1e-9)
        return (self._count - 1) / max(time.monotonic() - self._first, 1e-9)

    def show(self, result: Result) -> None:
        """Count a frame and show it."""
        self._count += 1
        if self._first is None:
            self._first = time.monotonic()
        if sys.stderr.isatty():
            of = '' if self._expected is None else f' of {self._expected}'
            targets = ', '.join(f'{target.label or target.id} {target.state.name} '
                                f'{target.confidence:.2f}' for target in result.targets)
            line = f'frame {self._count}{of}, {self.rate:.1f} a second: {targets}'
            print(f'\r\033[K{line[:118]}', end='', file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.max_frames is not None and arguments.max_frames < 1:
        raise InputError(f'--max-frames {arguments.max_frames} is less than one')
    if arguments.first_frame and Path(arguments.first_frame).suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f'--first-frame {arguments.first_frame} names no picture; accepted are '
                         f'{", ".join(IMAGE_SUFFIXES)}')
    has_points = bool(arguments.point or arguments.not_point or arguments.scribble)
    given = {'--box, --point or --scribble': bool(arguments.box) or has_points,
             '--mask': bool(arguments.mask), '--click': arguments.click}
    ways = [name for name, is_given in given.items() if is_given]
    if arguments.first_frame:
        return
    if len(ways) != 1:
        raise InputError('the target is shown by --box, --point, --mask or --click'
                         + (f'; {" and ".join(ways)} exclude each other' if ways else
                            '; --first-frame FILE writes the frame to read a box off'))
    if has_points and len(arguments.box) > 1:
        raise InputError('points belong to one target; with several boxes leave them out')
    if arguments.click and (reason := why_no_window()) is not None:
        raise InputError(f'--click needs a window, but {reason}; --first-frame FILE writes the '
                         'frame, and --box X,Y,W,H shows the target')


def _open(arguments: argparse.Namespace) -> FrameSource:
    if is_camera(arguments.source):
        return CameraSource(arguments.source)
    return open_source_or_demo(arguments.source, rate=arguments.rate)


def _write_first_frame(source: FrameSource, path: str) -> int:
    first = next(iter(source), None)
    if first is None:
        raise InputError(f'{source.name} holds no image')
    target = Path(path)
    with OutputFolder(target.parent, (target.name,), [source.name], shared=True) as folder:
        write_image(folder.staging / target.name, first.image)
    height, width = first.image.shape[:2]
    print(f'written: {path}, {width}×{height} pixels')
    return 0


def _window(arguments: argparse.Namespace) -> Window | None:
    if not (arguments.show or arguments.click):
        return None
    if (reason := why_no_window()) is not None:
        print(f'--show: no window, for {reason}; the run goes on, and report.html shows it',
              file=sys.stderr)
        return None
    return Window()


def _first_file(source: FrameSource) -> Path | None:
    return source.paths[0] if isinstance(source, ImageSource) else None


def _reference(arguments: argparse.Namespace, image: np.ndarray, window: Window | None,
               image_file: str | Path | None) -> Reference:
    if arguments.mask:
        return reference_of_mask(image, arguments.mask, arguments.label, image_file)
    segmenter = chosen_segmenter(arguments)
    if window is not None and arguments.click:
        chosen = window.choose(image, segmenter)
        return reference_of_prompts(image, [chosen], arguments.label, segmenter)
    boxes = [parse_box(text) for text in arguments.box]
    points = [_point(text) for text in (*arguments.point, *arguments.not_point)]
    strokes = [along(_stroke(text)) for text in arguments.scribble]
    if not points and not strokes:
        prompts = [Prompt(box) for box in boxes]
        return reference_of_prompts(image, prompts, arguments.label, segmenter)
    on_target = (True,) * len(arguments.point) + (False,) * len(arguments.not_point)
    drawn = tuple(point for stroke in strokes for point in stroke)
    prompt = Prompt(boxes[0] if boxes else None, (*points, *drawn),
                    on_target + (True,) * len(drawn))
    return reference_of_prompts(image, [prompt], arguments.label, segmenter)


def _stroke(text: str) -> list[Point]:
    return [_point(part) for part in text.split()]


def _point(text: str) -> Point:
    try:
        x, y = (float(part) for part in text.split(','))
    except ValueError as error:
        raise InputError(f'{text!r} is no point; two numbers are accepted: x,y, such as 320,240'
                         ) from error
    return x, y


def _seconds_a_frame(tracker: Tracker, frame: Frame) -> float:
    """What one look takes, once the network is warm."""
    for _ in range(_REHEARSALS):
        started = time.monotonic()
        tracker.segment(frame.image)
    return time.monotonic() - started


def _frame_count(source: FrameSource, limit: int | None) -> int | None:
    """How many frames are to be expected, None where the source does not tell."""
    count = None
    if Path(source.name).is_file() and not isinstance(source, CameraSource):
        capture = cv2.VideoCapture(source.name)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        capture.release()
    known = [value for value in (count, limit) if value is not None and value > 0]
    return min(known) if known else None


@contextmanager
def _interruptible(source: FrameSource) -> Iterator[list[int]]:
    """The first Ctrl-C ends the run after the frame in hand, so that all files are complete."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if isinstance(source, CameraSource):
            source.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _print_summary(summary: ReplaySummary, progress: Progress, folder: Path, tracker: Tracker,
                   source: FrameSource) -> None:
    dropped = f', {source.dropped} passed over' if isinstance(source, CameraSource) else ''
    print(f'{summary.frames} frames{dropped}, {progress.rate:.1f} per second')
    for target_id, confidence in summary.mean_confidence.items():
        print(f'target {target_id} ({tracker.targets[target_id]}): mean confidence '
              f'{confidence:.2f}, lost in {summary.frames_lost[target_id]} frames')
    for note in source.notes:
        print(f'stm: note: {note}', file=sys.stderr)
    print(f'written: {folder}/annotated.mp4, {folder}/predictions.json, {folder}/masks/')
    print(f'report: {folder}/report.html')
