# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the `stm` command."""
import argparse
import sys
from importlib import import_module

_COMMANDS = {
    'run': 'run', 'replay': 'replay', 'demo': 'demo', 'eval': 'evaluate',
    'reliability': 'reliability', 'train': 'train', 'calibrate': 'calibrate', 'bench': 'bench',
    'memory': 'memory', 'weights': 'weights'}
_SUMMARIES = {
    'run': 'one reference, one query image: mask, confidence, attention, readout',
    'replay': 'track through a recorded bag, a video or a folder of images',
    'demo': 'show a target to the real node over ROS 2 and judge what it answers',
    'eval': 'measure J&F, robustness and calibration on a benchmark',
    'reliability': 'measure how honest the tracker is about targets that leave or hide',
    'train': 'train stm_lite',
    'calibrate': 'fit what the confidence of weights means, and write it into them',
    'bench': 'measure what a frame takes, stage by stage, on this machine',
    'memory': 'look into a saved memory; its references as a folder, and back',
    'weights': 'where weights are; fetch, check, convert and average them'}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; user errors are printed in a line and give exit code 2."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog='stm', description='Follow a target that was shown once, by space-time memory.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, summary in _SUMMARIES.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        # importing only what is asked for keeps `stm --help` quick
        if words[:1] == [name]:
            import_module(f'stm_ros.cli.{_COMMANDS[name]}').add_arguments(subparser)
    parsed = parser.parse_args(words)
    command = import_module(f'stm_ros.cli.{_COMMANDS[parsed.command]}')
    try:
        return command.run(parsed)
    except (ValueError, OSError) as error:
        print(f'stm: error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
