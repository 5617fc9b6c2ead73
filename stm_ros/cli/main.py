# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of the `stm` command."""
import argparse
import sys
import traceback
from importlib import import_module

from stm_ros.inference.allocation import set_up_process
from stm_ros.vision.errors import StmError

USER_ERROR = 2
PROGRAM_ERROR = 70
#: as shells have it for what Ctrl-C ended
INTERRUPTED = 130

_COMMANDS = {
    'run': 'run', 'track': 'track', 'replay': 'replay', 'demo': 'demo', 'eval': 'evaluate',
    'reliability': 'reliability', 'context': 'context', 'train': 'train',
    'train-prompt': 'train_prompt', 'eval-prompts': 'eval_prompts',
    'calibrate': 'calibrate', 'bench': 'bench',
    'memory': 'memory', 'weights': 'weights', 'render': 'render', 'doctor': 'doctor',
    'console': 'console', 'fleet': 'fleet'}
SUMMARIES = {
    'run': 'one reference, one query image: mask, confidence, attention, readout',
    'track': 'follow a target through a video, a folder of images or a camera',
    'replay': 'track through a recorded bag, a video or a folder of images',
    'fleet': 'replay a library of recordings with several workers; compare with an earlier run',
    'demo': 'show a target to the real node over ROS 2 and judge what it answers',
    'eval': 'measure J&F, robustness and calibration on a benchmark',
    'reliability': 'measure how honest the tracker is about targets that leave or hide',
    'context': 'measure whether a target seen badly is explained by clean views from memory',
    'train': 'train stm_lite',
    'train-prompt': 'train the head that turns a box, points or a scribble into a mask',
    'eval-prompts': 'measure masks from boxes and points against the truth, beside GrabCut',
    'calibrate': 'fit what the confidence of weights means, and write it into them',
    'bench': 'measure what a frame takes, stage by stage, on this machine',
    'memory': 'look into a saved memory; its references as a folder, and back',
    'weights': 'where weights are; fetch, check, convert and average them',
    'render': 'render clips of turning objects, their truth exact',
    'doctor': 'look at this machine: what works, what does not, and what to do about it',
    'console': "the operator's page: see, choose and correct targets in a browser"}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand and return its exit code.

    What the user can mend is printed in a line and gives 2; a fault of the program is printed
    with its traceback and gives 70, as sysexits.h has it; Ctrl-C gives 130 without a word.
    """
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        # what commands have to leave in order, they do before it comes here
        return INTERRUPTED


def _main(arguments: list[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog='stm', description='Follow a target that was shown once, by space-time memory.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, summary in SUMMARIES.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        # importing only what is asked for keeps `stm --help` quick
        if words[:1] == [name]:
            import_module(f'stm_ros.cli.{_COMMANDS[name]}').add_arguments(subparser)
    parsed = parser.parse_args(words)
    command = import_module(f'stm_ros.cli.{_COMMANDS[parsed.command]}')
    set_up_process()
    try:
        return command.run(parsed)
    except StmError as error:
        print(f'stm: error: {error}', file=sys.stderr)
        return USER_ERROR
    except OSError as error:
        print(f'stm: error: {_sentence(error)}', file=sys.stderr)
        return USER_ERROR
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        print('stm: this is a fault of stm itself; please report it with the lines above',
              file=sys.stderr)
        return PROGRAM_ERROR


def _sentence(error: OSError) -> str:
    """What the system refused, and of which file."""
    if error.filename is None:
        return str(error)
    return f'{error.filename} cannot be read or written: {error.strerror}'


if __name__ == '__main__':
    sys.exit(main())
