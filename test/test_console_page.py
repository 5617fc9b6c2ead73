# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The page's dialogs without a browser: whatever happens while one is open, one answer counts."""
import asyncio
import logging
from concurrent.futures import Future
from importlib.util import find_spec

import pytest

for package in ('nicegui', 'rclpy'):
    if find_spec(package) is None:
        pytest.skip(f'needs {package}: run `make setup-console`', allow_module_level=True)

from nicegui import ui  # noqa: E402
from nicegui.testing import User  # noqa: E402
from nicegui.testing import user_simulation  # noqa: E402

from stm_ros.console.commands import Command  # noqa: E402
from stm_ros.console.commands import ListStored  # noqa: E402
from stm_ros.console.commands import Load  # noqa: E402
from stm_ros.console.commands import Remove  # noqa: E402
from stm_ros.console.commands import Reply  # noqa: E402
from stm_ros.console.commands import Reset  # noqa: E402
from stm_ros.console.commands import Save  # noqa: E402
from stm_ros.console.snapshots import ConsoleView  # noqa: E402
from stm_ros.console.snapshots import StreamView  # noqa: E402
from stm_ros.console.snapshots import TargetView  # noqa: E402
from stm_ros.console.stored_panel import StoredPanel  # noqa: E402
from stm_ros.console.targets_panel import TargetsPanel  # noqa: E402

CUP = TargetView(1, 'cup', 'TRACKING', 0.9, (2.0, 1.0, 3.0, 2.0), 6)
BOX = TargetView(2, 'box', 'TRACKING', 0.9, (2.0, 1.0, 3.0, 2.0), 6)


class ScriptedLink:
    """Takes commands as the link to the ROS graph does; each waits until it is answered."""

    def __init__(self) -> None:
        self.view = ConsoleView('/stm_tracker', 0.0)
        self.waiting: list[tuple[Command, Future]] = []

    def submit(self, command: Command) -> Future:
        outcome: Future = Future()
        self.waiting.append((command, outcome))
        return outcome

    @property
    def commands(self) -> list[Command]:
        return [command for command, _ in self.waiting]

    async def answer(self, reply: Reply) -> None:
        self.waiting[-1][1].set_result(reply)
        await asyncio.sleep(0.1)


class Stand:
    """The panels with dialogs on a page of their own."""

    def __init__(self) -> None:
        self.link = ScriptedLink()

    def page(self) -> None:
        async def nothing(target: TargetView) -> None:
            pass
        self.targets = TargetsPanel(self.link, nothing, lambda target_id: None)
        StoredPanel(self.link)
        self.show(CUP, BOX)

    def show(self, *targets: TargetView) -> None:
        self.targets.update(StreamView('camera', targets=targets), 0.0, 0)


async def press(user: User, mark: str, times: int = 1) -> None:
    """Click what has this mark, without giving the page time to answer in between."""
    with user._client:
        found = [element for element in user._client.elements.values()
                 if element.props.get('data-mark') == mark]
        assert len(found) == 1, mark
        for _ in range(times):
            listener = next(each for each in found[0]._event_listeners.values()
                            if each.type == 'click')
            found[0]._handle_event({'listener_id': listener.id, 'args': {}})
    await asyncio.sleep(0.1)


def is_open(user: User) -> list[str]:
    """Titles of the dialogs that are open."""
    return [next(each.content for each in dialog.descendants() if isinstance(each, ui.html))
            for dialog in user._client.elements.values()
            if isinstance(dialog, ui.dialog) and dialog.value]


def on_a_page(play, caplog) -> None:
    """Play against a fresh page; nothing may go wrong behind it."""
    async def run() -> None:
        stand = Stand()
        async with user_simulation(stand.page) as user:
            await user.open('/')
            await play(stand, user)
    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert [record.getMessage() for record in caplog.records
            if record.levelno >= logging.ERROR] == []


def test_a_dialog_answers_though_its_panel_is_built_anew(caplog):
    async def play(stand: Stand, user: User) -> None:
        await press(user, 'remove-1')
        assert is_open(user) == ['<h2>Remove target</h2>']
        with user._client:
            stand.show(BOX)
            stand.show(CUP, BOX)
        await press(user, 'confirm-remove')
        assert stand.link.commands == [Remove(1)]
        assert is_open(user) == []
        await stand.link.answer(Reply(True, 'removed target 1'))
        assert user.notify.messages == ['Removed target 1.']
    on_a_page(play, caplog)


@pytest.mark.parametrize('times', [2, 3])
def test_impatient_clicks_count_once(caplog, times):
    async def play(stand: Stand, user: User) -> None:
        before = len(user._client.elements)
        await press(user, 'reset', times)
        await press(user, 'confirm-reset', times)
        assert stand.link.commands == [Reset()]
        await stand.link.answer(Reply(False, 'the worker is busy'))
        assert user.notify.messages == ['The worker is busy.']
        assert is_open(user) == []
        assert len(user._client.elements) == before, 'a dialog leaves elements behind'
    on_a_page(play, caplog)


@pytest.mark.parametrize('moment', ['open', 'answered'])
def test_a_browser_that_goes_away_leaves_no_fault(caplog, moment):
    async def play(stand: Stand, user: User) -> None:
        await press(user, 'reset')
        if moment == 'answered':
            await press(user, 'confirm-reset')
        user._client.delete()
        await asyncio.sleep(0.1)
        if moment == 'answered':
            await stand.link.answer(Reply(True, 'forgot everything'))
        assert stand.link.commands == ([Reset()] if moment == 'answered' else [])
        assert user.notify.messages == []
    on_a_page(play, caplog)


def test_names_are_offered_anew_each_time(caplog):
    async def play(stand: Stand, user: User) -> None:
        for names, chosen in ((('kitchen',), 'kitchen'), (('hall', 'attic'), 'attic')):
            await press(user, 'load')
            assert stand.link.commands[-1] == ListStored()
            await stand.link.answer(Reply(True, '', snapshots=names))
            await press(user, f'name-{chosen}', 2)
            assert stand.link.commands[-2:] == [ListStored(), Load(chosen, False)]
            await stand.link.answer(Reply(True, 'loaded'))
        await press(user, 'known-objects')
        await stand.link.answer(Reply(False, 'no folder'))
        assert is_open(user) == []
        assert user.notify.messages[-1] == 'No folder.'
    on_a_page(play, caplog)


def test_a_name_that_was_typed_is_gone_the_next_time(caplog):
    async def play(stand: Stand, user: User) -> None:
        for name in ('kitchen', ''):
            await press(user, 'save')
            field = next(each for each in user._client.elements.values()
                         if isinstance(each, ui.input))
            assert field.value == ''
            field.value = name
            await press(user, 'confirm-save')
            assert stand.link.commands[-1] == Save(name, False)
            await stand.link.answer(Reply(True, 'saved'))
    on_a_page(play, caplog)
