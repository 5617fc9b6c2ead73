# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The demo from start to end: start the node, send each clip, print what came back."""
import sys
from collections.abc import Callable
from pathlib import Path

from stm_ros.apps.demo.client import DemoClient
from stm_ros.apps.demo.client import DemoError
from stm_ros.apps.demo.process import NodeProcess
from stm_ros.apps.demo.session import Report
from stm_ros.apps.demo.session import run_session
from stm_ros.replay.demo_clips import DemoClip

_START_SECONDS = 90.0


def show_clips(clips: list[tuple[Path, Callable[[], DemoClip]]], log: Path,
               parameters: dict[str, str]) -> int:
    """
    Send clips through a node of their own, each into its folder, and print how it went.

    :param clips: folder, and what makes the clip once it is its turn.
    :param log: file for what the node prints.
    :param parameters: the node's.
    :return: exit code: 0, or 1 with the reason printed, or 130 where the user broke off.
    """
    with NodeProcess(log, parameters) as node:
        def check() -> None:
            if node.exit_code() is not None:
                raise DemoError(f'the node ended with exit code {node.exit_code()}')
        print('starting the node stm_tracker in its own process', flush=True)
        try:
            with DemoClient() as client:
                client.wait_for_node(_START_SECONDS, check)
                for folder, make in clips:
                    client.reset()
                    _show(client, make(), folder)
        except KeyboardInterrupt:
            print(f'\nstm: interrupted; what was answered until then is in {log.parent}',
                  file=sys.stderr)
            return 130
        except DemoError as error:
            print(f'stm: error: {error}; the node last said ({log}):\n{node.last_words()}',
                  file=sys.stderr)
            return 1
    print('demo: success')
    return 0


def _show(client: DemoClient, clip: DemoClip, folder: Path) -> None:
    print(f'\n{clip.name}; showing {", ".join(clip.labels.values())}', flush=True)
    about = {'tool': 'stm', 'source': clip.name,
             'targets': {str(key): label for key, label in clip.labels.items()}}
    report = run_session(client, clip, folder, about, _show_progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    _print_report(report, folder)


def _show_progress(index: int) -> None:
    if sys.stderr.isatty():
        print(f'\rframe {index + 1}', end='', file=sys.stderr, flush=True)


def _print_report(report: Report, folder: Path) -> None:
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
