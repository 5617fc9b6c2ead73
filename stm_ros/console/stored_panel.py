# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Saving, loading, known objects, forgetting all."""
import asyncio
from functools import partial
from typing import Any

from nicegui import ui

from stm_ros.console.commands import Command
from stm_ros.console.commands import ListStored
from stm_ros.console.commands import Load
from stm_ros.console.commands import Reply
from stm_ros.console.commands import Reset
from stm_ros.console.commands import Save
from stm_ros.console.dialogs import Chooser
from stm_ros.console.dialogs import Dialog
from stm_ros.console.dialogs import Notices
from stm_ros.console.link import Link


class StoredPanel:
    """Buttons that open dialogs; what they say is what the node answered."""

    def __init__(self, link: Link) -> None:
        """Build the elements where the page is."""
        self._link = link
        self._notices = Notices()
        self._build_save()
        self._load = Chooser('Load memory', 'Replaces what is tracked now.',
                             partial(self._read, references_only=False))
        self._known = Chooser('Known objects', 'Adds their references to what is tracked.',
                              partial(self._read, references_only=True))
        self._reset = Dialog('Reset', 'Forget every target, reference and memory frame of all '
                                      'streams? What was saved stays.')
        self._reset.add_buttons('Forget all', 'confirm-reset', partial(self._do, Reset()),
                                colour='negative')
        with ui.element('section').classes('card stored-card').props(
                'aria-label="Saved memory"'):
            with ui.element('div').classes('card-head'):
                ui.html('<h2>Saved memory</h2>', sanitize=False)
            with ui.element('div').classes('stored'):
                _button('Save', 'save', self._ask_name)
                _button('Load', 'folder_open', self._offer_snapshots)
                _button('Known objects', 'category', self._offer_libraries)
                _button('Reset', 'delete_sweep', self._reset.open)

    def _build_save(self) -> None:
        self._save = Dialog('Save memory')
        with self._save:
            self._name = ui.input('Name').props('outlined dense autofocus maxlength=200')
            self._only = ui.checkbox('Only the references, as a library of known objects')
            self._name.on('keydown.enter', lambda: self._save.answer(self._write))
        self._save.add_buttons('Save', 'confirm-save', self._write)

    def _ask_name(self) -> None:
        self._name.value, self._only.value = '', False
        self._save.open()

    async def _write(self) -> None:
        await self._do(Save((self._name.value or '').strip(), self._only.value))

    async def _offer_snapshots(self) -> None:
        reply = await self._list()
        if reply.success:
            self._load.offer([(name, '') for name in reply.snapshots])

    async def _offer_libraries(self) -> None:
        reply = await self._list()
        if reply.success:
            self._known.offer(list(reply.libraries))

    async def _read(self, name: str, references_only: bool) -> None:
        await self._do(Load(name, references_only))

    async def _list(self) -> Reply:
        reply = await self._ask(ListStored())
        if not reply.success:
            self._notices.tell(reply)
        return reply

    async def _do(self, command: Command) -> None:
        self._notices.tell(await self._ask(command))

    async def _ask(self, command: Command) -> Reply:
        return await asyncio.wrap_future(self._link.submit(command))


def _button(text: str, icon: str, action: Any) -> None:
    mark = text.lower().replace(' ', '-')
    ui.button(text, icon=icon, on_click=action).props(f'outline no-caps data-mark={mark}')
