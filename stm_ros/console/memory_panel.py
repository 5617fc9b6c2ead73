# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What an answer rests on: memory as a filmstrip, and a target now beside its clean evidence."""
from typing import Any

from nicegui import ui

from stm_ros.console.elements import Filmstrip
from stm_ros.console.pictures import css_colour
from stm_ros.console.pictures import data_url
from stm_ros.console.snapshots import ConsoleView
from stm_ros.console.snapshots import ContextView
from stm_ros.console.snapshots import SlotView
from stm_ros.console.snapshots import StreamView
from stm_ros.console.snapshots import TargetView
from stm_ros.console.wording import age

MAX_FRAMES_SHOWN = 48


class MemoryPanel:
    """The filmstrip of a stream; the chosen target's attention makes it glow."""

    def __init__(self) -> None:
        """Build the elements where the page is."""
        with ui.element('section').classes('card memory').props('aria-label=Memory'):
            with ui.element('div').classes('card-head'):
                ui.html('<h2>Memory</h2>', sanitize=False)
                self._text = ui.label().classes('quiet')
            self._film = Filmstrip()

    def update(self, view: ConsoleView, stream: StreamView, chosen: TargetView | None) -> None:
        """Show the slots that the newest answer read."""
        memory = stream.memory
        mass = memory.attention.get(chosen.id, ()) if chosen is not None else ()
        if len(mass) != len(memory.slots):
            mass = (0.0,) * len(memory.slots)
        most = max(mass, default=0.0)
        weighed = sorted(zip(memory.slots, mass, strict=True), key=lambda pair: -pair[1])
        # what was shown by a person comes first, then the newest
        shown = sorted(weighed[:MAX_FRAMES_SHOWN],
                       key=lambda pair: (pair[0].kind != 'reference', -pair[0].stamp_ns))
        self._film.show(
            [_film(view, stream, slot, share, most, chosen) for slot, share in shown],
            css_colour(1 if chosen is None else chosen.id),
            'Nothing is remembered yet.')
        self._text.text = '' if chosen is None or not memory.slots else (
            f'{len(memory.slots)} frames; the brighter, the more the mask of {chosen.name} '
            'rests on it')


class EvidencePanel:
    """The chosen target as it is now beside the clean frames that anchor it."""

    def __init__(self) -> None:
        """Build the elements where the page is."""
        self._shown: tuple[int, int] | None = None
        with ui.element('section').classes('card').props('aria-label=Evidence'):
            with ui.element('div').classes('card-head'):
                ui.html('<h2>Now and its evidence</h2>', sanitize=False)
            self._pictures = ui.element('div').classes('evidence')
            self._sentence = ui.label().classes('quiet')

    def update(self, stream: StreamView, chosen: TargetView | None) -> None:
        """Show the newest context of the chosen target."""
        context = stream.contexts.get(chosen.id) if chosen is not None else None
        key = None if chosen is None or context is None else (chosen.id, context.stamp_ns)
        if key == self._shown and key is not None:
            return
        self._shown = key
        self._pictures.clear()
        if context is None:
            self._sentence.text = ('Choose a target.' if chosen is None
                                   else 'Waiting for the crops of this target.')
            return
        self._sentence.text = context.sentence
        with self._pictures:
            _now(context)
            for item in context.evidence:
                _crop(item.jpeg, f'{item.kind} {item.weight:.0%}',
                      age(context.stamp_ns, item.stamp_ns))


def _now(context: ContextView) -> None:
    if context.crop:
        _crop(context.crop, 'now', context.state.lower(), 'crop-now')
        return
    with ui.element('figure').classes('crop crop-now'):
        ui.label('not in view').classes('crop-absent')
        with ui.element('figcaption'):
            ui.label('now')
            ui.label(context.state.lower())


def _crop(jpeg: bytes, title: str, note: str, kind: str = '') -> None:
    with ui.element('figure').classes(f'crop {kind}'):
        picture = ui.element('img')
        picture.props.update(src=data_url(jpeg), alt=f'{title}, {note}')
        with ui.element('figcaption'):
            ui.label(title)
            ui.label(note)


def _film(view: ConsoleView, stream: StreamView, slot: SlotView, share: float, most: float,
          chosen: TargetView | None) -> dict[str, Any]:
    # the camera that saw it has the whole picture, another one at most a crop
    holder = next((each.name for each in (view.streams.get(slot.stream), stream)
                   if each is not None and slot.key in each.thumbnails), None)
    how_old = age(stream.memory.stamp_ns, slot.stamp_ns)
    # what is read most glows fully, whatever its share; the root lets small shares be seen
    return {
        # the newest frame is another one all the time: its picture changes, the place does not
        'key': f'{slot.stream}/{"" if slot.kind == "recent" else slot.stamp_ns}/{slot.kind}',
        'source': '' if holder is None else
                  f'/thumbnail/{holder}/{slot.stream}/{slot.stamp_ns}',
        'title': f'{slot.kind} frame of {slot.stream}, {how_old}, confidence '
                 f'{slot.confidence:.2f}',
        'kind': slot.kind, 'age': how_old, 'share': '' if chosen is None else f'{share:.0%}',
        'glow': round((share / most) ** 0.5, 2) if most > 0 else 0.0}
