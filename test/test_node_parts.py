# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the node that need no graph: history, figures, levels, worker, threads, requests."""
import threading
import time
from concurrent.futures import Future

import pytest

pytest.importorskip('rclpy')
from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from stm_ros.node.diagnostics import INACTIVE  # noqa: E402
from stm_ros.node.diagnostics import StreamReport  # noqa: E402
from stm_ros.node.diagnostics import judgement  # noqa: E402
from stm_ros.node.keeping import MemoryKeeper  # noqa: E402
from stm_ros.node.parameters import check_values  # noqa: E402
from stm_ros.node.services import OutcomeUnknownError  # noqa: E402
from stm_ros.node.services import outcome_of  # noqa: E402
from stm_ros.node.settings import NodeSettings  # noqa: E402
from stm_ros.node.settings import parameters  # noqa: E402
from stm_ros.node.streams import WINDOW_SECONDS  # noqa: E402
from stm_ros.node.streams import CameraStream  # noqa: E402
from stm_ros.node.streams import ReceivedFrame  # noqa: E402
from stm_ros.node.threads import fewest_good  # noqa: E402
from stm_ros.node.worker import Worker  # noqa: E402
from stm_ros.node.worker import WorkerStoppedError  # noqa: E402
from stm_ros.vision.errors import InputError  # noqa: E402


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        """Start at some time."""
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of our own."""
    return Clock()


def stream_of(clock: Clock, seconds: float = 5.0, size: int = 10 ** 6) -> CameraStream:
    """A stream that counts by `clock`."""
    return CameraStream('camera', seconds, size, clock)


def frame(stamp: int, arrival: float, size: int = 100) -> ReceivedFrame:
    """A frame stamped in seconds."""
    message = Image(height=1, width=size, data=bytes(size))
    message.header.stamp.sec = stamp
    return ReceivedFrame(message, arrival)


def test_history_is_in_seconds_whatever_the_rate(clock):
    stream = stream_of(clock, seconds=3.0)
    for step in range(300):
        stream.receive(frame(step, 100 + step / 30))
    # at 30 Hz a person who takes nearly three seconds finds the frame
    assert stream.find((299 - 89) * 10 ** 9).stamp_ns == 210 * 10 ** 9
    with pytest.raises(InputError, match='held are 91 from 209.0'):
        stream.find(208 * 10 ** 9)


def test_history_is_bounded_by_bytes_and_keeps_the_newest(clock):
    stream = stream_of(clock, size=250)
    for step in range(5):
        stream.receive(frame(step, 100.0))
    assert stream.find(3 * 10 ** 9) and stream.find(0).stamp_ns == 4 * 10 ** 9
    with pytest.raises(InputError, match='held are 2'):
        stream.find(2 * 10 ** 9)
    stream.receive(frame(9, 100.0, size=1000))
    assert stream.find(0).stamp_ns == 9 * 10 ** 9
    with pytest.raises(InputError, match='held are 1'):
        stream.find(4 * 10 ** 9)


def test_after_a_break_no_image_passes_for_the_newest(clock):
    stream = stream_of(clock)
    stream.receive(frame(1, 100.0))
    stream.forget_images()
    with pytest.raises(InputError, match='no image has come'):
        stream.find(0)
    assert stream.figures().silence is None and stream.figures().total.received == 1


def test_figures_are_of_the_last_seconds_and_totals_of_all(clock):
    stream = stream_of(clock)
    for _ in range(5):
        stream.receive(frame(1, clock.now))
        stream.count_answer(9.0, 8.0, 7.0)
    clock.now += WINDOW_SECONDS + 1
    stream.receive(frame(2, clock.now))
    stream.count_answer(0.3, 0.2, 0.1)
    stream.count_lost(4)
    figures = stream.figures()
    assert (figures.total.received, figures.recent.received) == (6, 1)
    assert (figures.total.answered, figures.recent.answered, figures.recent.lost) == (6, 1, 4)
    assert figures.latencies == (0.3,) and figures.stepping == (0.1,)


def judged(stream: CameraStream, **report) -> tuple[bytes, str]:
    """What diagnostics say of a stream."""
    return judgement(StreamReport('camera', stream.figures(), **report))


def test_levels_follow_the_last_seconds(clock):
    stream = stream_of(clock)
    assert judged(stream, missing='/image: nobody') == (
        DiagnosticStatus.WARN, 'no image has come yet: /image: nobody')
    assert judged(stream, resting=INACTIVE, missing='x') == (DiagnosticStatus.OK, INACTIVE)

    def come(count: int, **counted: int) -> None:
        for _ in range(count):
            stream.receive(frame(1, clock.now))
        for _ in range(counted.get('answered', 0)):
            clock.now += 0.1
            stream.count_answer(0.1, 0.1, 0.1)
        for _ in range(counted.get('dropped', 0)):
            stream.count_drop()
        for _ in range(counted.get('failed', 0)):
            stream.count_failure('too dark')
    come(10, answered=10)
    assert judged(stream)[0] == DiagnosticStatus.OK
    clock.now += WINDOW_SECONDS + 1
    come(10, failed=10)
    assert judged(stream) == (DiagnosticStatus.ERROR, 'every image is refused: too dark')
    come(10, answered=10)
    assert judged(stream)[0] == DiagnosticStatus.WARN
    clock.now += WINDOW_SECONDS + 1
    come(10, answered=10)
    assert judged(stream)[0] == DiagnosticStatus.OK
    assert judged(stream, slow='a step takes 9 ms')[0] == DiagnosticStatus.WARN
    clock.now += WINDOW_SECONDS + 1
    come(10, answered=2, dropped=8)
    assert judged(stream)[0] == DiagnosticStatus.WARN and 'dropped' in judged(stream)[1]
    stream.count_lost(11)
    level, message = judged(stream, remedy='Use the profile.')
    assert level == DiagnosticStatus.ERROR
    assert message == '11 of 21 images were lost on the way. Use the profile.'


def test_requests_cannot_keep_frames_waiting():
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(10)
    worker: Worker[int] = Worker(lambda stream, number: order.append(stream), print)
    worker.resume()
    worker.submit(hold)
    assert begun.wait(10)
    jobs = [worker.submit(lambda: order.append('job')) for _ in range(6)]
    for stream in ('a', 'b', 'c'):
        worker.offer(stream, 1)
    go_on.set()
    for job in jobs:
        job.result(10)
    worker.end()
    assert order == ['a', 'job', 'b', 'job', 'c', 'job', 'job', 'job', 'job']


def test_pausing_gives_up_what_waits_even_what_nobody_waits_for():
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(10)
    worker: Worker[int] = Worker(lambda stream, number: None, print)
    worker.resume()
    running = worker.submit(hold)
    assert begun.wait(10)
    given_up, waiting = worker.submit(hold), worker.submit(hold)
    assert given_up.cancel()
    threading.Timer(0.1, go_on.set).start()
    worker.pause()
    assert running.result(1) is None
    with pytest.raises(WorkerStoppedError, match='deactivated'):
        waiting.result(1)
    worker.end()


def test_a_request_that_is_given_up_is_not_done_and_one_in_hand_is_unknown():
    waiting: Future = Future()
    with pytest.raises(WorkerStoppedError, match='nothing was changed'):
        outcome_of(waiting, 0.01)
    assert waiting.cancelled()
    running: Future = Future()
    running.set_running_or_notify_cancel()
    with pytest.raises(OutcomeUnknownError, match='may still be done'):
        outcome_of(running, 0.01)
    threading.Timer(0.05, lambda: late.set_result(3)).start()
    late: Future = Future()
    late.set_running_or_notify_cancel()
    assert outcome_of(late, 0.04) == 3


@pytest.mark.parametrize('seconds, most, expected', [
    ({1: 1.0}, 1, 1), ({1: 1.0, 2: 0.9}, 3, 1), ({1: 1.0, 2: 0.55, 4: 0.5}, 7, 2),
    ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.2}, 15, 8), ({1: 1.0, 2: 0.6}, 3, 2)])
def test_more_threads_are_taken_while_they_bring_much(seconds, most, expected):
    assert fewest_good(seconds.__getitem__, most) == expected


@pytest.mark.parametrize('change, words', [
    ({'image_transport': 'theora'}, 'accepted are raw, compressed'),
    ({'image_transport': 'raw,compressed'}, 'names 2 transports and there are 1 streams'),
    ({'streams': ()}, '0 names'), ({'streams': ('a', 'a')}, 'same name'),
    ({'mode': 'never'}, 'continuous, on_demand'), ({'max_rate': -1.0}, '0.0..1000.0')])
def test_settings_of_the_node_that_cannot_be_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        NodeSettings(**change)


@pytest.mark.parametrize('change, words', [
    ({'model': 'xmem'}, "model is 'xmem'"), ({'memory.max_frames': 1}, 'memory.max_frames is 1'),
    ({'streams': ['a', 'a']}, 'same name'), ({'streams': ['a b']}, 'no name for a topic'),
    ({'streams': []}, '0 names'), ({'confidence.lost_below': 0.9}, 'exceeds')])
def test_values_of_parameters_are_checked_together_and_by_their_names(change, words):
    values = {each.parameter: each.default for each in parameters()}
    settings, config = check_values({**values, 'streams': 'wrist, head'})
    assert settings.streams == ('wrist', 'head') and config.max_streams == 2
    with pytest.raises(InputError, match=words):
        check_values({**values, **change})


def test_each_stream_has_its_transport():
    two = NodeSettings(streams=('a', 'b'), image_transport='raw, compressed')
    assert two.transports == {'a': 'raw', 'b': 'compressed'}
    assert NodeSettings(streams=('a', 'b')).transports == {'a': 'raw', 'b': 'raw'}


class Memory:
    """What of a tracker the keeper uses, with a disk that may be full."""

    def __init__(self) -> None:
        """Start with a disk that works."""
        self.is_full = False

    def save(self, path) -> None:
        """Write, or not."""
        if self.is_full:
            raise OSError('No space left on device')
        path.write_text('saved')


def test_autosave_is_due_after_its_period_if_something_changed(clock, tmp_path):
    path = tmp_path / 'new' / 'node.autosave.safetensors'
    memory = Memory()
    keeper = MemoryKeeper(memory, ['camera'], path.parent, '', 10.0, path, clock)  # type: ignore
    assert keeper.load() == '' and not keeper.is_due
    clock.now += 11
    assert not keeper.is_due
    keeper.note_change()
    assert keeper.is_due
    memory.is_full = True
    keeper.save()
    assert 'No space left' in keeper.trouble and not path.exists() and not keeper.is_due
    memory.is_full = False
    clock.now += 11
    assert keeper.is_due
    keeper.save()
    assert path.read_text() == 'saved' and not keeper.trouble and not keeper.is_due


def test_references_that_are_not_there_are_named(clock, tmp_path):
    keeper = MemoryKeeper(Memory(), ['camera'], tmp_path, 'kitchen', 0.0,  # type: ignore
                          tmp_path / 'x', clock)
    with pytest.raises(InputError, match="references is 'kitchen': there is neither .*kitchen"):
        keeper.load()


def test_a_frame_that_waits_is_offered_again_while_the_worker_sleeps():
    seen: list[int] = []
    worker: Worker[int] = Worker(lambda stream, number: seen.append(number), print)
    assert worker.offer('a', 1)
    worker.resume()
    worker.offer('a', 2)
    end = time.monotonic() + 5
    while not seen and time.monotonic() < end:
        time.sleep(0.01)
    worker.end()
    assert seen == [2]
