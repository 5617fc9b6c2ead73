# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The targets of a stream: state, confidence, timeline; choose, correct, remove."""
import asyncio
from collections.abc import Awaitable
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from stm_ros.console.commands import Remove
from stm_ros.console.dialogs import Dialog
from stm_ros.console.dialogs import Notices
from stm_ros.console.elements import Timeline
from stm_ros.console.link import Link
from stm_ros.console.pictures import css_colour
from stm_ros.console.snapshots import Sample
from stm_ros.console.snapshots import StreamView
from stm_ros.console.snapshots import TargetView

#: what a timeline shows, seconds
TIMELINE_SECONDS = 60.0


class TargetsPanel:
    """A card a target; built anew only when targets or labels change."""

    def __init__(self, link: Link, correct: Callable[[TargetView], Awaitable[None]],
                 choose: Callable[[int], None]) -> None:
        """Build the elements where the page is.

        :param correct: called with the target whose mask is to be corrected.
        :param choose: called with the id that was chosen.
        """
        self._link = link
        self._correct, self._choose = correct, choose
        self._targets: dict[int, TargetView] = {}
        self._rows: dict[int, _Row] = {}
        self._known: tuple[tuple[int, str], ...] | None = None
        self._notices = Notices()
        self._to_remove = 0
        self._removal = Dialog('Remove target')
        self._removal.add_buttons('Remove', 'confirm-remove', self._remove,
                                  refuse='Keep', colour='negative')
        with ui.element('section').classes('card').props('aria-label=Targets'):
            with ui.element('div').classes('card-head'):
                ui.html('<h2>Targets</h2>', sanitize=False)
                self._count = ui.label().classes('quiet')
            self._list = ui.element('div').classes('targets')

    def update(self, stream: StreamView, now: float, chosen: int) -> None:
        """Show the targets of `stream`."""
        self._targets = {target.id: target for target in stream.targets}
        known = tuple((target.id, target.name) for target in stream.targets)
        if known != self._known:
            self._known = known
            self._build(stream.targets)
        self._list.classes(add='stale' if stream.fault is not None else '',
                           remove='' if stream.fault is not None else 'stale')
        tracked = sum(target.state == 'TRACKING' for target in stream.targets)
        self._count.text = f'{tracked} of {len(known)} tracked' if known else ''
        for target in stream.targets:
            self._rows[target.id].show(target, stream.timelines.get(target.id, ()), now,
                                       target.id == chosen)

    def _build(self, targets: tuple[TargetView, ...]) -> None:
        self._list.clear()
        self._rows = {}
        with self._list:
            for target in targets:
                self._rows[target.id] = _Row(
                    target, partial(self._choose, target.id),
                    partial(self._start_correction, target.id),
                    partial(self._ask_removal, target.id))
            if not targets:
                ui.label('No target yet. Choose Box above the picture and draw around something.'
                         ).classes('quiet')

    async def _start_correction(self, target_id: int) -> None:
        target = self._targets.get(target_id)
        if target is not None:
            self._choose(target_id)
            await self._correct(target)

    def _ask_removal(self, target_id: int) -> None:
        target = self._targets.get(target_id)
        if target is None:
            return
        self._to_remove = target_id
        self._removal.open(f'Forget {target.name} (target {target.id}), its references and its '
                           'memory, in every stream?')

    async def _remove(self) -> None:
        reply = await asyncio.wrap_future(self._link.submit(Remove(self._to_remove)))
        self._notices.tell(reply)


class _Row:
    def __init__(self, target: TargetView, choose: Callable[[], None],
                 correct: Callable[[], Any], remove: Callable[[], Any]) -> None:
        self.card = ui.element('article').classes('target')
        self.card.style(f'--hue: {css_colour(target.id)}')
        self.card.props(f'data-mark=target-{target.id}')
        with self.card:
            with ui.element('button').classes('target-head').props(
                    f'type=button aria-label="Choose target {target.id}"') as head:
                ui.element('span').classes('swatch')
                ui.label(target.name).classes('target-name')
                ui.label(str(target.id)).classes('target-id')
                self.state = ui.label().classes('state')
                self.confidence = ui.label().classes('number')
            head.on('click', choose)
            self.timeline = Timeline(f'Confidence of {target.name} in the last '
                                     f'{TIMELINE_SECONDS:.0f} seconds')
            with ui.element('div').classes('target-foot'):
                self.facts = ui.label().classes('quiet')
                ui.space()
                ui.button('Correct', icon='edit', on_click=correct).props(
                    f'flat dense no-caps data-mark=correct-{target.id}')
                ui.button('Remove', icon='close', on_click=remove).props(
                    f'flat dense no-caps data-mark=remove-{target.id}')

    def show(self, target: TargetView, samples: tuple[Sample, ...], now: float,
             is_chosen: bool) -> None:
        self.state.text = target.state.lower()
        self.state.classes(replace=f'state state-{target.state}')
        self.confidence.text = '–' if target.state == 'LOST' else f'{target.confidence:.2f}'
        self.facts.text = (f'{target.area:,} px' if target.box is not None
                           else 'not in view, or not found')
        self.card.classes(add='target-on' if is_chosen else '',
                          remove='' if is_chosen else 'target-on')
        self.timeline.show(_points(samples, now))


def _points(samples: tuple[Sample, ...], now: float) -> list[tuple[float, float, str]]:
    """Samples of the last TIMELINE_SECONDS as percent of the width, confidence and state."""
    start = now - TIMELINE_SECONDS
    return [(round(100 * (sample.time - start) / TIMELINE_SECONDS, 2),
             round(sample.confidence, 3), sample.state)
            for sample in samples if sample.time >= start]
