# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes what is made from declarations: the tables of docs/components.md, config/stm.yaml.

`make docs-tables` runs it; with --check it only says what is stale, and exits with 1.
"""
import sys
import textwrap
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

from stm_ros.cli.main import SUMMARIES
from stm_ros.node import declarations
from stm_ros.node.declarations import Service
from stm_ros.node.declarations import Topic
from stm_ros.node.settings import parameters
from stm_ros.tracking.settings import Setting
from stm_ros.tracking.settings import text_of

ROOT = Path(__file__).resolve().parent.parent
#: of commands that have a page of their own
_PAGES = {'track': 'tracking', 'fleet': 'fleet', 'eval': 'evaluation', 'reliability': 'reliability',
          'context': 'vlm', 'train': 'training', 'train-prompt': 'prompts',
          'eval-prompts': 'prompts', 'render': 'rendering', 'doctor': 'troubleshooting',
          'console': 'console'}
_YAML_HEAD = """\
# Parameters of stm_tracker with their defaults, made by `make docs-tables` from the declarations.
# Nothing is set here: in a copy that params_file names, take away the # of the next two lines, and
# of what you change. So what an including launch file sets (SetParameter) is not overruled by a
# default. Arguments of launch/stm.launch.py that are given win over this file.
#/**:
#  ros__parameters:
"""
_YAML_WIDTH = 92


def parameter_table(settings: Iterable[Setting]) -> str:
    """The rows of the table in Markdown."""
    rows = ['| name | type | default | accepted | live | what |', '|---|---|---|---|---|---|']
    for each in settings:
        kind = {tuple: 'string[]', str: 'string'}.get(each.kind, each.kind.__name__)
        unit = f' {each.unit}' if each.unit else ''
        accepted = f'{each.accepted}{unit}' if each.accepted else ''
        rows.append(f'| `{each.parameter}` | {kind} | `{text_of(each.default)}` | {accepted} | '
                    f'{"yes" if each.live else ""} | {each.meaning} |')
    return '\n'.join(rows)


def parameter_file(settings: Iterable[Setting]) -> str:
    """The text of config/stm.yaml: every parameter, commented out."""
    text, group = _YAML_HEAD, ''
    for each in sorted(settings, key=lambda each: each.group):
        if each.group != group:
            group = each.group
            text += f'\n#    {group}:\n'
        said = each.meaning + (f' [{each.unit}]' if each.unit else '')
        accepted = f' ({each.accepted})' if each.accepted else ''
        indent = '  ' if group else ''
        for line in textwrap.wrap(said + accepted, _YAML_WIDTH):
            text += f'    {indent}# {line}\n'
        text += f'#    {indent}{each.name}: {text_of(each.default)}\n'
    return text


def input_table(topics: Iterable[Topic]) -> str:
    """The rows of what is subscribed to."""
    rows = ['| topic | type | QoS | read with | what |', '|---|---|---|---|---|']
    rows += [f'| `{each.name}` | {each.kind} | {each.quality} | {each.when} | {each.meaning} |'
             for each in topics]
    return '\n'.join(rows)


def output_table(topics: Iterable[Topic]) -> str:
    """The rows of what is published."""
    rows = ['| topic | type | QoS | published | what |', '|---|---|---|---|---|']
    for each in topics:
        name = each.name if each.name.startswith('/') else f'~/{each.name}'
        needs = f'; needs {each.needs}' if each.needs else ''
        rows.append(f'| `{name}` | {each.kind} | {each.quality} | {each.when}{needs} | '
                    f'{each.meaning} |')
    rows += ['', 'Beside these, as every lifecycle node: ' + _names(
        declarations.STANDARD_PUBLISHED) + '.']
    return '\n'.join(rows)


def service_table(services: Iterable[Service]) -> str:
    """The rows of what is answered."""
    rows = ['| service | type | changes what is known | what |', '|---|---|---|---|']
    rows += [f'| `~/{each.name}` | {each.kind} | {"yes" if each.changes else ""} | '
             f'{each.meaning} |' for each in services]
    rows += ['', 'Beside these, as every lifecycle node: ' + _names(
        declarations.STANDARD_SERVICES) + '.']
    return '\n'.join(rows)


def command_table(summaries: Mapping[str, str]) -> str:
    """The rows of stm's commands."""
    rows = ['| command | what |', '|---|---|']
    for name, summary in summaries.items():
        page = f': [{_PAGES[name]}.md]({_PAGES[name]}.md)' if name in _PAGES else ''
        rows.append(f'| [`stm {name}`](cli.md#stm-{name}) | {summary}{page} |')
    return '\n'.join(rows)


def _names(names: Iterable[str]) -> str:
    return ', '.join(f'`{name if name.startswith("/") else "~/" + name}`' for name in names)


def with_table(page: str, name: str, table: str) -> str:
    """A page whose part between the marks of `name` is `table`; ValueError without the marks."""
    begin = f'<!-- {name}: made by `make docs-tables` from the declarations -->'
    end = f'<!-- end of {name} -->'
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f'the page must have {begin} and {end}, once each')
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f'{before}{begin}\n\n{table}\n\n{end}{after}'


def components_page(page: str) -> str:
    """docs/components.md with its tables made anew."""
    for name, table in (('subscribed topics', input_table(declarations.INPUTS)),
                        ('published topics', output_table(declarations.OUTPUTS)),
                        ('services', service_table(declarations.SERVICES)),
                        ('parameters', parameter_table(parameters())),
                        ('commands', command_table(SUMMARIES))):
        page = with_table(page, name, table)
    return page


def made_files() -> dict[Path, str]:
    """What each made file should hold."""
    page = ROOT / 'docs' / 'components.md'
    return {page: components_page(page.read_text()),
            ROOT / 'config' / 'stm.yaml': parameter_file(parameters())}


def main(arguments: list[str]) -> int:
    """Write, or check; the exit code."""
    stale = [path for path, text in made_files().items() if path.read_text() != text]
    for path in stale:
        print(f'{path.relative_to(ROOT)} is stale: run `make docs-tables`')
        if '--check' not in arguments:
            path.write_text(made_files()[path])
    return int(bool(stale) and '--check' in arguments)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
