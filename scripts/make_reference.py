# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes the reference pages that follow from the code: docs/cli.md and docs/messages.md.

`make reference` runs it; a test fails where a page is stale.
"""
from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path

from stm_ros.cli import main as command_line

ROOT = Path(__file__).resolve().parent.parent
HEAD = '<!-- Written by scripts/make_reference.py: `make reference`. -->\n'
_INTERFACES = ('msg', 'srv')


def cli_page() -> str:
    """Every command of `stm` with its options."""
    parts = [HEAD, '# The stm command\n', 'Every command exits with 0 on success and with 2 and '
             'one line on wrong input; `stm COMMAND --help` prints what stands here.\n']
    for name, summary in command_line.SUMMARIES.items():
        parser = argparse.ArgumentParser(prog=f'stm {name}', add_help=False)
        import_module(f'stm_ros.cli.{command_line._COMMANDS[name]}').add_arguments(parser)
        parts.append(f'## stm {name}\n\n{summary[:1].upper()}{summary[1:]}.\n')
        parts += [_group(group) for group in parser._action_groups if group._group_actions]
    return '\n'.join(parts)


def _group(group: argparse._ArgumentGroup) -> str:
    rows = ['| argument | meaning |', '|---|---|']
    for action in group._group_actions:
        if isinstance(action, argparse._SubParsersAction):
            rows += [f'| `{name}` | {_meaning(_summary(action, name))} |'
                     for name in action.choices]
        elif action.help is not argparse.SUPPRESS:
            rows.append(f'| {_name(action)} | {_meaning(_expanded(action))} |')
    title = (group.title or '').lower()
    plain = title in ('positional arguments', 'options', 'optional arguments')
    heading = '' if plain else f'**{title[:1].upper()}{title[1:]}**\n\n'
    return heading + '\n'.join(rows) + '\n'


def _summary(action: argparse._SubParsersAction, name: str) -> str:
    return next((choice.help or '' for choice in action._choices_actions
                 if choice.dest == name), '')


def _name(action: argparse.Action) -> str:
    value = action.metavar or (
        '|'.join(map(str, action.choices)) if action.choices else (action.dest or '').upper())
    if isinstance(value, tuple):
        value = ' '.join(value)
    if not action.option_strings:
        return _code(action.metavar or action.dest)
    names = ', '.join(action.option_strings)
    return _code(names if action.nargs == 0 else f'{names} {value}')


def _code(text: object) -> str:
    return '`' + str(text).replace('|', '\\|') + '`'


def _expanded(action: argparse.Action) -> str:
    values = {**vars(action), 'prog': 'stm'}
    return (action.help or '') % values


def _meaning(text: str) -> str:
    text = text.replace('|', '\\|').replace('<', '&lt;').replace('*', '\\*')
    return text


def messages_page() -> str:
    """Every message and service with its fields and what they mean."""
    parts = [HEAD, '# Messages and services\n', 'All of the package `stm_ros`. Every message '
             'carries the header of the image that it answers.\n']
    for kind in _INTERFACES:
        for path in sorted((ROOT / kind).iterdir()):
            parts.append(f'## {kind}/{path.stem}\n\n{_definition(path.read_text())}')
    return '\n'.join(parts)


def _definition(text: str) -> str:
    lines = text.splitlines()
    about = []
    while lines and lines[0].startswith('#'):
        about.append(lines.pop(0).removeprefix('#').strip())
    sections = '\n'.join(lines).split('\n---\n')
    names = ['Request', 'Reply'] if len(sections) > 1 else ['']
    parts = [' '.join(about) + '\n']
    for name, section in zip(names, sections, strict=True):
        rows = _fields(section)
        if name:
            parts.append(f'**{name}**' + ('' if rows else ': empty') + '\n')
        if rows:
            parts.append('\n'.join(['| field | type | meaning |', '|---|---|---|', *rows]) + '\n')
    return '\n'.join(parts)


def _fields(section: str) -> list[str]:
    """Rows of a table; a comment on lines of its own goes on with the field above."""
    rows: list[tuple[str, str, str]] = []
    for line in section.splitlines():
        code, _, comment = line.partition('#')
        words = code.split(None, 1)
        if len(words) == 2:
            rows.append((re.sub(r'\s*=\s*', ' = ', words[1].strip()), words[0], comment.strip()))
        elif rows and comment:
            name, kind, before = rows[-1]
            rows[-1] = (name, kind, f'{before} {comment.strip()}')
    return [f'| `{name}` | `{kind}` | {_meaning(meaning)} |' for name, kind, meaning in rows]


PAGES = {'cli.md': cli_page, 'messages.md': messages_page}


def main() -> int:
    """Write the pages."""
    for name, make in PAGES.items():
        (ROOT / 'docs' / name).write_text(make(), encoding='utf-8')
        print(f'written: docs/{name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
