# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the weights are those that were published."""
from __future__ import annotations

import hashlib
from pathlib import Path

from stm_ros.doctor.findings import Finding
from stm_ros.doctor.findings import fault
from stm_ros.doctor.findings import ok
from stm_ros.inference.judge import judge_of
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
from stm_ros.networks.checkpoints import CheckpointError
from stm_ros.networks.checkpoints import load_network

SUMS = 'SHA256SUMS'
_POINTER = b'version https://git-lfs'
_AGAIN = ('fetch it again: `git checkout -- stm_ros/weights` in the repository, or '
          '`pip install --force-reinstall .`')


def check_shipped_weights(folder: Path = SHIPPED_WEIGHTS.parent) -> list[Finding]:
    """Compare each file that SHA256SUMS of `folder` names with its sum."""
    sums = folder / SUMS
    if not sums.is_file():
        return [fault('weights', f'{sums} is missing: nobody can say whether the weights are whole',
                      _AGAIN)]
    findings = []
    for line in sums.read_text(encoding='utf-8').splitlines():
        wanted, _, name = line.partition('  ')
        findings.append(_check_file(folder / name, wanted))
    return findings


def _check_file(path: Path, wanted: str) -> Finding:
    if not path.is_file():
        return fault('weights', f'{path.name} is missing', _AGAIN)
    content = path.read_bytes()
    if content.startswith(_POINTER):
        return fault('weights', f'{path.name} is a pointer of Git LFS, not the weights',
                     '`git lfs install && git lfs pull`')
    if hashlib.sha256(content).hexdigest() != wanted:
        return fault('weights', f'{path.name} is not the published file: its SHA-256 differs',
                     _AGAIN)
    return ok('weights', f'{path.name}, {len(content) / 1e6:.1f} MB, SHA-256 {wanted[:12]}...')


def check_given_weights(model: str, weights: str) -> list[Finding]:
    """Whether `weights` (a path, or a name of shipped ones) fit the network `model`."""
    try:
        network = load_network(model, weights)
    except CheckpointError as error:
        return [fault('weights', str(error), '`stm weights check FILE` says what a file holds')]
    calibrated = judge_of(network).is_calibrated
    return [ok('weights', f'{weights} fits {model}, '
               + ('calibrated' if calibrated else 'its confidence is not calibrated'))]
