# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm train`: train stm_lite as a YAML file says, or go on where it stopped."""
from argparse import ArgumentParser
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stm_ros.vision.output_folder import refuse_overlap

if TYPE_CHECKING:
    from stm_ros.networks.stm_lite import STMLite

EXPORTED = 'stm_lite.safetensors'


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--config', type=Path, required=True, help='YAML, see config/training/')
    parser.add_argument('--data', type=Path, required=True,
                        help='folder that the data sets of the configuration lie in')
    parser.add_argument('--out', type=Path, default=Path('runs/train'),
                        help='checkpoints, log and weights (default: %(default)s)')
    parser.add_argument('--dev', type=Path,
                        help='folder laid out like DAVIS with a split dev, measured now and then')
    parser.add_argument('--dev-every', type=int, default=4, metavar='N',
                        help='measure on every Nth frame (default: %(default)s)')
    parser.add_argument('--start-from', type=Path, metavar='WEIGHTS',
                        help='go on from weights that an earlier training exported, at its '
                             'iteration, instead of from the ImageNet trunk')
    parser.add_argument('--iterations', type=int, default=0,
                        help='stop earlier than the configuration says; for a trial')


def run(arguments: Namespace) -> int:
    """Train; returns 0 when finished, 1 when stopped by a signal after a checkpoint."""
    from stm_ros.networks.checkpoints import fill_network
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.networks.stm_lite import STMLite
    from stm_ros.networks.trunks import load_imagenet_trunk
    from stm_ros.training.configuration import load_config
    from stm_ros.training.configuration import shortened
    from stm_ros.training.export import export_weights
    from stm_ros.training.export import imagenet_state
    from stm_ros.training.loop import WRITTEN
    from stm_ros.training.loop import Trainer
    from stm_ros.training.matching import fit_match_key
    from stm_ros.training.running import own_results

    refuse_overlap(arguments.out, [each for each in (arguments.data, arguments.dev)
                                   if each is not None])
    config = load_config(arguments.config, arguments.data)
    own_results(arguments.out, [*WRITTEN, EXPORTED], [arguments.start_from])
    if arguments.iterations:
        config = shortened(config, arguments.iterations)
    network, start = STMLite(), 0
    if arguments.start_from:
        state, metadata = read_checkpoint(arguments.start_from)
        fill_network(network, state, arguments.start_from)
        start = int(metadata.get('iterations', 0))
        matches = network.reads_fine
    else:
        load_imagenet_trunk(network.trunk, imagenet_state())
        matches = False
    if not matches:
        fit_match_key(network, config)
        network.reads_fine = True
    validate = dev_score(arguments.dev, arguments.dev_every) if arguments.dev else None
    trainer = Trainer(config, arguments.out, network, validate, start)
    finished = trainer.run()
    weights = arguments.out / EXPORTED
    export_weights(trainer.averaged_network(), weights, {
        'licence': config.licence, 'iterations': str(trainer.iteration),
        'data': ', '.join(data_set.name for data_set in config.data_sets)})
    print(f'{"finished" if finished else "stopped"} at iteration {trainer.iteration}: {weights}')
    return 0 if finished else 1


def dev_score(root: Path, every: int) -> 'Callable[[STMLite], float]':
    """A function that gives the J&F (0 to 100) of a network on the split dev below `root`.

    :param every: only every Nth frame is tracked.
    :raises InputError: where `root` holds no such split.
    """
    from dataclasses import replace

    from stm_ros.evaluation.datasets import load_benchmark
    from stm_ros.evaluation.experiment import Subject
    from stm_ros.evaluation.experiment import evaluate_tracker
    from stm_ros.evaluation.scoring import summarise
    from stm_ros.evaluation.sequences import Protocol
    from stm_ros.tracking import TrackerConfig
    benchmark = load_benchmark(Protocol.DAVIS_2016, root, 'dev')
    benchmark = replace(benchmark, sequences=tuple(
        sequence.thinned(every) for sequence in benchmark.sequences))

    def score(network: 'STMLite') -> float:
        network.metadata = {}
        subject = Subject(network, TrackerConfig(), next(network.parameters()).device.type)
        with TemporaryDirectory() as folder:
            evaluation = evaluate_tracker(benchmark, subject, Path(folder), [], quiet=True)
        return 100 * summarise(evaluation.scores).combined
    return score
