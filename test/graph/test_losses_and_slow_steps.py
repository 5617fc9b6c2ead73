# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera of which images are missing, and a computer that others use: both are told, once."""
import os
import signal
import threading
import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from graph_client import image_message

from stm_ros.node.streams import WINDOW_SECONDS

pytestmark = pytest.mark.alone
SECOND = 10 ** 9
PERIOD = SECOND // 20


def stream_status(client) -> tuple[DiagnosticStatus, dict[str, str]]:
    """The status of the stream that comes next, and its values."""
    messages = client.received['/diagnostics']
    messages.clear()
    client.wait_until(lambda: messages, 'diagnostics')
    stream = messages[-1].status[1]
    return stream, {pair.key: pair.value for pair in stream.values}


def send(client, pixels, frames, beat: float = 0.02) -> None:
    """Publish frames of these numbers, stamped as a camera of 20 Hz does."""
    for number in frames:
        client.publish(image_message(pixels, 'rgb8', 10 * SECOND + number * PERIOD))
        end = time.monotonic() + beat
        client.wait_until(lambda end=end: time.monotonic() > end, 'a beat')


def test_losses_that_only_stamps_show_are_told_once_with_the_remedy(start_node, client, clip):
    node = start_node('threads:=1', 'diagnostics_period:=0.2', 'mode:=on_demand')
    client.listen(DiagnosticArray, '/diagnostics')
    pixels = clip[0][0][:60, :80]
    # a busy machine loses some by itself; so many must have come that there is a rate
    come = first = 0
    while come < 30 and first < 400:
        send(client, pixels, range(first, first + 40))
        first += 40
        stream, values = stream_status(client)
        come = int(values['frames received'])
    lost = int(values['frames lost on the way'])
    assert come >= 30 and lost <= first - come
    if first == 40:
        assert (stream.level, stream.message) == (DiagnosticStatus.OK, 'on demand')
    # of a hundred images the camera's driver sends thirty, in no order
    sent = [first + number for number in range(100) if number * 37 % 100 < 30]
    messages = client.received['/diagnostics']
    messages.clear()
    send(client, pixels, sent)
    client.wait_until(lambda: 'were lost on the way' in node.log, 'the warning', 10)
    client.wait_until(lambda: any(message.status[1].level == DiagnosticStatus.ERROR
                                  for message in messages), 'an error', 10)
    told = [message.status[1].message for message in messages
            if message.status[1].level == DiagnosticStatus.ERROR]
    assert all('were lost on the way' in each and 'PROFILES_FILE=' in each for each in told)
    stream, values = stream_status(client)
    assert 45 <= int(values['frames lost on the way']) - lost <= 90
    send(client, pixels, [number + 200 for number in sent])
    stream_status(client)
    [line] = [line for line in node.log.splitlines() if 'were lost on the way' in line]
    assert 'by the gaps in their stamps' in line
    path = line.partition('PROFILES_FILE=')[2].split()[0]
    assert os.path.isfile(path) and path.endswith('fast_dds_large_images.xml')


def test_steps_with_a_target_are_not_compared_with_those_without(start_node, client, clip):
    """Without a target a step takes no time; the first one that is shown slows nothing down."""
    node = start_node('threads:=1', 'diagnostics_period:=0.2')
    client.listen_to_answers()
    stamps = iter(range(2, 10_000))

    def answer(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.ask(image_message(clip[1][0], 'rgb8', next(stamps) * PERIOD))
            looked = time.monotonic() + 0.05
            client.wait_until(lambda looked=looked: time.monotonic() > looked, 'a beat')
    answer(3)
    assert client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8')).success
    answer(WINDOW_SECONDS + 3)
    assert 'a step takes' not in node.log


def test_steps_that_take_much_longer_than_they_did_are_told(start_node, client, clip):
    node = start_node('threads:=1', 'diagnostics_period:=0.2', 'input_size:=96')
    client.listen(DiagnosticArray, '/diagnostics')
    client.listen_to_answers()
    assert client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8')).success
    stamps = iter(range(2, 10_000))

    def answer(frames: int) -> None:
        for _ in range(frames):
            client.ask(image_message(clip[1][0], 'rgb8', next(stamps) * PERIOD))
    # so that these are judged with the target that they have
    looked = time.monotonic() + 1.5
    client.wait_until(lambda: time.monotonic() > looked, 'a look')
    answer(30)
    stream_status(client)
    looked = time.monotonic() + 1.5
    client.wait_until(lambda: time.monotonic() > looked, 'a look')
    assert 'other processes use the processors' not in node.log
    ended = threading.Event()

    def take_the_processor() -> None:
        while not ended.wait(0.02):
            node.process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            node.process.send_signal(signal.SIGCONT)
    others = threading.Thread(target=take_the_processor)
    others.start()
    try:
        end = time.monotonic() + 60
        while 'other processes use the processors' not in node.log:
            assert time.monotonic() < end, node.log
            answer(1)
    finally:
        ended.set()
        others.join()
    stream, _ = stream_status(client)
    assert stream.level == DiagnosticStatus.WARN and 'a step takes' in stream.message
    assert 'The network has 1 threads' in node.log
