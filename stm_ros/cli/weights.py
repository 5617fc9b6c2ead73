# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`stm weights`: where weights are; fetch, check, convert to safetensors, or average them."""
import sys
from argparse import ArgumentParser
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stm_ros.cli.file_kinds import FileKind
from stm_ros.cli.file_kinds import expect_kind
from stm_ros.networks.published import NETWORK_NAMES
from stm_ros.networks.published import PUBLISHED
from stm_ros.networks.published import published
from stm_ros.vision.errors import InputError
from stm_ros.vision.output_folder import new_file
from stm_ros.vision.output_folder import refuse_existing

if TYPE_CHECKING:
    from stm_ros.networks.interface import SpaceTimeNetwork

_ACTIONS = ('list', 'fetch', 'check', 'convert', 'average', 'merge')
_PROGRESS_BYTES = 1_000_000


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('action', choices=_ACTIONS,
                        help='list: what ships and what others publish, under which licence; '
                             'fetch: download published weights, nothing else ever does; check: '
                             'does the file fit the network; convert: write safetensors; '
                             'average: the mean of several, of one training at different times; '
                             'merge: the first file with the head for prompts of the second')
    parser.add_argument('weights', nargs='*', metavar='FILE', help='.pth or .safetensors; for '
                        f'fetch a name: {", ".join(item.name for item in PUBLISHED)}')
    parser.add_argument('--model', choices=NETWORK_NAMES, help='the network it should fit '
                        '(default: the one whose names the file has)')
    parser.add_argument('--out', type=Path, help='where to write (convert: beside the file; '
                        "fetch: the file's own name, here)")
    parser.add_argument('--half', action='store_true', help='write float16, half the size')
    parser.add_argument('--url', help='fetch: take the file from here instead, such as a mirror')
    parser.add_argument('--sha256', metavar='HEX', help='fetch: what the file must have; where '
                        'its authors state one, that is checked anyhow')


def run(arguments: Namespace) -> int:
    """List, fetch, check, convert or average.

    :raises CheckpointError: where a file does not fit.
    :raises DownloadError: where weights cannot be had.
    :raises InputError: for a number of files or an --out that the action does not take.
    """
    action, words = arguments.action, arguments.weights
    accepted = {'list': (0, 0), 'average': (2, sys.maxsize), 'merge': (2, 2)}.get(action, (1, 1))
    if not accepted[0] <= len(words) <= accepted[1]:
        takes = {'list': 'no file', 'fetch': 'one name', 'average': 'two or more files',
                 'merge': 'two files, weights and a head for prompts,'}
        raise InputError(f'{action} takes {takes.get(action, "one file")}; {len(words)} given')
    if action == 'list':
        return _list()
    if action == 'fetch':
        return _fetch(arguments)
    if action in ('average', 'merge') and arguments.out is None:
        raise InputError(f'{action} needs --out')
    from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
    paths = [Path(word) for word in words]
    for path in paths:
        if str(path) not in SHIPPED_BY_NAME:
            expect_kind(path, FileKind.WEIGHTS, '.pth or .safetensors')
    out = arguments.out or paths[0].with_suffix('.safetensors')
    if action != 'check':
        _check_out(out, paths)
    if action == 'merge':
        return _merge(paths[0], paths[1], out)
    networks = [_load(path, arguments.model) for path in paths]
    if action != 'check':
        _write(networks, _common_head(paths), out, arguments.half)
    return 0


def _merge(weights: Path, donor: Path, out: Path) -> int:
    """Write `weights` with the head for prompts of `donor`; all else stays as it is."""
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.networks.checkpoints import with_prompt_head
    from stm_ros.networks.checkpoints import write_checkpoint
    weights, donor = _shipped(weights), _shipped(donor)
    state, metadata = with_prompt_head(*read_checkpoint(weights), donor)
    with new_file(out) as partial:
        write_checkpoint(state, partial, metadata)
    _load(out, 'stm_lite')
    print(f'wrote {out}: {weights} with the head for prompts of {donor}')
    return 0


def _shipped(path: Path) -> Path:
    from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
    return SHIPPED_BY_NAME.get(str(path), path)


def _common_head(paths: list[Path]) -> 'dict[str, dict]':
    """The head for prompts of the first file and what is told of it; {} where no mean keeps it.

    A head is for one trunk: the mean of several trunks is another one.
    """
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.networks.prompting import divided
    from stm_ros.networks.prompting import trunk_digest
    contents = [read_checkpoint(_shipped(path)) for path in paths]
    state, metadata = contents[0]
    head = divided(state)[1]
    if not head:
        return {}
    if len({trunk_digest(each) for each, _ in contents}) > 1:
        print(f'the head for prompts of {paths[0]} is left out: the trunks differ')
        return {}
    return {'state': head, 'metadata': divided(metadata)[1]}


def _load(path: Path, model: str | None) -> 'SpaceTimeNetwork':
    """Load what should fit `model`, or the network that the file is of, and print what it is."""
    from stm_ros.inference.judge import judge_of
    from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
    from stm_ros.networks.checkpoints import load_network
    from stm_ros.networks.checkpoints import read_checkpoint
    from stm_ros.networks.checkpoints import recognised
    if model is None and str(path) in SHIPPED_BY_NAME:
        model = 'stm_lite'
    name = model or recognised(read_checkpoint(path)[0]) or 'stm'
    network = load_network(name, path)
    count = sum(tensor.numel() for tensor in network.parameters())
    print(f'{path} fits {name}: {count / 1e6:.1f} million parameters')
    for key, value in sorted(network.metadata.items()):
        if key != 'judge':
            print(f'  {key}: {value}')
    if name == 'stm_lite':
        _say_head(path)
    print(f"  {judge_of(network).note or 'confidence is calibrated: a judge of masks is there'}")
    return network


def _say_head(path: Path) -> None:
    from stm_ros.networks.checkpoints import prompt_head_of
    from stm_ros.networks.checkpoints import read_checkpoint
    head = prompt_head_of(*read_checkpoint(_shipped(path)), path)
    if head is None:
        print('  no head for prompts: boxes and points are segmented by GrabCut')
    else:
        count = sum(tensor.numel() for tensor in head.parameters())
        print(f'  a head for prompts: {count / 1e6:.1f} million parameters')


def _list() -> int:
    from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
    from stm_ros.networks.checkpoints import read_checkpoint
    print('shipped, by name for --model stm_lite --weights NAME:')
    for name, path in SHIPPED_BY_NAME.items():
        print(f'  {name}: {read_checkpoint(path)[1].get("licence", "no licence stated")}')
    print('published by their authors, downloaded only by `stm weights fetch NAME`:')
    for item in PUBLISHED:
        checksum = item.sha256 or 'its authors state none'
        print(f'  {item.name}: for --model {item.network}; {item.licence}; {item.about}\n'
              f'    {item.page}\n    SHA-256: {checksum}')
    return 0


def _fetch(arguments: Namespace) -> int:
    """Download published weights, and say whether they are what they should be."""
    from stm_ros.networks.downloading import download
    from stm_ros.networks.downloading import sha256_of
    item = published(arguments.weights[0])
    out = arguments.out or Path(item.file)
    sha256 = arguments.sha256 or item.sha256
    url = arguments.url or item.url
    print(f'{item.name}: {item.about}; licence: {item.licence}; see {item.page}')
    if out.is_file() and sha256 in (None, sha256_of(out)):
        print(f'{out} is there already')
    else:
        found = download(url, out, sha256, _Progress().show)
        checked = 'as it should be' if sha256 else \
            "which nobody states: write it down, or compare with somebody else's"
        print(f'wrote {out}: SHA-256 {found}, {checked}')
    _check_kind(out)
    _load(out, item.network)
    print(f'use it with --model {item.network} --weights {out}')
    return 0


def _check_kind(path: Path) -> None:
    """Tell a web page from weights: file hosts answer with one when they do not want to.

    :raises InputError: saying so.
    """
    from stm_ros.networks.checkpoints import what_else
    if (said := what_else(path)) is not None:
        raise InputError(f'{path} is {said}, no weights: the host may want a person to answer it. '
                         'Remove the file, and download it with a browser')


class _Progress:
    """A line on a terminal, or one line each tenth elsewhere."""

    def __init__(self) -> None:
        self._tenth = -1
        self._shown = 0

    def show(self, received: int, total: int | None) -> None:
        """Print how much is there."""
        done = received == total
        if sys.stderr.isatty():
            if done or received - self._shown >= _PROGRESS_BYTES:
                self._shown = received
                print(f'\r{_amount(received, total)}', end='\n' if done else '',
                      file=sys.stderr, flush=True)
        elif total and (tenth := 10 * received // total) > self._tenth:
            self._tenth = tenth
            print(_amount(received, total), file=sys.stderr, flush=True)


def _amount(received: int, total: int | None) -> str:
    share = f' of {total / 1e6:.1f} MB, {100 * received // total} %' if total else ' MB'
    return f'{received / 1e6:.1f}{share}'


def _check_out(out: Path, paths: list[Path]) -> None:
    if out.resolve() in {path.resolve() for path in paths}:
        raise InputError(f'{out} would overwrite its source; name another with --out')
    refuse_existing(out)


def _write(networks: 'list[SpaceTimeNetwork]', head: 'dict[str, dict]', out: Path, half: bool
           ) -> None:
    """Write the mean of networks of one kind; what they are calibrated for only if it is one."""
    from stm_ros.networks.checkpoints import write_checkpoint
    from stm_ros.networks.prompting import divided
    states = [network.state_dict() for network in networks]
    state = {}
    for name, first in states[0].items():
        mean = sum(each[name].double() for each in states) / len(states)
        state[name] = (mean.half() if half and first.is_floating_point()
                       else mean.to(first.dtype)).contiguous()
    metadata = divided(networks[0].metadata)[0]
    if len(networks) > 1:
        metadata.pop('judge', None)
    state.update(head.get('state', {}))
    metadata.update(head.get('metadata', {}))
    with new_file(out) as partial:
        write_checkpoint(state, partial,
                         {**metadata, 'network': networks[0].name, 'format': '1'})
    print(f'wrote {out}')
