# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How the results of commands become the tables of the documentation, for scripts/figures.py."""
from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = list[list[str]]


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
    if rates := found.get('frames_per_second'):
        text += f' Frames a second: {rates["a"]:.2f}, and {rates["b"]:.2f} of the baseline.'
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
    """J&F of each set of weights and of each sequence, as shipped and with nothing withheld.

    :param results: of each set of weights two, the second with nothing withheld.
    """
    rows = [['weights', 'J&F as shipped', 'J', 'F', 'J&F, nothing withheld', 'calibration error',
             'Spearman', 'AUROC']]
    pairs = list(zip(results[::2], results[1::2], strict=True))
    for found, whole in pairs:
        judged = found['calibration']
        rows.append([Path(found['settings']['weights']).name, *percent(found['summary']['all']),
                     percent(whole['summary']['all'])[0],
                     *(f'{judged[name]:.3f}' for name in
                       ('error', 'rank_correlation', 'failure_auroc'))])
    for found, whole in pairs:
        rows += [[f'{name} ({Path(found["settings"]["weights"]).name})', *percent(entry),
                  percent(whole['sequences'][name])[0], '', '', '']
                 for name, entry in found['sequences'].items()]
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
