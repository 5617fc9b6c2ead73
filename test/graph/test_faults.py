# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Faults that the running node survives: what comes in, what is asked, and what it lives on."""
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from graph_client import image_message
from graph_client import mask_pixels
from rclpy.qos import QoSProfile

from stm_ros import srv

SECOND = 10 ** 9
FAULTY = (str(Path(__file__).with_name('faulty_node.py')),)
CALLS = 100


@pytest.fixture
def tracked(start_node, client, clip):
    """Start a node that was shown the cup before any frame came, and listen to it."""
    def start(*parameters: str, **options):
        node = start_node('threads:=1', 'diagnostics_period:=0.2', *parameters, **options)
        response = client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                                  mask=image_message(clip[0][1] * 255, 'mono8'), label='cup')
        assert response.success, response.message
        client.listen(DiagnosticArray, '/diagnostics')
        client.listen_to_answers()
        return node
    return start


def overlap(mask, truth: np.ndarray) -> float:
    """IoU of a mask message with a label map."""
    found = mask_pixels(mask) == 1
    return (found & (truth == 1)).sum() / (found | (truth == 1)).sum()


def diagnostics(client) -> tuple[DiagnosticStatus, DiagnosticStatus, dict[str, str]]:
    """The status of memory and stream that come next, and the values of both."""
    messages = client.received['/diagnostics']
    messages.clear()
    client.wait_until(lambda: messages, 'diagnostics')
    memory, stream = messages[-1].status
    return memory, stream, {pair.key: pair.value for pair in (*memory.values, *stream.values)}


def wait_for_diagnostics(client, condition, what: str) -> None:
    """Wait for values that meet `condition(memory, stream, values)`."""
    client.wait_until(lambda: condition(*diagnostics(client)), what)


def test_a_reference_before_the_first_frame_is_followed_from_it(tracked, client, clip):
    tracked()
    _, stream, values = diagnostics(client)
    assert (stream.message, values['frames received']) == ('no image has come yet', '0')
    refused = client.tracker('set_reference', mask=image_message(clip[0][1] * 255, 'mono8'))
    assert not refused.success and 'no image has come' in refused.message
    mask, targets, _ = client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    assert overlap(mask, clip[1][1]) > 0.7 and targets.targets[0].state == 0


def test_a_stream_stops_is_said_to_and_resumes(tracked, client, clip):
    tracked()
    for time in range(1, 5):
        client.ask(image_message(clip[time][0], 'rgb8', (time + 1) * SECOND))
    wait_for_diagnostics(client, lambda memory, stream, values: (
        stream.level == DiagnosticStatus.WARN and stream.message.startswith('no image for')
        and values['rate (Hz)'] == '0.0'), 'word that the stream has stopped')
    # an hour later by its stamps
    mask, targets, memory = client.ask(image_message(clip[5][0], 'rgb8', 3600 * SECOND))
    assert overlap(mask, clip[5][1]) > 0.7 and targets.targets[0].state == 0
    assert len(memory.slots) > 1
    wait_for_diagnostics(client, lambda memory, stream, values: (
        stream.level == DiagnosticStatus.OK), 'word that the stream is back')


def test_resolution_encoding_and_frame_id_change_in_mid_stream(tracked, client, clip):
    node = tracked()
    double = np.ones((2, 2, 1), np.uint8)
    changes = [
        (lambda image: (image, 'rgb8'), 1), (lambda image: (image[..., ::-1], 'bgr8'), 1),
        (lambda image: (np.kron(image, double), 'rgb8'), 2),
        (lambda image: (image[::2, ::2], 'rgb8'), 0.5),
        (lambda image: (image.astype(np.uint16) * 257, 'rgb16'), 1),
        (lambda image: (np.dstack((image, image[..., 0])), 'rgba8'), 1)]
    for time, (change, scale) in enumerate(changes, start=1):
        image, truth = clip[time]
        pixels, encoding = change(image)
        message = image_message(pixels, encoding, (time + 1) * SECOND, f'lens_{time}')
        mask, targets, _ = client.ask(message)
        assert (mask.height, mask.width) == pixels.shape[:2]
        assert mask.header == message.header == targets.targets[0].header
        expected = (np.kron(truth, double[..., 0]) if scale == 2
                    else truth[::2, ::2] if scale == 0.5 else truth)
        assert overlap(mask, expected) > 0.6, (time, encoding)
    assert 'failed' not in node.log and 'skipped' not in node.log


def test_stamps_that_jump_back_clear_what_was_seen_and_keep_references(tracked, client, clip):
    tracked('memory.memorize_every:=1')
    for time in range(1, 5):
        _, _, memory = client.ask(image_message(clip[time][0], 'rgb8', (time + 100) * SECOND))
    assert [slot.kind for slot in memory.slots].count('reference') == 1 < len(memory.slots)
    assert diagnostics(client)[2]['jumps back in time'] == '0'
    # the bag starts again
    mask, targets, memory = client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    assert [slot.kind for slot in memory.slots] == ['reference']
    assert overlap(mask, clip[1][1]) > 0.7 and targets.targets[0].state != 2
    _, _, memory = client.ask(image_message(clip[2][0], 'rgb8', 3 * SECOND))
    stamps = {slot.header.stamp.sec for slot in memory.slots if slot.kind != 'reference'}
    assert stamps == {2}
    assert diagnostics(client)[2]['jumps back in time'] == '1'


def test_a_hundred_calls_at_full_rate_are_answered_and_so_are_frames(tracked, client, clip):
    tracked()
    client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    image = image_message(clip[0][0], 'rgb8', SECOND)
    kinds = [
        (srv.Segment, 'segment', {'image': image}, True),
        (srv.SaveMemory, 'save_memory', {'name': 'again'}, True),
        (srv.RemoveTarget, 'remove_target', {'target_id': 99}, False),
        (srv.SetReference, 'set_reference', {'image': image}, False)]
    # by default a client itself keeps only ten requests that are under way
    quality = QoSProfile(depth=CALLS)
    callers = [client.create_client(kind, f'/stm_tracker/{name}', qos_profile=quality)
               for kind, name, _, _ in kinds]
    for caller in callers:
        client.wait_until(caller.service_is_ready, 'services')
    pending = []
    for number in range(CALLS):
        kind, _, fields, expected = kinds[number % len(kinds)]
        pending.append((callers[number % len(kinds)].call_async(kind.Request(**fields)), expected))
    answers = client.received['/stm_tracker/targets']
    answers.clear()
    stamp = 3

    def all_answered() -> bool:
        nonlocal stamp
        client.publish(image_message(clip[stamp % len(clip)][0], 'rgb8', stamp * SECOND))
        stamp += 1
        for _ in range(5):
            rclpy.spin_once(client, timeout_sec=0.01)
        return all(future.done() for future, _ in pending)
    client.wait_until(all_answered, f'{CALLS} answers')
    assert all(future.result().success == expected for future, expected in pending)
    stamps = [message.header.stamp.sec for message in answers]
    assert len(stamps) >= 10 and stamps == sorted(set(stamps))
    _, targets, _ = client.ask(image_message(clip[1][0], 'rgb8', (stamp + 1) * SECOND))
    assert [target.id for target in targets.targets] == [1]


def still_tracks(client, clip, stamp: int) -> bool:
    """Whether a frame is answered with the target in it."""
    mask, _, _ = client.ask(image_message(clip[1][0], 'rgb8', stamp * SECOND))
    return overlap(mask, clip[1][1]) > 0.7


def test_a_snapshot_folder_that_is_missing_is_made_and_a_file_in_its_place_is_told(
        tracked, client, clip, tmp_path):
    tracked()
    folder = tmp_path / 'snapshots'
    assert not folder.exists()
    assert client.tracker('save_memory', name='one').success
    assert (folder / 'one.safetensors').is_file()
    shutil.rmtree(folder)
    folder.write_text('in the way')
    refused = client.tracker('save_memory', name='two')
    assert not refused.success and str(folder) in refused.message
    assert 'exists' in refused.message and folder.read_text() == 'in the way'
    refused = client.tracker('load_memory', name='one')
    assert not refused.success and 'there is no snapshot' in refused.message
    assert still_tracks(client, clip, 2)
    folder.unlink()
    assert client.tracker('save_memory', name='three').success


@pytest.fixture
def mount(tmp_path):
    """Mount small file systems on the snapshot folder, and unmount them in the end."""
    folder = tmp_path / 'snapshots'
    if os.geteuid() != 0:
        pytest.skip('only root may mount the small and read-only file systems that this needs')

    def unmount() -> None:
        subprocess.run(['umount', str(folder)], capture_output=True, check=True)

    def mount_on(options: str) -> None:
        folder.mkdir(exist_ok=True)
        if os.path.ismount(folder):
            unmount()
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f'a tmpfs cannot be mounted here: {done.stderr.strip()}')
    yield mount_on
    if os.path.ismount(folder):
        unmount()


def test_a_full_and_a_read_only_snapshot_folder_are_told(tracked, client, clip, tmp_path, mount):
    mount('size=64k')
    folder = tmp_path / 'snapshots'
    tracked()
    refused = client.tracker('save_memory', name='large')
    assert not refused.success and 'No space left on device' in refused.message
    assert 'large.safetensors' in refused.message
    assert list(folder.iterdir()) == []
    mount('ro')
    refused = client.tracker('save_memory', name='never')
    assert not refused.success and 'Read-only file system' in refused.message
    assert 'cannot write the snapshot' in refused.message
    assert still_tracks(client, clip, 2)
    mount('size=64m')
    assert client.tracker('save_memory', name='fits').success
    assert [path.name for path in folder.iterdir()] == ['fits.safetensors']


def test_a_device_without_memory_gets_less_to_do(tracked, client, clip, monkeypatch):
    monkeypatch.setenv('STM_TEST_LARGEST', '128')
    node = tracked('memory.max_frames:=16', program=FAULTY)
    for time in range(1, 4):
        mask, targets, _ = client.ask(image_message(clip[time][0], 'rgb8', (time + 1) * SECOND))
        assert mask_pixels(mask).shape == clip[time][1].shape
        assert overlap(mask, clip[time][1]) > 0.5 and targets.targets[0].state == 0
    memory, _, values = diagnostics(client)
    assert values['reduced for lack of device memory'] == (
        'memory cut from 16 to 8 frames; input size cut to 120 pixels')
    assert values['slots used'].endswith('of 8') and values['frames refused'] == '0'
    assert memory.level == DiagnosticStatus.WARN and 'out of device memory' in memory.message
    # other settings may change meanwhile; what was given up stays so
    assert client.set_parameter('memory.memorize_every', 9)[0]
    client.ask(image_message(clip[4][0], 'rgb8', 6 * SECOND))
    assert diagnostics(client)[2]['reduced for lack of device memory'].count(' cut ') == 2
    assert 'failed' not in node.log


def test_numbers_that_are_not_finite_skip_the_frame_and_leave_memory(
        tracked, client, clip, monkeypatch):
    monkeypatch.setenv('STM_TEST_LARGEST', '4096')
    node = tracked(program=FAULTY)
    _, _, before = client.ask(image_message(clip[1][0], 'rgb8', 2 * SECOND))
    _, _, before = client.ask(image_message(clip[2][0], 'rgb8', 3 * SECOND))
    white = np.full_like(clip[0][0], 255)
    client.publish(image_message(white, 'rgb8', 4 * SECOND))
    wait_for_diagnostics(client, lambda memory, stream, values: (
        values['frames refused'] == '1'), 'word of the skipped frame')
    assert 'not finite' in diagnostics(client)[2]['last refusal']
    refused = client.tracker('segment', image=image_message(white, 'rgb8'))
    assert not refused.success and 'not finite' in refused.message
    # what nobody expects is refused, too, and its traceback is in the log
    refused = client.tracker('segment', image=image_message(white * 0, 'rgb8'))
    assert not refused.success and 'LookupError: injected: black' in refused.message
    assert 'Traceback' in node.log and 'in encode_query' in node.log
    mask, targets, after = client.ask(image_message(clip[3][0], 'rgb8', 5 * SECOND))
    assert overlap(mask, clip[3][1]) > 0.7 and targets.targets[0].state == 0
    stamps = [slot.header.stamp.sec for slot in after.slots]
    assert 4 not in stamps and stamps[0] == before.slots[0].header.stamp.sec == 1
    assert diagnostics(client)[2]['frames answered'] == '3'


def test_a_frame_that_fails_counts_on_its_own_stream_only(start_node, client, clip, monkeypatch):
    monkeypatch.setenv('STM_TEST_LARGEST', '4096')
    start_node('threads:=1', 'diagnostics_period:=0.2', 'streams:=[wrist, head]',
               topics=('wrist/image', 'head/image'), program=FAULTY)
    assert client.tracker('set_reference', image=image_message(clip[0][0], 'rgb8', SECOND),
                          mask=image_message(clip[0][1] * 255, 'mono8'), stream='wrist').success
    client.listen(DiagnosticArray, '/diagnostics')
    messages = client.received['/diagnostics']
    client.publish(image_message(np.zeros_like(clip[0][0]), 'rgb8', 2 * SECOND), '/wrist/image')

    def refused() -> list[str]:
        return [pair.value for status in messages[-1].status for pair in status.values
                if pair.key in ('frames refused', 'last refusal')]
    client.wait_until(lambda: messages and refused()[0] == '1', 'word of the failed frame')
    assert refused() == ['1', 'injected: black', '0', '']
    client.listen_to_answers('/stm_tracker/wrist')
    mask, _, _ = client.ask(image_message(clip[1][0], 'rgb8', 3 * SECOND), '/wrist/image',
                            '/stm_tracker/wrist')
    assert overlap(mask, clip[1][1]) > 0.7
