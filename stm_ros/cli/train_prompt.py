# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm train-prompt`: train the head that turns prompts into masks, or go on where it stopped."""
from argparse import ArgumentParser
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.vision.output_folder import refuse_overlap

if TYPE_CHECKING:
    from stm_ros.networks.prompting import PromptHead

EXPORTED = 'prompt.safetensors'


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--config', type=Path, required=True,
                        help='YAML, see config/training/prompt.yaml')
    parser.add_argument('--data', type=Path, required=True,
                        help='folder that the data sets of the configuration lie in')
    parser.add_argument('--weights', required=True,
                        help='stm_lite weights whose trunk the head learns on: a file, or '
                             'research or permissive')
    parser.add_argument('--out', type=Path, default=Path('runs/train-prompt'),
                        help='checkpoint and head (default: %(default)s)')
    parser.add_argument('--start-from', type=Path, metavar='HEAD',
                        help='go on from the head in this file (of an earlier training, or '
                             'weights with one) instead of from a new one')
    parser.add_argument('--iterations', type=int, default=0,
                        help='another number than the configuration says; for a trial')


def run(arguments: Namespace) -> int:
    """Train; returns 0 when finished, 1 when stopped by a signal after a checkpoint."""
    from stm_ros.networks.checkpoints import load_network
    from stm_ros.networks.prompting import trunk_digest
    from stm_ros.networks.stm_lite import STMLite
    from stm_ros.training.prompt_loop import CHECKPOINT
    from stm_ros.training.prompt_loop import PromptTrainer
    from stm_ros.training.prompt_loop import load_prompt_config
    from stm_ros.training.running import own_results

    refuse_overlap(arguments.out, [arguments.data])
    config = load_prompt_config(arguments.config, arguments.data)
    if arguments.iterations:
        config = replace(config, iterations=arguments.iterations)
    network = load_network('stm_lite', arguments.weights)
    digest = trunk_digest(network.state_dict())
    assert isinstance(network, STMLite)
    start, before = None, 0
    if arguments.start_from is not None:
        start, before = head_in(arguments.start_from, digest)
    own_results(arguments.out, [CHECKPOINT, EXPORTED], [arguments.start_from])
    trainer = PromptTrainer(config, arguments.out, network.trunk, start)
    finished = trainer.run()
    head = arguments.out / EXPORTED
    trainer.export(head, {
        'prompt_trunk': digest, 'prompt_licence': config.licence,
        'prompt_iterations': str(before + trainer.iteration),
        'prompt_data': ', '.join(data_set.name for data_set in config.data_sets)})
    print(f'{"finished" if finished else "stopped"} at iteration {trainer.iteration}: {head}; '
          f'`stm weights merge WEIGHTS {head} --out FILE` puts it into weights')
    return 0 if finished else 1


def head_in(path: Path, digest: str) -> 'tuple[PromptHead, int]':
    """The head for prompts that a file holds, for the trunk of that digest, and its iterations.

    :raises CheckpointError: where there is none, or it was trained on another trunk.
    """
    from stm_ros.networks.checkpoints import CheckpointError
    from stm_ros.networks.checkpoints import head_for_trunk
    from stm_ros.networks.checkpoints import read_checkpoint
    state, metadata = read_checkpoint(path)
    head = head_for_trunk(state, metadata, digest, path)
    if head is None:
        raise CheckpointError(f'{path} holds no head for prompts to start from')
    return head, int(metadata.get('prompt_iterations', 0))
