# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Makes the documentation's figures: runs commands, and writes what they found into the pages.

A page marks where a figure stands; what is between the marks is replaced:

    <!-- figure: NAME -->
    ...
    <!-- end of figure -->

`make figures` runs everything (about an hour on two quiet cores). ONLY=stages,graph runs some,
RENDER=1 runs nothing and writes from what runs/figures/ holds, DAVIS=DIR adds the figures that need
a benchmark. Each figure says by which command, version, commit, weights and machine it was made.
"""
from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from figure_tables import accuracy
from figure_tables import against
from figure_tables import goals
from figure_tables import graph
from figure_tables import reliability
from figure_tables import robustness
from figure_tables import soak
from figure_tables import stages
from figure_tables import sweep

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'runs' / 'figures'
STAMP = 'stamp.json'
SEEDS = '100-102'
#: what a figure waits for at most
MOST_SECONDS = 3 * 3600


class FigureError(RuntimeError):
    """A figure could not be made; the message says which and why."""


@dataclass(frozen=True)
class Run:
    """A `stm` command, and the JSON that it leaves in its `--out`."""

    folder: str
    words: tuple[str, ...]
    result: str


#: what shows every mask, however little it is believed
NOTHING_WITHHELD = ('--set', 'lost_below=0', '--set', 'uncertain_below=0', '--set', 'hysteresis=0')


@dataclass(frozen=True)
class Figure:
    """A figure of a page: its runs, and how their results become Markdown."""

    name: str
    page: str
    runs: tuple[Run, ...]
    render: Callable[[list[dict[str, Any]]], str]
    needs_davis: bool = False
    #: nothing is run: it follows from what the other figures have left
    follows: bool = False


def bench(folder: str, result: str, *words: str) -> tuple[Run, ...]:
    return (Run(folder, ('bench', *words), f'{result}.json'),)


def figures(davis: str | None) -> list[Figure]:
    """All figures, in the order in which they are made."""
    evaluate = ('eval', '--quiet', '--dataset', 'davis2016', '--root', davis or 'DAVIS', '--split',
                'dev')
    speed, honesty, scores = 'performance.md', 'reliability.md', 'evaluation.md'
    of_speed = _speed_figures(speed)
    return [
        *of_speed,
        Figure('goals', speed, tuple(run for item in of_speed for run in item.runs), goals,
               follows=True),
        Figure('reliability', honesty, (Run('reliability', ('reliability', '--seeds', SEEDS),
                                            'reliability.json'),), reliability),
        Figure('soak', honesty, bench('soak', 'soak', '--soak', '10000', '--size', '320x240'),
               soak),
        Figure('accuracy', scores, tuple(
            Run(f'accuracy_{weights}{name}', (*evaluate, '--weights', weights, *more),
                'results.json') for weights in ('permissive', 'research')
            for name, more in (('', ()), ('_all', NOTHING_WITHHELD))), accuracy, needs_davis=True),
        Figure('robustness', scores, (Run('robustness', (
            *evaluate, '--every', '6', '--perturb', 'all', '--ablate-memory'), 'results.json'),),
            robustness, needs_davis=True)]


def _speed_figures(speed: str) -> list[Figure]:
    """Those that `goals` takes, in its order."""
    return [
        Figure('stages', speed, bench('stages', 'bench', '--frames', '60'), stages),
        Figure('plain', speed, bench('plain', 'against', '--against', 'plain', '--frames', '20'),
               against),
        Figure('stm', speed, bench('stm', 'against', '--model', 'stm', '--size', '854x480',
                                   '--memory', '5', '--dtype', 'bfloat16', '--overfit', '150',
                                   '--against', 'plain', '--frames', '12'), against),
        Figure('memory', speed, bench('memory', 'sweep_memory', '--sweep', 'memory', '--points',
                                      '1,8,32', '--frames', '30'), sweep('memory')),
        Figure('targets', speed, bench('targets', 'sweep_targets', '--sweep', 'targets',
                                       '--points', '1,2,8', '--frames', '30'), sweep('targets')),
        Figure('graph', speed, bench('graph', 'graph', '--graph', '--frames', '60', '--rate', '10'),
               graph)]


def make(run: Run) -> None:
    """Run the command of a figure; FigureError where it fails."""
    folder = RESULTS / run.folder
    # stm replaces what it wrote there before, and nothing else
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STAMP).unlink(missing_ok=True)
    command = [sys.executable, '-m', 'stm_ros.cli.main', *run.words, '--out', str(folder)]
    print(f'stm {shlex.join(run.words)}', flush=True)
    process = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=MOST_SECONDS, check=False)
    (folder / 'printed.txt').write_text(process.stdout)
    if process.returncode or not (folder / run.result).is_file():
        shown = '\n'.join(process.stdout.splitlines()[-8:])
        raise FigureError(f'stm {shlex.join(run.words)}: exit code {process.returncode}\n{shown}')
    (folder / STAMP).write_text(json.dumps(stamp(run), indent=2) + '\n')


def stamp(run: Run) -> dict[str, str]:
    """What a figure depends on beside its command."""
    words = ' '.join('DAVIS' if Path(word).is_absolute() else shlex.quote(word)
                     for word in run.words)
    return {'command': f'stm {words}', 'stm_ros': metadata.version('stm_ros'), 'commit': commit(),
            'weights': weights_digest(), 'torch': metadata.version('torch'),
            'python': platform.python_version(), 'machine': machine(),
            'date': datetime.date.today().isoformat()}


def commit() -> str:
    """The commit that is checked out, and whether files other than the pages differ from it."""
    def git(*words: str) -> str:
        return subprocess.run(['git', *words], cwd=ROOT, text=True, capture_output=True,
                              check=False).stdout.strip()

    name = git('rev-parse', '--short=10', 'HEAD')
    changes = git('status', '--porcelain', '--', ':!docs')
    return name + ('+changes' if changes else '') if name else 'not a git checkout'


def weights_digest() -> str:
    """The first digits of the default weights' SHA-256."""
    from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS
    if not SHIPPED_WEIGHTS.is_file():
        return 'none'
    return hashlib.sha256(SHIPPED_WEIGHTS.read_bytes()).hexdigest()[:10]


def machine() -> str:
    """Processor and cores."""
    from stm_ros.benchmark.machine import describe_machine
    found = describe_machine('cpu')
    return f'{found["cpu"]}, {found["cores"]} cores'


def block(made: Figure) -> str:
    """A figure as it stands in its page; FigureError where a result is missing."""
    results, stamps = [], []
    for run in made.runs:
        path = RESULTS / run.folder / run.result
        if not path.is_file():
            raise FigureError(f'{made.name} has not been made: {path} is missing')
        results.append(json.loads(path.read_text()))
        stamps.append(json.loads((path.parent / STAMP).read_text()))
    if made.follows:
        return f'{made.render(results)}\n\n*From the figures above.*'
    commands = '`, `'.join(found['command'] for found in stamps)
    last = stamps[-1]
    threads = results[-1].get('machine', {}).get('threads')
    used = '' if threads is None else f', network on {threads} of them'
    return (f'{made.render(results)}\n\n*`{commands}`; stm_ros {last["stm_ros"]}, commit '
            f'{last["commit"]}, weights {last["weights"]}, torch {last["torch"]}, Python '
            f'{last["python"]}; {last["machine"]}{used}; {last["date"]}.*')


def placed(page: str, name: str, content: str) -> str:
    """`page` with `content` between the marks of a figure; FigureError where it has none."""
    marks = re.compile(rf'(<!-- figure: {re.escape(name)} -->\n).*?(<!-- end of figure -->)',
                       re.DOTALL)
    if len(marks.findall(page)) != 1:
        raise FigureError(f'the page marks the figure {name} {len(marks.findall(page))} times; '
                          'once is needed')
    return marks.sub(lambda found: f'{found[1]}\n{content}\n\n{found[2]}', page)


def write(made: Figure, docs: Path) -> None:
    """Put a figure into its page."""
    path = docs / made.page
    path.write_text(placed(path.read_text(), made.name, block(made)))
    print(f'{path.name}: {made.name}')


def chosen(only: str, davis: str | None) -> list[Figure]:
    """The figures of a comma-separated list, or all that can be made."""
    everything = figures(davis)
    names = [name for name in only.split(',') if name]
    unknown = sorted(set(names) - {item.name for item in everything})
    if unknown:
        raise FigureError(f'no figure {", ".join(unknown)}: there are '
                          f'{", ".join(item.name for item in everything)}')
    wanted = [item for item in everything if not names or item.name in names]
    return [item for item in wanted if davis or not item.needs_davis]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figures; 1 where one of them could not be made (the others are)."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--only', default='', help='names with commas')
    parser.add_argument('--render', action='store_true', help='run nothing')
    parser.add_argument('--davis', help='folder of a DAVIS-like benchmark with a split "dev"')
    parsed = parser.parse_args(arguments)
    failures = []
    try:
        wanted = chosen(parsed.only, parsed.davis)
    except FigureError as error:
        print(f'figures: {error}', file=sys.stderr)
        return 2
    for item in wanted:
        try:
            if not parsed.render and not item.follows:
                for run in item.runs:
                    make(run)
            write(item, ROOT / 'docs')
        except (FigureError, subprocess.TimeoutExpired) as error:
            failures.append(item.name)
            print(f'figures: {item.name}: {error}', file=sys.stderr)
    if failures:
        print(f'figures: not made: {", ".join(failures)}', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
