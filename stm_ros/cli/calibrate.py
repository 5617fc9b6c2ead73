# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm calibrate`: fit the judge of weights, so that their confidence means something."""
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import new_file
from stm_ros.vision.output_folder import refuse_existing

if TYPE_CHECKING:
    import numpy as np

DEFAULT_SIZE = (480, 640)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='.safetensors or .pth')
    parser.add_argument('--model', default='stm_lite', choices=NETWORK_NAMES,
                        help='the network that they are of (default: %(default)s)')
    parser.add_argument('--videos', type=Path, action='append', default=[], metavar='FOLDER',
                        help='sequences with images/ and masks/ each; more than once for several')
    parser.add_argument('--most', type=int, default=0, metavar='N',
                        help='of each folder of videos, N spread evenly; 0 for all')
    parser.add_argument('--clips', type=int, default=3, metavar='N',
                        help='generated clips of each case in which targets are away or have '
                             'doubles (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=2, metavar='N',
                        help='roll-outs: the first believes every mask, further ones follow the '
                             'judge fitted before; all of them count (default: %(default)s)')
    parser.add_argument('--out', type=Path, required=True, help='.safetensors to write')
    parser.add_argument('--quiet', action='store_true', help='no progress')


def run(arguments: Namespace) -> int:
    """Roll out, fit, and write the weights with the judge in their metadata.

    :raises StmError: where a file or folder cannot be used.
    """
    import numpy as np

    from stm_ros.evaluation.calibration import assess_calibration
    from stm_ros.evaluation.judge_fitting import fit_judge
    from stm_ros.evaluation.judge_fitting import left_out
    from stm_ros.evaluation.rollouts import BELIEVING
    from stm_ros.evaluation.rollouts import Observation
    from stm_ros.evaluation.rollouts import observe_all
    from stm_ros.networks.checkpoints import load_network
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.tracking import TrackerConfig
    from stm_ros.training.sources import videos_in
    if arguments.clips < 0 or arguments.rounds < 1:
        raise InputError(f'--clips {arguments.clips} --rounds {arguments.rounds}: at least 0 and '
                         '1 are needed')
    refuse_existing(arguments.out)
    videos = [pairs for folder in arguments.videos
              for pairs in _spread(videos_in(folder), arguments.most)]
    _, metadata = read_checkpoint(arguments.weights)
    # on from the judge that the weights carry, where they do
    judge_text = metadata.get('judge', '')
    observations: list[Observation] = []
    for number in range(1, arguments.rounds + 1):
        network = load_network(arguments.model, arguments.weights)
        network.metadata = {**network.metadata, 'judge': judge_text}
        # a judge meets masks that its own decisions led to: from the second round on these are
        # added (DAgger, Ross, Gordon and Bagnell, AISTATS 2011)
        observations += observe_all(network, BELIEVING if number == 1 else TrackerConfig(), videos,
                                    arguments.clips, DEFAULT_SIZE, quiet=arguments.quiet)
        judge_text = fit_judge(observations).to_json()
        answers, truth = left_out(observations), np.array([each.iou for each in observations])
        said = assess_calibration(answers, truth)
        print(f'round {number}: {said.observations} masks; on sequences left out: expected '
              f'calibration error {said.error:.3f}, Spearman {_figure(said.rank_correlation)}, '
              f'AUROC for IoU below 0.5 {_figure(said.failure_auroc)}', flush=True)
        print(_threshold_table(answers, truth), flush=True)
    write_judged(arguments.weights, arguments.model, judge_text, arguments.out)
    print(f'wrote {arguments.out}')
    return 0


def write_judged(weights: Path, model: str, judge: str, out: Path) -> None:
    """Write a copy of weights as .safetensors that carries a judge.

    :param judge: see Judge.to_json.
    """
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.networks.checkpoints import write_checkpoint
    state, metadata = read_checkpoint(weights)
    metadata.pop('calibration', None)
    with new_file(out) as partial:
        write_checkpoint(state, partial, {**metadata, 'network': model, 'judge': judge})


def _threshold_table(answers: 'np.ndarray', truth: 'np.ndarray') -> str:
    """What a threshold such as lost_below would withhold, right or wrong."""
    right, wrong = answers[truth >= 0.5], answers[truth == 0]
    rows = ['below   masks with IoU of 0.5 or more   masks on nothing of the target']
    for level in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5):
        shares = [f'{100 * float((part < level).mean()):.1f} %' if len(part) else 'there are none'
                  for part in (right, wrong)]
        rows.append(f'{level:.2f} {shares[0]:>29} {shares[1]:>34}')
    return '\n'.join(rows)


def _figure(value: float | None) -> str:
    """A figure that there may be none of, such as of failures where nothing failed."""
    return 'undefined' if value is None else f'{value:.2f}'


def _spread(items: list, most: int) -> list:
    """At most `most` of the items, evenly spread; all of them for 0."""
    if not most or len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]
