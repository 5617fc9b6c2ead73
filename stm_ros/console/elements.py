# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The page's own elements; each has its half in static/."""
from typing import Any

from nicegui.element import Element


class CameraView(Element, component='static/camera_view.js'):
    """The live picture of a stream, over which references are drawn.

    Events: begin {sequence}, prompt {box, points, request}, painted, accept, pick {id},
    choose (a tile), shortcut {key}. Methods for run_method: correct, setMask, endDraft,
    exportMask, undo.
    """

    def __init__(self, stream: str, tile: bool = False) -> None:
        """Show `stream`; a tile is small and only to be chosen."""
        super().__init__()
        self._props.update(stream=stream, tile=tile, picked=0, tool='look', brush=8)

    def show(self, **props: Any) -> None:
        """Change stream, picked (target id), tool or brush (radius in pixels)."""
        if any(self._props.get(name) != value for name, value in props.items()):
            self._props.update(props)
            self.update()


class Filmstrip(Element, component='static/filmstrip.js'):
    """Memory frames that glow."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._props.update(slots=[], colour='#0d9488', empty='')

    def show(self, slots: list[dict[str, Any]], colour: str, empty: str) -> None:
        """Show `slots`: key, source, title, kind, share, age (texts) and glow (0 to 1)."""
        changed = {'slots': slots, 'colour': colour, 'empty': empty}
        if any(self._props[name] != value for name, value in changed.items()):
            self._props.update(changed)
            self.update()


class Timeline(Element, component='static/timeline.js'):
    """Confidence and state over time."""

    def __init__(self, title: str) -> None:
        """Start empty."""
        super().__init__()
        self._props.update(samples=[], title=title)

    def show(self, samples: list[tuple[float, float, str]]) -> None:
        """Show samples: place (percent of the width), confidence (0 to 1), state."""
        if self._props['samples'] != samples:
            self._props['samples'] = samples
            self.update()
