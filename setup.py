# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`pip install .`: the Python part of stm_ros. ROS builds the same folder with CMakeLists.txt."""

import shutil
from pathlib import Path

from setuptools import find_packages
from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def pins(name: str) -> list[str]:
    """Return the requirements of requirements/<name>.txt, those of files it includes first."""
    found: list[str] = []
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
        if line.startswith('-r '):
            found += pins(line.removeprefix('-r ').removesuffix('.txt'))
        elif line and not line.startswith('#'):
            found.append(line)
    return found


class BuildWithInterfaces(build_py):
    """Copies msg/ and srv/ into the package: `stm replay` writes them into bags."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder in ('msg', 'srv'):
            target = Path(self.build_lib) / 'stm_ros' / 'interfaces' / folder
            shutil.copytree(ROOT / folder, target, dirs_exist_ok=True)


setup(
    packages=find_packages(include=['stm_ros', 'stm_ros.*']),
    install_requires=pins('run'),
    extras_require={name: pins(name) for name in (
        'train', 'eval', 'replay', 'demo', 'console', 'dev', 'render', 'fleet')},
    cmdclass={'build_py': BuildWithInterfaces},
)
