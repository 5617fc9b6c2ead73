# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm doctor`: look at this machine, and say what to do about what is found."""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import as_text
from stm_ros.doctor.findings import exit_code
from stm_ros.doctor.machine import check_device
from stm_ros.doctor.machine import check_disk
from stm_ros.doctor.machine import check_memory
from stm_ros.doctor.machine import check_packages
from stm_ros.doctor.machine import check_python
from stm_ros.doctor.machine import check_torch
from stm_ros.doctor.ros import check_discovery
from stm_ros.doctor.ros import check_ros
from stm_ros.doctor.ros import check_transport
from stm_ros.doctor.topic import check_topic
from stm_ros.doctor.weights import check_given_weights
from stm_ros.doctor.weights import check_shipped_weights
from stm_ros.vision.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--topic', help='a camera topic to listen to, such as /camera/image_raw: '
                        'type, QoS, rate, loss, stamps')
    parser.add_argument('--seconds', type=float, default=5.0,
                        help='how long to listen (%(default)g)')
    parser.add_argument('--device', default='auto', help='the device that you mean to use, such '
                        'as cuda (%(default)s)')
    parser.add_argument('--model', default='stm_lite', help='the network that --weights belong to '
                        '(%(default)s)')
    parser.add_argument('--weights', help='weights of your own to look at')
    parser.add_argument('--out', type=Path, default=Path('runs'),
                        help='folder that results shall go to (%(default)s)')
    parser.add_argument('--snapshots', type=Path, default=Path('~/.ros/stm_ros'),
                        help="the node's snapshot_dir (%(default)s)")
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 where something has to be mended, else 0."""
    if not 0 < arguments.seconds <= 600:
        raise InputError(f'--seconds {arguments.seconds:g}: 0 to 600 is accepted')
    findings = _look(arguments)
    if arguments.json:
        print(json.dumps([{**asdict(item), 'level': item.level.value} for item in findings],
                         indent=2))
    else:
        print(as_text(findings))
    return exit_code(findings)


def _look(arguments: argparse.Namespace) -> list[Finding]:
    findings = [*check_python(), *check_packages(), *check_torch(),
                *check_device(arguments.device), *check_memory(), *check_shipped_weights()]
    if arguments.weights:
        findings += check_given_weights(arguments.model, arguments.weights)
    findings += check_disk(arguments.out.resolve(), 'results')
    on_ros, middleware = check_ros()
    findings += on_ros
    if middleware is not None:
        findings += check_disk(arguments.snapshots.expanduser(), 'snapshots')
        findings += check_discovery()
        findings += check_transport(middleware)
    if arguments.topic:
        findings += check_topic(arguments.topic, arguments.seconds)
    return findings
