# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A self-contained HTML page: text, tables, charts as inline SVG, pictures as data URIs.

The page asks nothing of the network (its content security policy forbids it), runs no script, and
prints: sections stay together, dark colours become light ones.
"""
from __future__ import annotations

import base64
from collections.abc import Iterable
from collections.abc import Mapping
from html import escape
from pathlib import Path

import cv2
import numpy as np

from stm_ros.report.style import STYLE
from stm_ros.vision.masks import check_image

JPEG_QUALITY = 80
PNG_HEADER = b'\x89PNG'
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Markup; every other string is escaped before it enters a page."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | None) -> Html:
    """Return `<name ...>children</name>`.

    Children that are not Html are escaped. Attributes are always escaped; None leaves one out, a
    trailing underscore is dropped and other underscores become hyphens (`class_`, `stroke_width`).
    """
    words = ''.join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
                    for key, value in attributes.items() if value is not None)
    return Html(f'<{name}{words}>{joined(children)}</{name}>')


def joined(parts: Iterable[str]) -> Html:
    """Return the parts as one piece of markup; those that are not Html are escaped."""
    return Html(''.join(part if isinstance(part, Html) else escape(part) for part in parts))


def jpeg(image: np.ndarray, width: int) -> bytes:
    """JPEG bytes of `image` (H×W×3 uint8 RGB), made smaller where it is wider than `width`."""
    check_image(image)
    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def picture(content: bytes, alternative: str, caption: str = '', *below: Html) -> Html:
    """A figure of JPEG or PNG bytes; `alternative` says in words what it shows."""
    kind = 'png' if content.startswith(PNG_HEADER) else 'jpeg'
    source = f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
    image = Html(f'<img src="{source}" alt="{escape(alternative)}" loading="lazy">')
    words = [element('figcaption', caption)] if caption else []
    return element('figure', image, *below, *words)


def gallery(figures: Iterable[Html], kind: str = 'sheet') -> Html:
    """Figures in a grid: 'sheet' for frames, 'film' for small crops in a row."""
    return element('div', *figures, class_=kind)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], caption: str = '') -> Html:
    """A table; the first cell of each row is its heading."""
    head = element('tr', *(element('th', name, scope='col') for name in columns))
    body = []
    for row in rows:
        first, *others = row
        body.append(element('tr', element('th', first, scope='row'),
                            *(element('td', cell) for cell in others)))
    words = [element('caption', caption)] if caption else []
    return element('div', element('table', *words, element('thead', head),
                                  element('tbody', *body)), class_='scroll')


def bar(share: float) -> Html:
    """A horizontal bar filled to `share` (0 to 1)."""
    width = f'width:{100 * min(max(share, 0.0), 1.0):.1f}%'
    return element('div', element('div', style=width), class_='bar')


class Page:
    """Collects the sections of a report in the order in which they are read."""

    def __init__(self, title: str, summary: str = '') -> None:
        """Start with a heading and a sentence that says what was found."""
        self._title = title
        self._parts: list[Html] = [element('h1', title)]
        if summary:
            self._parts.append(element('p', summary, class_='summary'))

    def facts(self, values: Mapping[str, str]) -> None:
        """Add names and values in a grid, such as the figures that matter most."""
        cells = [element('div', element('dt', name), element('dd', value))
                 for name, value in values.items()]
        self._parts.append(element('dl', *cells, class_='facts'))

    def section(self, title: str, *content: Html, note: str = '') -> None:
        """Add a section; `note` explains in a sentence how to read it."""
        words = [element('p', note, class_='note')] if note else []
        self._parts.append(element('section', element('h2', title), *words, *content))

    def html(self) -> str:
        """The whole page."""
        head = joined([
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'),
            element('title', self._title), element('style', Html(STYLE))])
        return ('<!doctype html>\n' + element('html', element('head', head),
                                              element('body', element('main', *self._parts)),
                                              lang='en') + '\n')

    def write(self, path: str | Path) -> None:
        """Write the page whole or not at all: an earlier one stays until this one is complete."""
        target = Path(path)
        partial = target.with_name(f'.{target.name}.partial')
        partial.write_text(self.html(), encoding='utf-8')
        partial.replace(target)
