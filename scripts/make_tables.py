# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes what is made from the settings' declarations: a table of docs/components.md, config/stm.yaml.

`make docs-tables` runs it; with --check it only says what is stale, and exits with 1.
"""
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from stm_ros.node.settings import parameters
from stm_ros.tracking.settings import Setting
from stm_ros.tracking.settings import text_of

ROOT = Path(__file__).resolve().parent.parent
BEGIN = '<!-- parameters: made by `make docs-tables` from the declarations -->'
END = '<!-- end of parameters -->'
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


def with_table(page: str, table: str) -> str:
    """A page whose part between the marks is `table`."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f'{before}{BEGIN}\n\n{table}\n\n{END}{after}'


def made_files() -> dict[Path, str]:
    """What each made file should hold."""
    page = ROOT / 'docs' / 'components.md'
    return {page: with_table(page.read_text(), parameter_table(parameters())),
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
