# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The documentation: links lead somewhere, generated pages are fresh, figures can be made."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from stm_ros.cli.main import main
from stm_ros.networks.checkpoints import SHIPPED_WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'),
                *(ROOT / 'stm_ros' / 'weights').glob('*.md')])
LINK = re.compile(r'!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)')


def script(name: str) -> ModuleType:
    """A module of scripts/, which is no package."""
    if str(ROOT / 'scripts') not in sys.path:
        sys.path.append(str(ROOT / 'scripts'))
    spec = spec_from_file_location(name, ROOT / 'scripts' / f'{name}.py')
    module = module_from_spec(spec)
    # dataclasses look their module up by name
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


figures = script('figures')


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r'(^```.*?^```|`[^`\n]*`)', '', text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The ids of a page's headings, as Markdown makes them."""
    lines = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r'^#+ +(.+)$', lines, re.MULTILINE)
    plain = [re.sub(r'[^\w\s-]', '', heading.lower()).strip() for heading in headings]
    return {re.sub(r'[\s-]+', '-', words) for words in plain}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page.read_text())):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f'{page.name}: {target}'
        if anchor and linked.suffix == '.md':
            assert anchor in anchors(linked), f'{page.name}: {target}'


def test_every_page_of_the_navigation_exists_or_is_optional() -> None:
    text = (ROOT / 'mkdocs.yml').read_text()
    nav = text[text.index('\nnav:'):text.index('\nextra:')]
    optional = set(re.findall(r'[\w/-]+\.md', text[text.index('\nextra:'):]))
    outside = set(re.findall(r"'([\w-]+\.md)'", (ROOT / 'scripts/mkdocs_hooks.py').read_text()))
    listed = set(re.findall(r': ([\w/-]+\.md)$', nav, re.MULTILINE))
    there = {path.relative_to(ROOT / 'docs').as_posix() for path in (ROOT / 'docs').rglob('*.md')}
    assert listed - optional - outside <= there
    assert optional <= listed


@pytest.mark.parametrize('name', ['cli.md', 'messages.md'])
def test_generated_pages_are_fresh(name: str) -> None:
    reference = script('make_reference')
    assert (ROOT / 'docs' / name).read_text() == reference.PAGES[name](), 'run `make reference`'


def test_the_site_is_built_strictly() -> None:
    """With --quiet MkDocs does not count its warnings, and strict means nothing."""
    command = next(line for line in (ROOT / 'scripts/docs.sh').read_text().splitlines()
                   if ' build ' in line)
    assert '--strict' in command and '--quiet' not in command


@pytest.mark.parametrize('link', ['tuning.md', 'gone.md', 'tuning.md#gone', 'images/gone.png'])
def test_a_dead_link_fails_the_site(tmp_path: Path, link: str) -> None:
    """The very command of `make docs`, over a copy of which one page gets a link."""
    program = ROOT / 'build/docs-environment/bin/mkdocs'
    if not program.is_file():
        pytest.skip('MkDocs is not installed: run `make docs`')
    shutil.copytree(ROOT / 'docs', tmp_path / 'docs')
    shutil.copy(ROOT / 'mkdocs.yml', tmp_path)
    (tmp_path / 'scripts').symlink_to(ROOT / 'scripts')
    with (tmp_path / 'docs/tutorial.md').open('a') as page:
        page.write(f'\nSee [this]({link}).\n')
    done = subprocess.run([program, 'build', '--strict', '--site-dir', tmp_path / 'site'],
                          cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == (link == 'tuning.md'), done.stderr
    assert link == 'tuning.md' or 'gone' in done.stderr


def test_links_out_of_docs_are_rewritten() -> None:
    hooks = script('mkdocs_hooks')
    text = '[a](docs/tutorial.md#x) ![i](docs/images/demo.png) [c](setup.py) `[d](docs/y.md)`'
    assert hooks.rewritten(text, 'README.md', 'index.md') == (
        '[a](tutorial.md#x) ![i](images/demo.png) c `[d](docs/y.md)`')
    note = '[up](../../CONTRIBUTING.md) [x](../gone.md) [y](../later.md)'
    assert hooks.rewritten(note, 'docs/notes/a.md', 'notes/a.md', {'later.md'}) == (
        '[up](../contributing.md) [x](../gone.md) y')


def test_every_figure_has_its_place() -> None:
    made = figures.figures('DAVIS')
    for item in made:
        page = (ROOT / 'docs' / item.page).read_text()
        assert '\nNEW\n' in figures.placed(page, item.name, 'NEW')
    named = {(item.page, item.name) for item in made}
    marked = {(path.name, name) for path in (ROOT / 'docs').glob('*.md')
              for name in re.findall(r'<!-- figure: (\w+) -->', path.read_text())}
    assert marked == named


def test_a_figure_replaces_what_is_between_its_marks_only() -> None:
    page = 'a\n<!-- figure: x -->\nold\n<!-- end of figure -->\nb\n<!-- figure: y -->\n' \
        'stays\n<!-- end of figure -->\n'
    changed = figures.placed(page, 'x', r'new \1')
    assert changed == page.replace('\nold\n', '\n\nnew \\1\n\n')
    for wrong in ('z', 'figure'):
        with pytest.raises(figures.FigureError, match='0 times'):
            figures.placed(page, wrong, 'new')


def test_figures_are_chosen_by_name() -> None:
    assert [item.name for item in figures.chosen('graph,stages', None)] == ['stages', 'graph']
    assert not any(item.needs_davis for item in figures.chosen('', None))
    with pytest.raises(figures.FigureError, match='no figure tea'):
        figures.chosen('tea', None)
    assert figures.main(['--only', 'tea']) == 2


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of runs/figures, and a copy of the pages."""
    if not SHIPPED_WEIGHTS.is_file():
        pytest.skip(f'no shipped weights at {SHIPPED_WEIGHTS}')
    monkeypatch.setattr(figures, 'RESULTS', tmp_path / 'figures')
    shutil.copytree(ROOT / 'docs', tmp_path / 'docs')
    return tmp_path


@pytest.mark.skipif(find_spec('skimage') is None, reason='stm bench needs scikit-image')
def test_a_figure_from_the_command_to_the_page(results: Path) -> None:
    """The real command at a small size; the page says what it measured, and of what version."""
    run = figures.Run('stages', ('bench', '--frames', '3', '--warm-up', '0', '--size', '128x96',
                                 '--memory', '2', '--threads', '1'), 'bench.json')
    small = figures.Figure('stages', 'performance.md', (run,), figures.stages)
    with pytest.raises(figures.FigureError, match='has not been made'):
        figures.block(small)
    (results / 'figures' / 'stages').mkdir(parents=True)
    (results / 'figures' / 'stages' / 'notes.txt').write_text('mine')
    figures.make(run)
    figures.make(run)
    assert (results / 'figures' / 'stages' / 'notes.txt').read_text() == 'mine'
    figures.write(small, results / 'docs')
    page = (results / 'docs' / 'performance.md').read_text()
    measured = json.loads((results / 'figures/stages/bench.json').read_text())['measurements'][0]
    frame = measured['stages']['frame']['p50_ms']
    assert f'| frame | {frame:.1f} |' in page and f'{1000 / frame:.1f} frames a second' in page
    assert '`stm bench --frames 3 --warm-up 0 --size 128x96' in page
    digest = subprocess.run(['sha256sum', str(SHIPPED_WEIGHTS)], capture_output=True, text=True)
    assert f'weights {digest.stdout[:10]}' in page and 'torch 2.' in page


def test_a_command_that_fails_is_told(results: Path) -> None:
    run = figures.Run('x', ('bench', '--frames', '0'), 'bench.json')
    with pytest.raises(figures.FigureError, match='exit code 2(.|\n)*frames is 0'):
        figures.make(run)


@pytest.mark.skipif(find_spec('skimage') is None, reason='the clips need scikit-image')
def test_reliability_of_several_seeds_is_one_table(results: Path, capsys) -> None:
    pytest.importorskip('matplotlib')
    assert main(['reliability', '--size', '128x96', '--cases', 'scene_cut', '--clips', '1',
                 '--seeds', '3,4', '--out', str(results / 'out')]) == 0
    found = json.loads((results / 'out' / 'reliability.json').read_text())
    text = figures.reliability([found])
    row = next(line for line in text.splitlines() if line.startswith('| scene_cut'))
    assert row.split(' | ')[1] == '2', 'one clip of each seed'
    slowest = max(clip['lost_after'] for clip in found['clips'])
    assert row.split(' | ')[2] == str(slowest)
    assert '| goal | wanted | measured |' in text


def test_speed_against_its_goals() -> None:
    def swept(name: str, values: dict[int, float], share: float = 0.4) -> dict:
        return {'measurements': [
            {'settings': {name: value}, 'stages': {'frame': {'p50_ms': ms},
                                                   'read': {'p50_ms': 1.0, 'share': share}}}
            for value, ms in values.items()]}
    over_ros = {'unhurried': {'outside_tracker_p50_ms': 7.0}, 'start': {'to_first_mask_s': 3.0}}
    ratios = [{'ratio_of_medians': 30.0, 'mask_iou': []},
              {'ratio_of_medians': 4.5, 'mask_iou': [0.999, 0.991]}]
    lines = figures.goals([swept('targets', {1: 80.0}), *ratios, swept('memory', {32: 90.0}),
                           swept('targets', {1: 50.0, 2: 60.0, 8: 100.0}), over_ros]).splitlines()
    assert [line.rstrip(' |').rpartition('| ')[2] for line in lines[2:]] == [
        'met', 'met', 'met', '**missed**', 'met', 'met', '**missed**', 'met']
    assert '12.5' in lines[2] and 'IoU 0.9910' in lines[4] and '20 %' in lines[5]
