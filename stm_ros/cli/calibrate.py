# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm calibrate`: give weights a confidence that means something."""
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path

from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import new_file
from stm_ros.vision.output_folder import refuse_existing


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='.safetensors or .pth')
    parser.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES,
                        help='the network that they are of (default: %(default)s)')
    parser.add_argument('--root', type=Path, required=True,
                        help='folder laid out like DAVIS; none of it may have been trained on')
    parser.add_argument('--split', default='dev', help='of that folder (default: %(default)s)')
    parser.add_argument('--clips', type=int, default=3, metavar='N',
                        help='generated clips of each case in which targets are away, which count '
                             'as much as the video (default: %(default)s)')
    parser.add_argument('--out', type=Path, required=True, help='.safetensors to write')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')


def run(arguments: Namespace) -> int:
    """Observe, fit, and write the weights with the fit in their metadata.

    :raises StmError: where a file or folder cannot be used.
    """
    from stm_ros.evaluation.calibrating import RAW_CONFIG
    from stm_ros.evaluation.calibrating import balanced
    from stm_ros.evaluation.calibrating import observe_absences
    from stm_ros.evaluation.calibrating import observe_video
    from stm_ros.evaluation.calibration import calibration_table
    from stm_ros.evaluation.datasets import load_benchmark
    from stm_ros.evaluation.experiment import Subject
    from stm_ros.evaluation.experiment import without_calibration
    from stm_ros.evaluation.sequences import Protocol
    from stm_ros.networks.checkpoints import load_network
    if arguments.clips < 1:
        raise InputError(f'--clips {arguments.clips}: 1 or more are needed')
    refuse_existing(arguments.out)
    benchmark = load_benchmark(Protocol.DAVIS_2016, arguments.root, arguments.split)
    network = without_calibration(load_network(arguments.model, arguments.weights))
    subject = Subject(network, RAW_CONFIG)
    table = calibration_table(*balanced(
        observe_video(benchmark, subject, arguments.quiet),
        observe_absences(subject, arguments.clips, (240, 320))))
    write_calibrated(arguments.weights, network.name, table, arguments.out)
    print(f'{table}\nwrote {arguments.out}')
    return 0


def write_calibrated(weights: Path, model: str, table: str, out: Path) -> None:
    """Write a copy of weights as .safetensors that says what its confidence means.

    :param table: see calibration_table.
    """
    from safetensors.torch import save_file

    from stm_ros.networks.checkpoints import read_checkpoint
    state, metadata = read_checkpoint(weights)
    with new_file(out) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial,
                  {**metadata, 'network': model, 'calibration': table})
