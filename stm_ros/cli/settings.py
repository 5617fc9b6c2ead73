# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The option `--set NAME=VALUE`, which takes any field of TrackerConfig."""
from argparse import Action
from argparse import ArgumentParser
from argparse import Namespace
from argparse import _ArgumentGroup
from typing import Any


class _SetAction(Action):
    """Collects assignments; the word `help` prints what may be set, and ends."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any,
                 option_string: str | None = None) -> None:
        """Take one more word."""
        if values == 'help':
            # torch, which comes with it, would make every other --help slow
            from stm_ros.tracking.config import TrackerConfig
            from stm_ros.tracking.settings import describe_settings
            print(describe_settings(TrackerConfig))
            parser.exit()
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def add_set_option(parser: ArgumentParser | _ArgumentGroup) -> None:
    """Declare `--set`, whose words are in `settings`."""
    parser.add_argument(
        '--set', action=_SetAction, default=[], metavar='NAME=VALUE', dest='settings',
        help='any field of TrackerConfig; may be repeated; `--set help` lists them')
