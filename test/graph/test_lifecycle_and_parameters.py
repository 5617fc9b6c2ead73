# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Transitions, parameters, diagnostics and the end of the node."""
import signal
import subprocess
import time
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from graph_client import image_message
from lifecycle_msgs.msg import State
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState

SECOND = 10 ** 9


def change_state(client, transition: int) -> bool:
    """Ask for a transition; whether it was made."""
    return client.call(ChangeState, '/stm_tracker/change_state',
                       transition=Transition(id=transition)).success


def state_of(client) -> int:
    """The node's primary state."""
    return client.call(GetState, '/stm_tracker/get_state').current_state.id


def test_every_transition_repeats_without_growth(start_node, client, clip):
    node = start_node('autostart:=false')
    assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED
    refused = client.tracker('reset')
    assert not refused.success and 'not active' in refused.message
    sizes = []
    for _ in range(10):
        for transition, state in (
                (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
                (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)):
            assert change_state(client, transition) and state_of(client) == state
        response = client.tracker(
            'set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
            mask=image_message(clip[0][1] * 255, 'mono8'))
        assert response.success, response.message
        assert change_state(client, Transition.TRANSITION_DEACTIVATE)
        assert not client.tracker('reset').success
        assert change_state(client, Transition.TRANSITION_CLEANUP)
        assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED
        client.wait_until(lambda: client.count_publishers('/stm_tracker/mask') == 0, 'silence')
        sizes.append(node.resident_megabytes())
    assert max(sizes[5:]) < 1.05 * max(sizes[:5])
    assert change_state(client, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state_of(client) == State.PRIMARY_STATE_FINALIZED


def test_no_transition_that_a_state_does_not_allow_ends_the_node(start_node, client):
    """Any lifecycle manager may ask; rclpy raises out of its service (rclpy#1209)."""
    node = start_node('autostart:=false', 'threads:=1')
    moves = {
        State.PRIMARY_STATE_UNCONFIGURED: {
            Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN},
        State.PRIMARY_STATE_INACTIVE: {
            Transition.TRANSITION_CLEANUP, Transition.TRANSITION_ACTIVATE,
            Transition.TRANSITION_INACTIVE_SHUTDOWN},
        State.PRIMARY_STATE_ACTIVE: {
            Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN},
        State.PRIMARY_STATE_FINALIZED: set()}
    way = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
           Transition.TRANSITION_ACTIVE_SHUTDOWN, None)
    # create and destroy (0, 8) are for nobody to ask, 77 is none
    every = {*range(9), 77}

    def change(**transition) -> bool:
        return client.call(ChangeState, '/stm_tracker/change_state',
                           transition=Transition(**transition)).success

    def state() -> int:
        return client.call(GetState, '/stm_tracker/get_state').current_state.id
    for (here, allowed), onward in zip(moves.items(), way, strict=True):
        assert state() == here
        for transition in sorted(every - allowed):
            assert not change(id=transition), (here, transition)
            assert state() == here and node.process.poll() is None, (here, transition)
        assert not change(label='dance') and state() == here
        assert onward is None or change(id=onward)
    assert node.log.count('is refused: the node is') == sum(
        len(every - allowed) for allowed in moves.values())
    assert 'Traceback' not in node.log


def test_memory_outlives_deactivation(start_node, client, clip):
    start_node()
    client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                   mask=image_message(clip[0][1] * 255, 'mono8'), target_id=6)
    assert change_state(client, Transition.TRANSITION_DEACTIVATE)
    assert change_state(client, Transition.TRANSITION_ACTIVATE)
    answer = client.tracker('segment', image=image_message(clip[1][0], 'rgb8', 2 * SECOND))
    assert [target.id for target in answer.targets.targets] == [6]


def test_a_failed_configure_says_why_and_can_be_repeated(start_node, client):
    node = start_node('autostart:=false', 'weights:=/nowhere/weights.safetensors')
    for _ in range(2):
        assert not change_state(client, Transition.TRANSITION_CONFIGURE)
        assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert 'no weights at /nowhere/weights.safetensors' in node.log


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_within_a_second_of_the_frame_in_hand(
        start_node, client, clip, number):
    node = start_node()
    client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                   mask=image_message(clip[0][1] * 255, 'mono8'))
    for time_ in range(2, 6):
        client.publish(image_message(clip[1][0], 'rgb8', time_ * SECOND))
        time.sleep(0.05)
    node.process.send_signal(number)
    # Ctrl-C under ros2 launch comes twice
    code, seconds = node.stop(number)
    assert code == 0, node.log
    # interpreter and middleware need a moment of their own on a busy machine
    assert seconds < 3.0
    assert 'Traceback' not in node.log


@pytest.mark.parametrize('setting, words', [
    ('input_size:=7', 'input_size is 7; 0 or 32..4096 is accepted'),
    ('max_targets:=seven', 'max_targets')])
def test_a_bad_value_at_start_is_refused_with_a_reason(start_node, setting, words):
    node = start_node(setting)
    assert node.process.wait(60) == 1
    assert words in node.log and 'Traceback' not in node.log


def test_values_change_at_run_time_where_they_may(start_node, client):
    start_node()
    assert client.set_parameter('memory.memorize_every', 9) == (True, '')
    assert client.set_parameter('confidence.uncertain_below', 0.4)[0]
    for name, value, words in (
            ('memory.memorize_every', 0, 'memorize_every'),
            ('confidence.lost_below', 0.45, 'exceeds uncertain_below 0.4'),
            ('confidence.lost_below', 2.0, 'lost_below'),
            ('model', 'stm', 'read-only'), ('memory.max_frames', 5, 'read-only')):
        accepted, reason = client.set_parameter(name, value)
        assert not accepted and words in reason, (name, reason)


def test_diagnostics_tell_rate_drops_and_states(start_node, client, clip):
    start_node('diagnostics_period:=0.2')
    client.listen(DiagnosticArray, '/diagnostics')
    client.listen_to_answers()
    client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                   mask=image_message(clip[0][1] * 255, 'mono8'))
    for step in range(1, 4):
        client.ask(image_message(clip[step][0], 'rgb8', (step + 1) * SECOND))
    client.received['/diagnostics'].clear()
    client.wait_until(lambda: client.received['/diagnostics'], 'diagnostics')
    memory, stream = client.received['/diagnostics'][-1].status
    values = {pair.key: pair.value for pair in (*memory.values, *stream.values)}
    assert values['targets'] == '1 of 8'
    assert values['frames answered'] == '3'
    assert values['target 1'] == 'TRACKING'
    assert float(values['latency arrival to publish p50 (ms)']) > 0
    assert int(values['memory bytes']) > 0


def test_only_the_newest_frame_waits(start_node, client, clip):
    start_node('diagnostics_period:=0.2')
    client.listen(DiagnosticArray, '/diagnostics')
    client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                   mask=image_message(clip[0][1] * 255, 'mono8'))
    client.listen_to_answers()
    for stamp in range(2, 42):
        client.publish(image_message(clip[1][0], 'rgb8', stamp * SECOND))
    targets = client.received['/stm_tracker/targets']
    client.wait_until(lambda: targets and targets[-1].header.stamp.sec == 41, 'the newest frame')
    stamps = [message.header.stamp.sec for message in targets]
    assert stamps == sorted(stamps) and len(stamps) < 40

def mapped(process: subprocess.Popen, library: str) -> bool:
    """Whether a process has a library in memory."""
    return library in Path(f'/proc/{process.pid}/maps').read_text()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_while_it_loads_what_it_needs(start_node, client, number):
    """Ctrl-C in the seconds in which torch is imported: quietly, as later."""
    node = start_node()
    # Python has mapped the library, and is in the middle of importing the package
    client.wait_until(lambda: mapped(node.process, 'libtorch'), 'torch')
    code, seconds = node.stop(number)
    assert code == 0 and seconds < 10
    assert 'Traceback' not in node.log and 'active; reads' not in node.log
