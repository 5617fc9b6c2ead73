# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How the node does: figures in the head of the page, diagnostics below, faults over the view."""
from nicegui import ui

from stm_ros.console.snapshots import ConsoleView
from stm_ros.console.snapshots import Fault
from stm_ros.console.snapshots import StreamView
from stm_ros.console.wording import latency
from stm_ros.console.wording import losses
from stm_ros.console.wording import sentence


class Figures:
    """Rates, delay and losses, a line."""

    def __init__(self) -> None:
        """Build the elements where the page is."""
        with ui.element('dl').classes('figures'):
            self._values = {name: _figure(name) for name in (
                'Images', 'Answers', 'Latency', 'Lost')}

    def update(self, stream: StreamView | None) -> None:
        """Show the figures of `stream`."""
        if stream is None:
            for label in self._values.values():
                label.text = '–'
            return
        figures = stream.figures
        self._values['Images'].text = f'{figures.images:.1f}/s'
        self._values['Answers'].text = f'{figures.answers:.1f}/s'
        self._values['Latency'].text = latency(stream)
        self._values['Lost'].text = losses(stream)


class Diagnostics:
    """All that the node says of itself, folded away."""

    def __init__(self) -> None:
        """Build the elements where the page is."""
        self._shown: object = None
        with ui.element('section').classes('card card-folded').props('aria-label=Diagnostics'):
            self._note = ui.label().classes('diagnostics-note').props('role=status')
            with ui.expansion('Diagnostics').classes('expansion'):
                self._table = ui.element('dl').classes('diagnostics')

    def update(self, view: ConsoleView, stream: StreamView) -> None:
        """Show memory's and the stream's."""
        held = {'Memory': dict(view.diagnostics),
                f'Stream {stream.name}': dict(stream.diagnostics)}
        if held == self._shown:
            return
        self._shown = held
        worries = [values['message'] for values in held.values()
                   if values.get('level', 'OK') != 'OK' and values.get('message')]
        self._note.text = ' '.join(map(sentence, worries))
        self._note.set_visibility(bool(worries))
        self._table.clear()
        with self._table:
            for title, values in held.items():
                with ui.element('h3'):
                    ui.label(title)
                for key, value in values.items():
                    _row(key, value)
                if not values:
                    ui.label('The node has sent none yet.').classes('quiet')


class FaultSign:
    """A sign that cannot be overlooked, where the picture would be."""

    def __init__(self) -> None:
        """Build the elements where the page is."""
        self._shown: Fault | None = None
        self._sign = ui.element('div').classes('fault').props('role=alert')
        self._sign.set_visibility(False)

    def update(self, fault: Fault | None) -> None:
        """Show `fault`, or nothing."""
        if fault == self._shown:
            return
        self._shown = fault
        self._sign.clear()
        self._sign.set_visibility(fault is not None)
        if fault is not None:
            with self._sign:
                ui.icon('videocam_off')
                ui.label(fault.title).classes('fault-title')
                for line in fault.lines:
                    ui.label(line)


def _row(key: str, value: str) -> None:
    if value:
        with ui.element('dt'):
            ui.label(key)
        with ui.element('dd'):
            ui.label(value)


def _figure(name: str) -> ui.label:
    with ui.element('div'):
        with ui.element('dt'):
            ui.label(name)
        with ui.element('dd'):
            return ui.label('–').props(f'data-mark="figure-{name.lower()}"')
