# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm weights`: check a checkpoint, convert it to safetensors, or average several."""
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.file_kinds import FileKind
from stm_ros.cli.file_kinds import expect_kind
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import new_file
from stm_ros.vision.output_folder import refuse_existing

if TYPE_CHECKING:
    from stm_ros.networks.interface import SpaceTimeNetwork


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('action', choices=('check', 'convert', 'average'),
                        help='check: does the file fit the network; convert: write safetensors; '
                             'average: the mean of several, of one training at different times')
    parser.add_argument('weights', type=Path, nargs='+', help='.pth or .safetensors')
    parser.add_argument('--model', choices=('stm', 'stm_lite'), default='stm',
                        help='the network it should fit (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='where to write (convert: beside the file)')
    parser.add_argument('--half', action='store_true', help='write float16, half the size')


def run(arguments: Namespace) -> int:
    """Check, convert or average.

    :raises CheckpointError: where a file does not fit.
    :raises InputError: for a number of files or an --out that the action does not take.
    """
    from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
    from stm_ros.networks.checkpoints import load_network
    action, paths = arguments.action, arguments.weights
    if (len(paths) > 1) != (action == 'average'):
        raise InputError(f'{action} takes {"two or more files" if action == "average" else "one"}'
                         f'; {len(paths)} given')
    if action == 'average' and arguments.out is None:
        raise InputError('average needs --out')
    out = arguments.out or paths[0].with_suffix('.safetensors')
    for path in paths:
        if str(path) not in SHIPPED_BY_NAME:
            expect_kind(path, FileKind.WEIGHTS, '.pth or .safetensors')
    if action != 'check':
        _check_out(out, paths)
    networks = [load_network(arguments.model, path) for path in paths]
    for path, network in zip(paths, networks, strict=True):
        count = sum(tensor.numel() for tensor in network.parameters())
        print(f'{path} fits {arguments.model}: {count / 1e6:.1f} million parameters')
        for name, value in sorted(network.metadata.items()):
            print(f'  {name}: {value}')
    if action != 'check':
        _write(networks, out, arguments.half)
    return 0


def _check_out(out: Path, paths: list[Path]) -> None:
    if out.resolve() in {path.resolve() for path in paths}:
        raise InputError(f'{out} would overwrite its source; name another with --out')
    refuse_existing(out)


def _write(networks: 'list[SpaceTimeNetwork]', out: Path, half: bool) -> None:
    """Write the mean of networks of one kind; what they are calibrated for only if it is one."""
    from safetensors.torch import save_file
    states = [network.state_dict() for network in networks]
    state = {}
    for name, first in states[0].items():
        mean = sum(each[name].double() for each in states) / len(states)
        state[name] = (mean.half() if half and first.is_floating_point()
                       else mean.to(first.dtype)).contiguous()
    metadata = dict(networks[0].metadata)
    if len(networks) > 1:
        metadata.pop('calibration', None)
    with new_file(out) as partial:
        save_file(state, str(partial), {**metadata, 'network': networks[0].name, 'format': '1'})
    print(f'wrote {out}')
