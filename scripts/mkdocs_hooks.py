# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What MkDocs needs to know of this repository: pages that lie outside docs/, and links to them.

README, CONTRIBUTING, CHANGELOG and the model cards are read where they lie. Links are rewritten
for the site; a link to a file of the repository that is no page becomes its text.
"""
from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'stm_ros/weights/MODEL_CARD.md': 'model-card.md',
    'stm_ros/weights/MODEL_CARD_PERMISSIVE.md': 'model-card-permissive.md'}
_LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
_CODE = re.compile(r'(^```.*?^```|`[^`\n]+`)', re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Leave out optional pages that do not exist, and list pages that the navigation forgot."""
    absent = {page for page in config.extra['optional_pages']
              if not (Path(config.docs_dir) / page).is_file()}
    nav = _without(config.nav, absent)
    listed = set(_pages(nav)) | set(OUTSIDE.values())
    there = {path.relative_to(config.docs_dir).as_posix()
             for path in Path(config.docs_dir).rglob('*.md')}
    if forgotten := sorted(there - listed):
        nav.append({'More': forgotten})
    config.nav = nav
    config.extra['absent_pages'] = absent
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/."""
    # the rest of this module, and its tests, need no MkDocs
    from mkdocs.structure.files import File
    for path, page in OUTSIDE.items():
        text = (ROOT / path).read_text(encoding='utf-8')
        files.append(File.generated(
            config, page, content=rewritten(text, path, page, config.extra['absent_pages'])))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of pages in docs/ that lead out of it."""
    if page.file.src_uri in OUTSIDE.values():
        return markdown
    return rewritten(markdown, f'docs/{page.file.src_uri}', page.file.src_uri,
                     config.extra['absent_pages'])


def rewritten(markdown: str, path: str, page: str, absent: set[str] = frozenset()) -> str:
    """
    Return `markdown` with the links of the file `path` of the repository as the site needs them.

    :param page: where the text stands in the site.
    :param absent: pages of docs/ that do not exist yet.
    """
    def replaced(found: re.Match[str]) -> str:
        image, text, target = found.groups()
        target, _, anchor = target.partition('#')
        if not target or re.match(r'[a-z]+:', target) or target.startswith('/'):
            return found.group(0)
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        inside = OUTSIDE.get(place, place.removeprefix('docs/') if place.startswith('docs/')
                             else None)
        if inside in absent or (inside is None and (ROOT / place).exists()):
            return text
        if inside is None:
            return found.group(0)
        relative = posixpath.relpath(inside, posixpath.dirname(page) or '.')
        return f'{image}[{text}]({relative}{"#" + anchor if anchor else ""})'

    parts = _CODE.split(markdown)
    return ''.join(part if number % 2 else _LINK.sub(replaced, part)
                   for number, part in enumerate(parts))


def _without(nav: list[Any], absent: set[str]) -> list[Any]:
    kept = []
    for entry in nav:
        [(title, content)] = entry.items()
        if isinstance(content, list):
            kept.append({title: _without(content, absent)})
        elif content not in absent:
            kept.append(entry)
    return kept


def _pages(nav: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in nav:
        [content] = entry.values()
        found += _pages(content) if isinstance(content, list) else [content]
    return found
