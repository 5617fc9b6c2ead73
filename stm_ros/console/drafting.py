# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A reference that is being drawn: the tools above the picture and what is asked below it."""
import asyncio
from typing import Any

from nicegui import ui

from stm_ros.console.commands import Propose
from stm_ros.console.commands import Remember
from stm_ros.console.commands import Reply
from stm_ros.console.dialogs import Notices
from stm_ros.console.elements import CameraView
from stm_ros.console.link import Link
from stm_ros.console.pictures import css_colour
from stm_ros.console.pictures import mask_url
from stm_ros.console.pictures import painted_mask
from stm_ros.console.prompting import read_prompt
from stm_ros.console.prompting import with_known_mask
from stm_ros.console.snapshots import TargetView
from stm_ros.console.snapshots import View
from stm_ros.console.wording import sentence
from stm_ros.vision.errors import InputError

MAX_LABEL = 80
_TOOLS = (
    ('look', 'near_me', 'Look', 'L', 'Look and choose a target'),
    ('box', 'highlight_alt', 'Box', 'B', 'Draw a box around the target'),
    ('plus', 'add_circle_outline', 'Click +', 'C', 'Click on the target'),
    ('minus', 'remove_circle_outline', 'Click −', 'X', 'Click on what is not the target'),
    ('brush', 'brush', 'Brush', 'P', 'Paint the target'),
    ('erase', 'auto_fix_normal', 'Erase', 'E', 'Erase what is not the target'))
_KEYS = {key.lower(): tool for tool, _, _, key, _ in _TOOLS}
_BROWSER_SECONDS = 10.0


class Drafting:
    """The tools and the draft of one browser; it survives nothing but this page."""

    def __init__(self, link: Link, stream: str) -> None:
        """Build the elements where the page is."""
        self.link = link
        self.stream = stream
        self._notices = Notices()
        self._view: View | None = None
        self._target: TargetView | None = None
        self._known: Any = None
        self._tool = 'look'
        with ui.element('div').classes('toolbar').props('role=toolbar aria-label=Tools'):
            self._buttons = {tool: self._tool_button(tool, icon, name, key, help_text)
                             for tool, icon, name, key, help_text in _TOOLS}
            ui.space()
            with ui.element('label').classes('brush-size') as self._brush_row:
                ui.label('Brush')
                self._brush = ui.slider(min=2, max=60, value=10, on_change=self._resize_brush)
                self._brush.props('aria-label="Brush radius in pixels"')
        self.camera = CameraView(stream)
        with ui.element('div').classes('draft') as self._row:
            self._text = ui.label().classes('draft-text').props('role=status')
            self._name = ui.input('Name', validation={
                f'At most {MAX_LABEL} characters': lambda text: len(text) <= MAX_LABEL})
            self._name.props(f'outlined dense maxlength={MAX_LABEL}').classes('draft-name')
            self._name.on('keydown.enter', self.accept)
            self._replace = ui.checkbox('Forget its earlier references')
            with ui.element('div').classes('draft-buttons'):
                ui.button('Undo', icon='undo', on_click=lambda: self.camera.run_method('undo')
                          ).props('flat no-caps')
                ui.button('Cancel', on_click=self.cancel).props('flat no-caps data-mark=cancel')
                self._accept = ui.button('Accept', icon='check', on_click=self.accept)
                self._accept.props('unelevated no-caps').classes('accept')
        self.camera.on('begin', self._begin)
        self.camera.on('prompt', self._propose)
        self.camera.on('painted', self._painted)
        self.camera.on('accept', self.accept)
        self._choose_tool('look')
        self._show_row(False)

    @property
    def is_open(self) -> bool:
        """Whether something is being drawn."""
        return self._view is not None

    def show_stream(self, stream: str) -> None:
        """Go over to another stream; what was being drawn is dropped."""
        self.cancel()
        self.stream = stream
        self.camera.show(stream=stream)

    async def press(self, key: str) -> bool:
        """Take a key of the keyboard; whether it was one of this panel's."""
        if key in _KEYS:
            self._choose_tool(_KEYS[key])
        elif key == 'Escape':
            self.cancel()
            self._choose_tool('look')
        elif key in ('[', ']'):
            self._brush.value = min(60, max(2, self._brush.value + (2 if key == ']' else -2)))
        else:
            return False
        return True

    async def correct(self, target: TargetView) -> None:
        """Start from the target's mask in the newest frame."""
        stream = self.link.view.streams.get(self.stream)
        view = None if stream is None else stream.newest_answered
        if view is None or view.label_map is None:
            self._notices.warn('There is no answered frame to correct.')
            return
        mask = view.label_map == target.id
        self._open(view, target)
        self._known = mask if mask.any() else None
        try:
            started = await self.camera.run_method(
                'correct', view.sequence, mask_url(mask), css_colour(target.id),
                timeout=_BROWSER_SECONDS)
        except TimeoutError:
            started = False
        if self._view is not view:
            return
        if not started:
            self.cancel()
            self._notices.warn('The browser does not hold that frame any more; try again.')
            return
        self._choose_tool('brush')
        self._say(f'Correct {target.name}: paint what is missing, erase what is too much.'
                  if self._known is not None else
                  f'{target.name} is lost here: show it by a box, clicks or the brush.')

    def cancel(self) -> None:
        """Drop what is being drawn."""
        self._view = self._target = self._known = None
        self.camera.run_method('endDraft')
        self._show_row(False)

    async def accept(self) -> None:
        """Show the node what is drawn."""
        view = self._view
        if view is None or not self._name.validate():
            return
        self._accept.disable()
        try:
            url = await self.camera.run_method('exportMask', timeout=_BROWSER_SECONDS)
            mask = painted_mask(url, view.pixels.shape)
            target = self._target
            reply = await self._ask(Remember(
                self.stream, view, mask, 0 if target is None else target.id,
                (self._name.value or '').strip(),
                target is not None and self._replace.value))
        except (InputError, TimeoutError) as error:
            self._say(f'{error or "The browser did not send the mask."}', is_refusal=True)
            return
        finally:
            self._accept.enable()
        if reply.success:
            self._notices.tell(reply)
            self.cancel()
            self._choose_tool('look')
        else:
            self._say(reply.message, is_refusal=True)

    def _begin(self, event: Any) -> None:
        stream = self.link.view.streams.get(self.stream)
        sequence = event.args.get('sequence')
        view = None if stream is None or not isinstance(sequence, int) else stream.view(sequence)
        if view is None:
            self.cancel()
            self._notices.warn('That frame is not held any more; try again.')
            return
        self._open(view, None)
        self._say({'box': 'Draw a box around the target.'}.get(
            self._tool, 'Mark the target; the mask appears before it is believed.'))

    def _open(self, view: View, target: TargetView | None) -> None:
        self._view, self._target, self._known = view, target, None
        self._name.value = '' if target is None else target.label
        self._replace.value = False
        self._replace.set_visibility(target is not None)
        self._show_row(True)

    async def _propose(self, event: Any) -> None:
        view, request = self._view, event.args.get('request')
        if view is None:
            return
        try:
            box, points = read_prompt(event.args)
        except InputError as error:
            self._say(str(error), is_refusal=True)
            return
        if box is None and not points:
            self._say('Nothing is proposed yet.')
            return
        if self._known is not None:
            box, points = with_known_mask(self._known, box, points)
        self._say('The node looks for its outline …')
        reply = await self._ask(Propose(self.stream, view, box, points))
        if self._view is not view:
            return
        if reply.mask is None:
            self._say(reply.message, is_refusal=True)
            return
        self.camera.run_method('setMask', mask_url(reply.mask), request)
        share = 100 * reply.mask.mean()
        self._say(f'Proposed: {int(reply.mask.sum()):,} pixels, {share:.1f} % of the picture. '
                  'Right? Accept it; else click, paint or erase.')

    def _painted(self) -> None:
        if self._view is not None:
            self._say('Painted. Accept it when it covers the target.')

    async def _ask(self, command: Any) -> Reply:
        return await asyncio.wrap_future(self.link.submit(command))

    def _say(self, text: str, is_refusal: bool = False) -> None:
        self._text.text = sentence(text)
        self._text.classes(add='refusal' if is_refusal else '',
                           remove='' if is_refusal else 'refusal')

    def _show_row(self, is_shown: bool) -> None:
        self._row.set_visibility(is_shown)

    def _tool_button(self, tool: str, icon: str, name: str, key: str, help_text: str) -> Any:
        button = ui.button(name, icon=icon, on_click=lambda: self._choose_tool(tool))
        button.props(f'flat no-caps data-mark={tool} aria-label="{help_text} ({key})"')
        button.classes('tool')
        with button:
            ui.tooltip(f'{help_text} ({key})')
        return button

    def _choose_tool(self, tool: str) -> None:
        self._tool = tool
        for name, button in self._buttons.items():
            button.classes(add='tool-on' if name == tool else '',
                           remove='' if name == tool else 'tool-on')
            button.props(f'aria-pressed={"true" if name == tool else "false"}')
        self._brush_row.set_visibility(tool in ('brush', 'erase'))
        self.camera.show(tool=tool)

    def _resize_brush(self) -> None:
        self.camera.show(brush=self._brush.value)
