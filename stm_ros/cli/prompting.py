# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The option that says what turns boxes and points into masks."""
from argparse import ArgumentParser
from argparse import Namespace
from argparse import _ArgumentGroup

from stm_ros.inference.prompting import segmenter_for
from stm_ros.vision.prompts import Segmenter


def add_segmenter_option(group: ArgumentParser | _ArgumentGroup) -> None:
    """Declare --segmenter."""
    group.add_argument('--segmenter', default='auto', metavar='NAME',
                       help='what turns boxes and points into masks: auto for the head in the '
                            'weights, grabcut, or one that another package offers (%(default)s)')


def chosen_segmenter(arguments: Namespace) -> Segmenter:
    """What the arguments choose, for the network that they choose."""
    return segmenter_for(arguments.model, arguments.weights, arguments.device,
                         arguments.segmenter)
