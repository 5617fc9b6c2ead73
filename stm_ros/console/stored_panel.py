# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Saving, loading, known objects, forgetting all."""
import asyncio
from typing import Any

from nicegui import ui

from stm_ros.console.commands import Command
from stm_ros.console.commands import ListStored
from stm_ros.console.commands import Load
from stm_ros.console.commands import Reset
from stm_ros.console.commands import Save
from stm_ros.console.link import Link
from stm_ros.console.wording import sentence


class StoredPanel:
    """Buttons that open dialogs; what they say is what the node answered."""

    def __init__(self, link: Link) -> None:
        """Build the elements where the page is."""
        self._link = link
        with ui.element('section').classes('card stored-card').props(
                'aria-label="Saved memory"'):
            with ui.element('div').classes('card-head'):
                ui.html('<h2>Saved memory</h2>', sanitize=False)
            with ui.element('div').classes('stored'):
                _button('Save', 'save', self.save)
                _button('Load', 'folder_open', self.load)
                _button('Known objects', 'category', self.known_objects)
                _button('Reset', 'delete_sweep', self.reset)

    async def save(self) -> None:
        """Ask for a name, and save."""
        with ui.dialog() as dialog, ui.card().classes('dialog'):
            ui.html('<h2>Save memory</h2>', sanitize=False)
            name = ui.input('Name').props('outlined dense autofocus maxlength=200')
            only = ui.checkbox('Only the references, as a library of known objects')
            name.on('keydown.enter', lambda: dialog.submit(True))
            _buttons(dialog, 'Save', 'confirm-save')
        is_wanted = await dialog
        dialog.delete()
        if is_wanted:
            await self._do(Save((name.value or '').strip(), only.value))

    async def load(self) -> None:
        """Offer the snapshots that there are."""
        reply = await self._ask(ListStored())
        if not reply.success:
            ui.notify(sentence(reply.message), type='negative')
            return
        await self._choose('Load memory', 'Replaces what is tracked now.',
                           [(name, '') for name in reply.snapshots], references_only=False)

    async def known_objects(self) -> None:
        """Offer the libraries that there are."""
        reply = await self._ask(ListStored())
        if not reply.success:
            ui.notify(sentence(reply.message), type='negative')
            return
        await self._choose('Known objects', 'Adds their references to what is tracked.',
                           list(reply.libraries), references_only=True)

    async def reset(self) -> None:
        """Ask, and forget everything."""
        with ui.dialog() as dialog, ui.card().classes('dialog'):
            ui.html('<h2>Reset</h2>', sanitize=False)
            ui.label('Forget every target, reference and memory frame of all streams? '
                     'What was saved stays.')
            _buttons(dialog, 'Forget all', 'confirm-reset', 'negative')
        is_sure = await dialog
        dialog.delete()
        if is_sure:
            await self._do(Reset())

    async def _choose(self, title: str, text: str, names: list[tuple[str, str]],
                      references_only: bool) -> None:
        with ui.dialog() as dialog, ui.card().classes('dialog'):
            ui.label(title).classes('dialog-title')
            ui.label(text).classes('quiet')
            with ui.element('div').classes('names'):
                for name, objects in names:
                    with ui.element('button').props('type=button').classes('name') as row:
                        ui.label(name)
                        ui.label(objects).classes('quiet')
                    row.props['data-mark'] = f'name-{name}'
                    row.on('click', lambda name=name: dialog.submit(name))
                if not names:
                    ui.label('There are none yet: save one first.')
            with ui.row().classes('dialog-buttons'):
                ui.button('Cancel', on_click=lambda: dialog.submit(None)).props('flat no-caps')
        chosen = await dialog
        dialog.delete()
        if chosen:
            await self._do(Load(chosen, references_only))

    async def _do(self, command: Command) -> None:
        reply = await self._ask(command)
        ui.notify(sentence(reply.message), type='positive' if reply.success else 'negative',
                  multi_line=True)

    async def _ask(self, command: Command) -> Any:
        return await asyncio.wrap_future(self._link.submit(command))


def _button(text: str, icon: str, action: Any) -> None:
    mark = text.lower().replace(' ', '-')
    ui.button(text, icon=icon, on_click=action).props(f'outline no-caps data-mark={mark}')


def _buttons(dialog: Any, text: str, mark: str, colour: str = 'primary') -> None:
    with ui.row().classes('dialog-buttons'):
        ui.button('Cancel', on_click=lambda: dialog.submit(False)).props('flat no-caps')
        ui.button(text, on_click=lambda: dialog.submit(True)).props(
            f'unelevated no-caps color={colour} data-mark={mark}')
