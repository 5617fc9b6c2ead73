# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Dialogs and notices of one browser's page.

A dialog is built once, with the page, and used again. Nobody waits for it: what its button does
starts with the click, so that a browser that goes away in between leaves nothing behind.
"""
from collections.abc import Awaitable
from collections.abc import Callable
from typing import Any

from nicegui import context
from nicegui import ui

from stm_ros.console.commands import Reply
from stm_ros.console.wording import sentence

_COLOURS = {True: 'positive', False: 'negative'}


class Notices:
    """Short messages at the foot of the page, which outlive whatever was clicked."""

    def __init__(self) -> None:
        """Speak to the browser whose page is being built."""
        self._client = context.client

    def tell(self, reply: Reply) -> None:
        """Say what the node answered; nothing where the browser has gone."""
        self._notify(sentence(reply.message), type=_COLOURS[reply.success], multi_line=True)

    def warn(self, text: str) -> None:
        """Say what cannot be done."""
        self._notify(text, type='warning')

    def _notify(self, text: str, **options: Any) -> None:
        if not self._client.is_deleted:
            with self._client:
                ui.notify(text, **options)


class Dialog:
    """A card over the page; use it as a context to put elements into it."""

    def __init__(self, title: str, text: str = '') -> None:
        """Build it, closed, in the layout of the page that is being built."""
        # a button that still moves may be missed by the click that is meant for it
        self._dialog = ui.dialog().props('transition-duration=0')
        with self._dialog:
            self._card = ui.card().classes('dialog')
        with self._card:
            ui.html(f'<h2>{title}</h2>', sanitize=False)
            self._text = ui.label(text)
        self._text.set_visibility(bool(text))

    def __enter__(self) -> 'Dialog':
        self._card.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._card.__exit__(*error)

    def open(self, text: str = '') -> None:
        """Show it, with another text where one is given."""
        if text:
            self._text.text = text
            self._text.set_visibility(True)
        self._dialog.open()

    def close(self) -> None:
        """Put it away."""
        self._dialog.close()

    def add_buttons(self, text: str, mark: str, act: Callable[[], Awaitable[None]],
                    **look: str) -> None:
        """Add one button that puts the dialog away and one that acts as well.

        :param text: what the second one says; `mark` finds it.
        :param look: colour, and what the first one says (refuse).
        """
        with self._card, ui.row().classes('dialog-buttons'):
            ui.button(look.get('refuse', 'Cancel'), on_click=self.close).props('flat no-caps')
            ui.button(text, on_click=lambda: self.answer(act)).props(
                f'unelevated no-caps color={look.get("colour", "primary")} data-mark={mark}')

    async def answer(self, act: Callable[[], Awaitable[None]]) -> None:
        """Put the dialog away and act, once: the second of two clicks finds it closed."""
        if self._dialog.value:
            self.close()
            await act()


class Chooser(Dialog):
    """A dialog with a list of names to choose from."""

    def __init__(self, title: str, text: str, choose: Callable[[str], Awaitable[None]]) -> None:
        """Build it, closed.

        :param choose: called with the name that was chosen.
        """
        super().__init__(title, text)
        self._choose = choose
        with self:
            self._names = ui.element('div').classes('names')
            with ui.row().classes('dialog-buttons'):
                ui.button('Cancel', on_click=self.close).props('flat no-caps')

    def offer(self, names: list[tuple[str, str]]) -> None:
        """Show names, each with a note, and open."""
        self._names.clear()
        with self._names:
            for name, note in names:
                self._add_name(name, note)
            if not names:
                ui.label('There are none yet: save one first.')
        self.open()

    def _add_name(self, name: str, note: str) -> None:
        with ui.element('button').props('type=button').classes('name') as row:
            ui.label(name)
            ui.label(note).classes('quiet')
        row.props['data-mark'] = f'name-{name}'
        row.on('click', lambda: self.answer(lambda: self._choose(name)))
