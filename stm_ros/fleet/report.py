# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A fleet's results as one page of HTML that needs nothing else."""
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from stm_ros.fleet.comparing import PREDICTIONS
from stm_ros.fleet.comparing import read_entries
from stm_ros.fleet.replaying import RECORDINGS
from stm_ros.fleet.replaying import FleetSettings
from stm_ros.fleet.replaying import Outcome
from stm_ros.fleet.results import REPORT
from stm_ros.fleet.results import frames_shown
from stm_ros.fleet.results import losses_of
from stm_ros.fleet.results import status_of
from stm_ros.vision.output_folder import write_atomically

#: points of a curve; a longer recording shows the least confidence of each part
CURVE_POINTS = 160
#: recordings with a row; of more, the rest is counted
MOST_ROWS = 2000
_WIDTH, _HEIGHT = 160, 28
_ORDER = ('failed', 'worse', 'differs', 'done', 'as expected', 'done before')
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem;
       padding: 0 1rem; color: #1b1f24; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d8dee4;
         vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.failed, .worse { color: #b3261e; font-weight: 600 } .differs { color: #8a5a00 }
figure { display: inline-block; margin: .5rem 1rem .5rem 0 } figure img { max-width: 100% }
code { overflow-wrap: anywhere } svg { display: block }
"""


def write_report(out: Path, outcomes: Sequence[Outcome], settings: FleetSettings, engine: str
                 ) -> Path:
    """Write report.html: what became of each recording, the worst first, and why.

    :param engine: which workers did it, for people.
    """
    ordered = sorted(outcomes, key=_rank)
    counts = Counter(map(status_of, outcomes))
    frames = sum(outcome.frames for outcome in outcomes)
    summary = ', '.join(f'{counts[name]} {name}' for name in _ORDER if counts[name])
    rows = '\n'.join(_row(out, outcome) for outcome in ordered[:MOST_ROWS])
    more = len(ordered) - MOST_ROWS
    rest = f'<p>{more} more are in fleet.json.</p>' if more > 0 else ''
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stm fleet</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>stm fleet</h1>
<p>{len(outcomes)} recordings, {frames} frames: {escape(summary)}.</p>
<p>{escape(_described(settings))}; {escape(engine)}.</p>
<table><thead><tr><th>recording</th><th>status</th><th class="number">frames</th>
<th class="number">per second</th><th>targets: mean confidence, frames lost</th>
<th>least confidence over time</th></tr></thead><tbody>
{rows}
</tbody></table>
{rest}
{_worst_section(ordered, settings)}
</body></html>
"""
    path = out / REPORT
    write_atomically(path, page.encode())
    return path


def _rank(outcome: Outcome) -> tuple[int, int, str]:
    comparison = outcome.comparison
    return (_ORDER.index(status_of(outcome)), -(comparison.differing if comparison else 0),
            outcome.name)


def _described(settings: FleetSettings) -> str:
    weights = settings.weights or 'the shipped weights'
    expected = f'; compared with {settings.expect}, IoU at least {settings.min_iou:g}' \
        if settings.expect else ''
    return f'{settings.model} with {weights} on {settings.device}{expected}'


def _row(out: Path, outcome: Outcome) -> str:
    status = status_of(outcome)
    comparison = outcome.comparison
    reason = outcome.reason or (comparison.reason if comparison else None) or ''
    if comparison is not None and comparison.reason is None and comparison.differing:
        reason = (f'{comparison.differing} of {comparison.frames} frames differ, mean IoU '
                  f'{comparison.mean_iou:.3f}; lost {comparison.lost[0]} → {comparison.lost[1]}; '
                  f'confidence {comparison.confidence[0]:.2f} → {comparison.confidence[1]:.2f}')
    reason = '; '.join(filter(None, (reason, losses_of(outcome), *outcome.notes)))
    targets = '<br>'.join(
        f'{escape(target.label)} ({target.id}): {target.mean_confidence:.2f}, '
        f'{target.frames_lost}' for target in outcome.targets)
    speed = f'{outcome.frames / outcome.seconds:.1f}' if outcome.seconds else ''
    curve = '' if outcome.reason else _curve(
        out / RECORDINGS / outcome.name / PREDICTIONS, outcome.frames)
    return (f'<tr><td>{escape(outcome.name)}<br><code>{escape(outcome.source)}</code></td>'
            f'<td><span class="{status.split()[0]}">{status}</span><br>{escape(reason)}</td>'
            f'<td class="number">{outcome.frames}</td><td class="number">{speed}</td>'
            f'<td>{targets}</td><td>{curve}</td></tr>')


def _curve(predictions: Path, frames: int) -> str:
    """The least confidence of any target over time, as a line."""
    if not frames or not predictions.is_file():
        return ''
    points = min(CURVE_POINTS, frames)
    least = [1.0] * points
    for entry in read_entries(predictions):
        place = min(points - 1, entry['index'] * points // frames)
        for target in entry['targets']:
            least[place] = min(least[place], target['confidence'])
    line = ' '.join(f'{_WIDTH * (i + 0.5) / points:.1f},{_HEIGHT - 1 - (_HEIGHT - 2) * y:.1f}'
                    for i, y in enumerate(least))
    return (f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="confidence">'
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#f2f4f7"/><polyline points="{line}" '
            'fill="none" stroke="#1f6feb" stroke-width="1.5"/></svg>')


def _worst_section(outcomes: Sequence[Outcome], settings: FleetSettings) -> str:
    if settings.expect is None:
        return ''
    figures = []
    for outcome in outcomes:
        for frame in frames_shown(outcome):
            figures.append(
                f'<figure><img alt="expected and found masks" '
                f'src="data:image/jpeg;base64,{frame.picture}"><figcaption>'
                f'{escape(outcome.name)}, frame {frame.index}: IoU {frame.iou:.3f}</figcaption>'
                '</figure>')
    found = sum(len(outcome.comparison.worst) for outcome in outcomes if outcome.comparison)
    if len(figures) < found:
        figures.append(f'<p>{found - len(figures)} more are in fleet.json, without pictures.</p>')
    return '<h2>Worst frames</h2>\n' + ('\n'.join(figures) or '<p>None differs.</p>')
