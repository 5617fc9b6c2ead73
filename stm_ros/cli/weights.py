# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm weights`: check a checkpoint, or convert it to safetensors."""
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('action', choices=('check', 'convert'),
                        help='check: does the file fit the network; convert: write safetensors')
    parser.add_argument('weights', type=Path, help='.pth or .safetensors')
    parser.add_argument('--model', choices=('stm', 'stm_lite'), default='stm',
                        help='the network it should fit (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='where convert writes (default: beside the file)')
    parser.add_argument('--half', action='store_true', help='convert to float16, half the size')


def run(arguments: Namespace) -> int:
    """Check or convert.

    :raises CheckpointError: where the file does not fit.
    """
    from safetensors.torch import save_file

    from stm_ros.networks.checkpoints import load_network
    network = load_network(arguments.model, arguments.weights)
    count = sum(tensor.numel() for tensor in network.parameters())
    print(f'{arguments.weights} fits {arguments.model}: {count / 1e6:.1f} million parameters')
    for name, value in sorted(network.metadata.items()):
        print(f'  {name}: {value}')
    if arguments.action == 'convert':
        path = arguments.out or arguments.weights.with_suffix('.safetensors')
        if path.resolve() == arguments.weights.resolve():
            raise ValueError(f'{path} would overwrite its source; name another with --out')
        state = {name: (tensor.half() if arguments.half and tensor.is_floating_point()
                        else tensor).contiguous()
                 for name, tensor in network.state_dict().items()}
        metadata = {'network': network.name, 'format': '1', **network.metadata}
        save_file(state, str(path), metadata)
        print(f'wrote {path}')
    return 0
