# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The page, as one browser sees it; it reads what the ROS thread published, and redraws."""
import time
from typing import Any

from nicegui import ui

from stm_ros.console.dialogs import Dialog
from stm_ros.console.drafting import Drafting
from stm_ros.console.elements import CameraView
from stm_ros.console.link import Link
from stm_ros.console.memory_panel import EvidencePanel
from stm_ros.console.memory_panel import MemoryPanel
from stm_ros.console.snapshots import ConsoleView
from stm_ros.console.snapshots import Fault
from stm_ros.console.snapshots import TargetView
from stm_ros.console.status_panel import Diagnostics
from stm_ros.console.status_panel import FaultSign
from stm_ros.console.status_panel import Figures
from stm_ros.console.stored_panel import StoredPanel
from stm_ros.console.targets_panel import TargetsPanel

_PERIOD = 0.4
# the browser keeps what was chosen there; before that it goes by its system
_SWITCH_THEME = """
Quasar.Dark.toggle();
localStorage.setItem('stm-dark', String(Quasar.Dark.isActive));
"""
_RESTORE_THEME = """
const kept = localStorage.getItem('stm-dark');
if (kept !== null) Quasar.Dark.set(kept === 'true');
"""
_STOPPED_SECONDS = 10.0
_STOPPED = Fault('The console has stopped listening', (
    'What you see is old. See the log of stm console, and start it again.',))
_KEYS = (
    ('L', 'look, and choose a target'), ('B', 'box'), ('C', 'click on the target'),
    ('X', 'click on what is not the target'), ('P / E', 'paint / erase'),
    ('[ ]', 'smaller or larger brush'), ('1 … 9', 'choose the target in that place'),
    ('G', 'correct the chosen target'), ('Ctrl Z', 'undo'), ('Esc', 'cancel'),
    ('Arrows', 'move the cursor in the picture; with Shift by one pixel'),
    ('Space', 'mark there: a corner, a click, a dab'), ('Enter', 'accept'), ('?', 'this list'))


class Page:
    """One browser's page."""

    def __init__(self, link: Link) -> None:
        """Build it, and keep it up to date."""
        self._link = link
        self._stream = ''
        self._streams: tuple[str, ...] = ()
        self._tile_of: dict[str, Any] = {}
        self._chosen = 0
        ui.add_head_html('<link rel="stylesheet" href="/static/console.css">')
        ui.colors(primary='#0f766e', positive='#15803d', negative='#b91c1c', warning='#b45309')
        ui.run_javascript(_RESTORE_THEME)
        self._build_keys()
        with ui.element('header').classes('head'):
            self._build_head()
        self._tiles = ui.element('nav').classes('tiles').props('aria-label=Streams')
        with ui.element('main').classes('page'):
            with ui.element('div').classes('wide'):
                with ui.element('section').classes('card').props('aria-label="Live view"'):
                    self._drafting = Drafting(link, self._stream)
                    self._fault = FaultSign()
                self._memory = MemoryPanel()
            with ui.element('div').classes('narrow'):
                self._targets = TargetsPanel(link, self._drafting.correct, self._choose)
                StoredPanel(link)
                self._evidence = EvidencePanel()
                self._diagnostics = Diagnostics()
        self._drafting.camera.on('pick', lambda event: self._choose(event.args.get('id')))
        self._drafting.camera.on('shortcut', self._press)
        ui.timer(_PERIOD, self.update)
        self.update()

    def update(self) -> None:
        """Show what is known now."""
        view = self._link.view
        self._name.text = view.node
        self._show_streams(view)
        for name, tile in self._tile_of.items():
            is_faulty = (held := view.streams.get(name)) is not None and held.fault is not None
            tile.classes(replace='tile' + (' tile-on' if name == self._stream else '')
                         + (' tile-fault' if is_faulty else ''))
        stream = view.streams.get(self._stream)
        stopped = _STOPPED if time.monotonic() - view.now > _STOPPED_SECONDS else None
        self._figures.update(stream)
        if stream is None:
            self._fault.update(stopped or view.fault)
            return
        # over a frozen frame it would only be in the way
        fault = stopped or view.fault or stream.fault
        self._fault.update(None if self._drafting.is_open else fault)
        chosen = self._chosen_target(stream.targets)
        self._targets.update(stream, view.now, 0 if chosen is None else chosen.id)
        self._memory.update(view, stream, chosen)
        self._evidence.update(stream, chosen)
        self._diagnostics.update(view, stream)
        self._drafting.camera.show(picked=0 if chosen is None else chosen.id)

    def _build_head(self) -> None:
        ui.html('<h1>stm</h1>', sanitize=False)
        self._name = ui.label().classes('node-name')
        ui.space()
        self._figures = Figures()
        ui.button(icon='contrast', on_click=lambda: ui.run_javascript(_SWITCH_THEME)).props(
            'flat round dense data-mark=theme aria-label="Dark or light"')
        ui.button(icon='keyboard', on_click=self._keys.open).props(
            'flat round dense data-mark=keys aria-label=Keys')

    def _show_streams(self, view: ConsoleView) -> None:
        names = tuple(view.streams)
        if names == self._streams:
            return
        self._streams = names
        if self._stream not in names:
            self._show_stream(names[0] if names else '')
        self._tiles.clear()
        self._tile_of = {}
        self._tiles.set_visibility(len(names) > 1)
        if len(names) > 1:
            with self._tiles:
                for name in names:
                    self._build_tile(name)

    def _build_tile(self, name: str) -> None:
        self._tile_of[name] = ui.element('div').classes('tile')
        with self._tile_of[name]:
            tile = CameraView(name, tile=True)
            ui.button(name, on_click=lambda: self._show_stream(name)).props('flat no-caps dense')
        tile.on('choose', lambda: self._show_stream(name))

    def _show_stream(self, name: str) -> None:
        self._stream, self._chosen = name, 0
        self._drafting.show_stream(name)

    def _chosen_target(self, targets: tuple[TargetView, ...]) -> TargetView | None:
        """The target that was chosen; the first where it is gone or none was."""
        return next((target for target in targets if target.id == self._chosen),
                    targets[0] if targets else None)

    def _choose(self, target_id: Any) -> None:
        self._chosen = target_id if isinstance(target_id, int) else 0
        self.update()

    async def _press(self, event: Any) -> None:
        key = str(event.args.get('key', ''))
        stream = self._link.view.streams.get(self._stream)
        targets = () if stream is None else stream.targets
        if await self._drafting.press(key):
            return
        if key.isdigit() and 0 < int(key) <= len(targets):
            self._choose(targets[int(key) - 1].id)
        elif key == 'g' and (target := self._chosen_target(targets)) is not None:
            await self._drafting.correct(target)
        elif key == '?':
            self._keys.open()

    def _build_keys(self) -> None:
        self._keys = Dialog('Keys')
        with self._keys, ui.element('dl').classes('keys'):
            for key, meaning in _KEYS:
                with ui.element('dt'):
                    ui.label(key)
                with ui.element('dd'):
                    ui.label(meaning)
