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
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'runs' / 'figures'
STAMP = 'stamp.json'
SEEDS = '100-102'
#: what a figure waits for at most
MOST_SECONDS = 3 * 3600
Rows = list[list[str]]


class FigureError(RuntimeError):
    """A figure could not be made; the message says which and why."""


@dataclass(frozen=True)
class Run:
    """A `stm` command, and the JSON that it leaves in its `--out`."""

    folder: str
    words: tuple[str, ...]
    result: str


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


def table(rows: Rows) -> str:
    """A Markdown table; the first row is its head, figures stand to the right."""
    head, *body = rows
    rule = ['---'] + ['---:'] * (len(head) - 1)
    return '\n'.join('| ' + ' | '.join(row).strip() + ' |' for row in [head, rule, *body])


def stages(results: list[dict[str, Any]]) -> str:
    """The stages of one frame."""
    [measured] = results[0]['measurements']
    rows = [['ms', 'p50', 'p90', 'p99', 'share']]
    for name, stage in measured['stages'].items():
        share = '' if name == 'frame' else f'{100 * stage["share"]:.0f} %'
        rows.append([name, *(f'{stage[f"p{q}_ms"]:.1f}' for q in (50, 90, 99)), share])
    rate = 1000 / measured['stages']['frame']['p50_ms']
    bank = measured['bank_bytes']
    return (f'{table(rows)}\n\n{rate:.1f} frames a second at the median. Peak resident memory '
            f'{measured["peak_bytes"] / 1e6:.0f} MB'
            + ('' if bank is None else f', of which memory frames {bank / 1e6:.0f} MB') + '.')


def against(results: list[dict[str, Any]]) -> str:
    """Two settings in turn."""
    found = results[0]
    pairs = found['ratio_by_pairs']
    text = (f'The baseline takes **{found["ratio_of_medians"]:.1f} times** as long (ratio of '
            f'medians; pair by pair p10 {pairs["p10"]:.1f}, median {pairs["p50"]:.1f}, p90 '
            f'{pairs["p90"]:.1f}).')
    if found['mask_iou']:
        ordered = sorted(found['mask_iou'])
        text += (f' IoU of the masks of both: median {ordered[len(ordered) // 2]:.4f}, worst '
                 f'{ordered[0]:.4f}.')
    return text


def sweep(name: str) -> Callable[[list[dict[str, Any]]], str]:
    """Medians of the stages for each value of a setting."""
    def render(results: list[dict[str, Any]]) -> str:
        measured = results[0]['measurements']
        rows = [[f'{name} (ms)', *(str(item['settings'][name]) for item in measured)]]
        for stage in measured[0]['stages']:
            rows.append([stage, *(f'{item["stages"][stage]["p50_ms"]:.1f}' for item in measured)])
        rows.append(['share of reading', *(f'{100 * item["stages"]["read"]["share"]:.0f} %'
                                           for item in measured)])
        return table(rows)
    return render


def graph(results: list[dict[str, Any]]) -> str:
    """What was measured of the node over ROS 2."""
    start, calm, camera = (results[0][part] for part in ('start', 'unhurried', 'camera'))
    return table([
        ['over ROS 2', 'measured'],
        ['process start to first mask', f'{start["to_first_mask_s"]:.1f} s'],
        ['stamp to publish, p50', f'{calm["stamp_to_publish_p50_ms"]:.1f} ms'],
        ['stamp to publish, p99', f'{calm["stamp_to_publish_p99_ms"]:.1f} ms'],
        ["of p50, the tracker's step", f'{calm["tracker_step_p50_ms"]:.1f} ms'],
        ['of p50, receiving, conversion, publishing', f'{calm["outside_tracker_p50_ms"]:.1f} ms'],
        [f'answered of images at {camera["camera_hz"]:g} Hz', f'{camera["answered_hz"]:.1f} Hz'],
        ['dropped for a newer image', f'{camera["dropped_by_node"]} of {camera["frames"]}'],
        ['lost on the way', f'{camera["lost_on_the_way"]} of {camera["frames"]}']])


def goals(results: list[dict[str, Any]]) -> str:
    """Speed against what it should be; `results` are those of stages, plain, ..., in order."""
    one, plain, paper, memory, targets, over_ros = results
    frame = one['measurements'][0]['stages']['frame']['p50_ms']
    by_targets = {item['settings']['targets']: item['stages']['frame']['p50_ms']
                  for item in targets['measurements']}
    by_memory = {item['settings']['memory']: item['stages']['read']['share']
                 for item in memory['measurements']}
    further = by_targets[2] / by_targets[1] - 1
    eight = by_targets[8] / by_targets[1]
    agreement = sorted(paper['mask_iou'] or [0.0])[0]
    outside = over_ros['unhurried']['outside_tracker_p50_ms']
    first = over_ros['start']['to_first_mask_s']
    wanted = [
        ('`stm_lite`, 640×480, 8 memory frames: at least 10 frames a second', 1000 / frame >= 10,
         f'{1000 / frame:.1f}'),
        ("at least 25 times the rate of the paper's procedure", plain['ratio_of_medians'] >= 25,
         f'{plain["ratio_of_medians"]:.1f}'),
        ('`stm`, 854×480, 5 memory frames: at least 4 times that rate, worst IoU of masks 0.99',
         paper['ratio_of_medians'] >= 4 and agreement >= 0.99,
         f'{paper["ratio_of_medians"]:.1f}, IoU {agreement:.4f}'),
        ('one more target adds at most 15 % of a frame', further <= 0.15, f'{100 * further:.0f} %'),
        ('eight targets take at most 2.2 times as long as one', eight <= 2.2, f'{eight:.1f} times'),
        ('reading takes at most half of a frame at 32 memory frames', by_memory[32] <= 0.5,
         f'{100 * by_memory[32]:.0f} %'),
        ('the node adds at most 6 ms', outside <= 6, f'{outside:.1f} ms'),
        ('first mask within 6 s', first <= 6, f'{first:.1f} s')]
    return table([['goal', 'measured', ''], *(
        [text, measured, 'met' if is_met else '**missed**'] for text, is_met, measured in wanted)])


def soak(results: list[dict[str, Any]]) -> str:
    """Thousands of frames later."""
    found = results[0]
    young, old = (found['resident_bytes'][name] / 1e6 for name in ('young', 'old'))
    return table([
        ['after', 'a frame, old against young', 'resident memory'],
        [f'{found["frames"]:,} frames', f'ratio {found["ratio"]:.3f}',
         f'{young:.1f} MB after 100 frames, {old:.1f} MB at the end '
         f'({100 * found["growth"]:+.2f} %)']])


def reliability(results: list[dict[str, Any]]) -> str:
    """The clips of all seeds together, case by case, and the goals."""
    from stm_ros.evaluation.reliability_page import HEADINGS
    [found] = results
    cases = table([list(HEADINGS.values()), *(
        [figure(row[name], row['intervals'].get(name)) for name in HEADINGS]
        for row in found['cases'])])
    goals = [['goal', 'wanted', 'measured'], *(
        [goal['name'], goal['wanted'], goal_figure(goal)] for goal in found['goals'])]
    return f'{cases}\n\n{table(goals)}'


def figure(value: object, interval: Sequence[float] | None = None) -> str:
    """A share in per cent with its interval, a count as it is, nothing where none was measured."""
    if not isinstance(value, float):
        return '' if value is None else str(value)
    sure = '' if interval is None else f' ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})'
    return f'{100 * value:.1f}{sure}'


def goal_figure(goal: dict[str, Any]) -> str:
    """What was measured, in bold where it is not what is wanted."""
    if goal['measured'] is None:
        return ''
    text = (f'{figure(float(goal["measured"]), goal["interval"])} %' if '%' in goal['wanted']
            else f'{goal["measured"]:.0f}')
    return text if goal['is_met'] else f'**{text}**'


def accuracy(results: list[dict[str, Any]]) -> str:
    """J&F of each run, and of each sequence."""
    rows = [['', 'J&F', 'J', 'F', 'calibration error']]
    for found in results:
        total = found['summary']['all']
        calibration = found.get('calibration')
        rows.append([Path(found['settings']['weights']).name, *percent(total),
                     '' if calibration is None else f'{calibration["error"]:.3f}'])
    rows += [[f'{name} ({Path(results[0]["settings"]["weights"]).name})', *percent(entry), '']
             for name, entry in results[0]['sequences'].items()]
    return table(rows)


def percent(entry: dict[str, Any]) -> list[str]:
    """J&F, J and F of a summary."""
    return [f'{100 * value:.1f}' for value in (entry['J&F'], entry['J']['mean'],
                                               entry['F']['mean'])]


def robustness(results: list[dict[str, Any]]) -> str:
    """Points lost to each kind of damage, and what memory buys."""
    found = results[0]
    drops: dict[str, dict[int, float]] = {}
    for row in found['perturbations']:
        drops.setdefault(row['name'], {})[row['strength']] = 100 * row['drop']
    strengths = sorted({strength for of_kind in drops.values() for strength in of_kind})
    rows = [['drop of J&F at strength', *map(str, strengths)]]
    rows += [[f'`{name}`', *(f'{of_kind[strength]:.1f}' for strength in strengths)]
             for name, of_kind in drops.items()]
    memories = [['memory', 'J&F'], *([row['name'], f'{100 * row["J&F"]:.1f}']
                                     for row in found['memories']),
                ['all of it', f'{100 * found["summary"]["all"]["J&F"]:.1f}']]
    return f'{table(rows)}\n\n{table(memories)}'


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
        Figure('accuracy', scores, (
            Run('accuracy', evaluate, 'results.json'),
            Run('accuracy_permissive', (*evaluate, '--weights', 'permissive'), 'results.json')),
            accuracy, needs_davis=True),
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
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
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
    path = ROOT / 'stm_ros' / 'weights' / 'stm_lite.safetensors'
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10] if path.is_file() else 'none'


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
