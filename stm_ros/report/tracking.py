# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The report that `stm track` and `stm replay` end with."""
from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from stm_ros.report.page import Html
from stm_ros.report.page import Page
from stm_ros.report.page import element
from stm_ros.report.page import gallery
from stm_ros.report.page import table
from stm_ros.report.watching import APART
from stm_ros.report.watching import MOST_TARGETS
from stm_ros.report.watching import Still
from stm_ros.report.watching import TargetHistory
from stm_ros.report.watching import Watch
from stm_ros.report.watching import still_picture
from stm_ros.report.watching import time_chart
from stm_ros.tracking import Result


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


class TrackReport:
    """Watches a run frame by frame and writes one HTML page about it, of a limited size."""

    def __init__(self, title: str, about: Mapping[str, str]) -> None:
        """Start with what is followed where; `about` stands among the figures at the top."""
        self._title = title
        self._about = dict(about)
        self._watch = Watch()

    def add(self, picture: np.ndarray, result: Result, seconds: float) -> None:
        """
        Take in one frame, before the tracker's next step.

        :param picture: the frame as it shall be seen, H×W×3 uint8 RGB.
        :param seconds: what the tracker took for it.
        """
        self._watch.add(lambda: picture, result, seconds)

    def write(self, path: str | Path) -> None:
        """Write the page; nothing that is kept is lost, so it may be written again later."""
        page = Page(self._title, self._sentence())
        page.facts(self._facts())
        page.section('The run at a glance', self._stills(self._watch.sheet()),
                     note='Frames spread over the run. Masks are tinted, boxes carry id, name, '
                     'confidence and state.')
        for target_id, target in self._watch.targets.items():
            page.section(f'{target.label or "target"} (id {target_id})', *_charts(target),
                         note=_target_sentence(target))
            if target.film:
                page.section(f'What memory holds of {target.label or "target"}',
                             target.filmstrip(self._watch.first_ns or 0),
                             note='The memory frames that the last answer in view rests on, '
                             'oldest first; the bar is the share of attention on each.')
        if self._watch.left_out:
            page.section('More targets', table(
                ['left out'], [[str(target)] for target in sorted(self._watch.left_out)],
                f'A report shows {MOST_TARGETS} targets.'))
        self._notable(page)
        page.write(path)

    @contextmanager
    def written_to(self, folder: _Folder, name: str) -> Iterator[None]:
        """
        Write the page at the end of a `with` block, also where the run broke off.

        :param folder: its `path` at that time is where the page goes, under `name`.
        """
        try:
            yield
        finally:
            if self._watch.count:
                self.write(folder.path / name)

    def _sentence(self) -> str:
        targets = self._watch.targets
        if not self._watch.count:
            return 'No frame was answered.'
        lost = sum(target.lost for target in targets.values())
        seen = sum(target.history.count for target in targets.values())
        names = ', '.join(target.label or f'target {key}'
                          for key, target in targets.items()) or 'no target'
        share = f'{100 * (1 - lost / seen):.0f} % of frames' if seen else 'no frame'
        return f'{self._watch.count} frames, following {names}: in view in {share}.'

    def _facts(self) -> dict[str, str]:
        watch, durations = self._watch, self._watch.durations
        facts = {**self._about, 'frames': str(watch.count), 'length': f'{watch.seconds:.1f} s'}
        if watch.count:
            rate = watch.count / max(durations.total, 1e-9)
            facts['rate'] = f'{rate:.1f} frames a second'
            facts['time a frame'] = (f'{1000 * durations.percentile(0.5):.0f} ms, '
                                     f'p99 {1000 * durations.percentile(0.99):.0f} ms')
        return facts

    def _notable(self, page: Page) -> None:
        unsure = [(step, kept) for _, step, kept in self._watch.least_sure()]
        if unsure:
            page.section('Least sure', self._stills(unsure),
                         note='The frames of lowest confidence, and those in which a target '
                         f'becomes LOST, at least {APART} frames apart.')
        if not self._watch.count:
            return
        slow = [still_picture(kept, f'frame {step}', f'{1000 * seconds:.0f} ms')
                for seconds, step, kept in self._watch.slowest()]
        page.section('Time a frame', time_chart(self._watch.durations),
                     element('h3', 'Slowest'), gallery(slow),
                     note='The tracker alone, from image to label map, with what the frame before '
                     'left to be written to memory. Reading and writing files is left out.')

    def _stills(self, chosen: list[tuple[int, Still]]) -> Html:
        return gallery(still_picture(still, f'frame {step}') for step, still in chosen)


def _charts(target: TargetHistory) -> list[Html]:
    return [target.state_chart(), target.confidence_chart(), *target.shape_charts(),
            target.attention_chart()]


def _target_sentence(target: TargetHistory) -> str:
    times = {0: 'never', 1: 'once', 2: 'twice'}.get(target.losses, f'{target.losses} times')
    return (f'Mean confidence {target.mean_confidence():.2f}; lost {times}, in {target.lost} of '
            f'{target.history.count} frames. Lines are means, bands reach from the lowest to '
            'the highest value of the frames that share a point.')
