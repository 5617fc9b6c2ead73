# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Python, the packages, torch, the device, memory and disk."""
from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

import torch

from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import fault
from stm_ros.doctor.findings import note
from stm_ros.doctor.findings import ok

OLDEST, NEWEST = (3, 10), (3, 13)
LEAST_MEMORY = 1_500_000_000
LEAST_DISK = 200_000_000
COMFORTABLE_DISK = 2_000_000_000
_OPENCV_PACKAGES = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
                    'opencv-contrib-python-headless')


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> list[Finding]:
    """Whether this Python is one that stm_ros is written for."""
    name = f'{version[0]}.{version[1]} at {sys.executable}'
    accepted = f'{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}'
    if version < OLDEST:
        return [fault('Python', f'{name} is too old', f'use Python {accepted}: '
                      '`make setup PYTHON=python3.11`')]
    if version > NEWEST:
        return [note('Python', f'{name} is newer than what was tried', f'if something fails, use '
                     f'Python {accepted}')]
    return [ok('Python', name)]


def check_packages(requirements: list[str] | None = None) -> list[Finding]:
    """
    Whether what stm_ros was tested with is installed, in that version.

    :param requirements: `name==version` each; those that stm_ros was installed with if left out.
    """
    if requirements is None:
        try:
            requirements = [line for line in metadata.requires('stm_ros') or []
                            if 'extra ==' not in line]
        except metadata.PackageNotFoundError:
            requirements = []
    if not requirements:
        # colcon installs the interfaces' egg-info, which asks for nothing
        return [*_check_opencv(),
                ok('packages', 'stm_ros was built by colcon, which pins no versions')]
    absent, other = [], []
    for line in requirements:
        name, _, wanted = re.split(r'[;\s]', line)[0].partition('==')
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(line)
            continue
        if wanted and found.partition('+')[0] != wanted:
            other.append(f'{name} {found} instead of {wanted}')
    findings = _check_opencv()
    if absent:
        findings.append(fault('packages', f'missing: {", ".join(absent)}',
                              f'pip install {" ".join(absent)}'))
    if other:
        findings.append(note('packages', f'not what was tested: {", ".join(other)}',
                             'if something fails, `make setup` makes a .venv of the tested ones'))
    if not absent and not other:
        findings.append(ok('packages', f'{len(requirements)} as tested'))
    return findings


def _check_opencv() -> list[Finding]:
    there = [name for name in _OPENCV_PACKAGES if _is_installed(name)]
    if len(there) > 1:
        return [fault('OpenCV', f'{" and ".join(there)} overwrite one another',
                      f'pip uninstall -y {" ".join(there)} && pip install {there[0]}')]
    return []


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_torch(load: float | None = None) -> list[Finding]:
    """
    Whether torch computes, and whether the processor has time for it.

    :param load: processes that want a processor; the system's load of the last minute if left out.
    """
    product = torch.ones(64, 64) @ torch.ones(64, 64)
    if not bool((product == 64).all()):
        return [fault('torch', f'{torch.__version__} multiplies wrongly on this processor',
                      'reinstall torch: pip install --force-reinstall torch')]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    findings = [ok('torch', f'{torch.__version__}, {torch.get_num_threads()} threads on {cores} '
                   f'cores, {torch.backends.cpu.get_cpu_capability()}, computes')]
    load = os.getloadavg()[0] if load is None else load
    if cores and load > 0.8 * cores:
        findings.append(note('load', f'{load:.1f} processes want {cores} cores',
                             'set the parameter `threads: 1`: threads that wait for each other '
                             'cost more than they bring'))
    return findings


def check_device(device: str = 'auto', dev: Path = Path('/dev')) -> list[Finding]:
    """
    Whether `device` (as the node's parameter) can be used, and whether a GPU lies idle.

    :param dev: where the system lists its devices.
    """
    built = torch.version.cuda
    has_card = (dev / 'nvidia0').exists()
    if device not in ('auto', 'cpu'):
        try:
            torch.ones(1, device=device).add_(1).cpu()
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            return [fault('device', f'{device!r} cannot be used: {reason}', 'use `device: cpu`, or '
                          '`make setup STM_TORCH=cuda` on a machine with an NVIDIA driver')]
        return [ok('device', f'{device} computes')]
    if torch.cuda.is_available():
        return [ok('device', f'cuda: {torch.cuda.get_device_name()}')]
    if has_card and built is None:
        return [note('device', 'cpu, though there is an NVIDIA card: this torch has no CUDA',
                     '`make setup STM_TORCH=cuda`')]
    if has_card:
        return [note('device', 'cpu, though there is an NVIDIA card and torch has CUDA '
                     f'{built}', '`nvidia-smi` says whether the driver works; a container needs '
                     '--gpus all')]
    return [ok('device', 'cpu')]


def check_memory(least: int = LEAST_MEMORY, meminfo: Path = Path('/proc/meminfo')
                 ) -> list[Finding]:
    """Whether `least` bytes of main memory are free."""
    try:
        text = meminfo.read_text()
    except OSError:
        return []
    found = re.search(r'MemAvailable:\s*(\d+) kB', text)
    if found is None:
        return []
    free = 1024 * int(found.group(1))
    if free < least:
        return [note('memory', f'{free / 1e9:.1f} GB free; {least / 1e9:.1f} are comfortable',
                     'close other programs, or set memory.max_frames or input_size lower')]
    return [ok('memory', f'{free / 1e9:.1f} GB free')]


def check_disk(folder: Path, subject: str, least: int = LEAST_DISK,
               comfortable: int = COMFORTABLE_DISK) -> list[Finding]:
    """Whether `folder`, or what it will be made in, takes files, and has room for them."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return [fault(subject, f'{folder}: {place} is a file, not a folder',
                      'name another folder, or move the file away')]
    if not os.access(place, os.W_OK):
        return [fault(subject, f'{folder}: {place} cannot be written to',
                      'name another folder, or ask its owner for write access')]
    free = shutil.disk_usage(place).free
    words = f'{free / 1e9:.1f} GB free in {place}'
    if free < least:
        return [fault(subject, words, 'make room: nothing can be saved there')]
    if free < comfortable:
        return [note(subject, words, 'make room before long recordings: an hour of results takes '
                     'about a gigabyte')]
    return [ok(subject, words)]
