# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says."""
from collections.abc import Callable
from collections.abc import Iterable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.time import Time
from std_msgs.msg import Header

from stm_ros.node.streams import SILENT_SECONDS
from stm_ros.node.streams import CameraStream
from stm_ros.tracking import Tracker
from stm_ros.tracking.recovery import Recovery


def diagnostics_message(now: Time, node_name: str, recovery: Recovery,
                        streams: Iterable[CameraStream],
                        more: Callable[[str], dict[str, str]] = lambda name: {}
                        ) -> DiagnosticArray:
    """A status of the memory and one of each stream, with what `more` has to say of it."""
    statuses = [_memory_status(node_name, recovery)]
    statuses += [_stream_status(node_name, recovery.tracker, stream, more(stream.name))
                 for stream in streams]
    return DiagnosticArray(header=Header(stamp=now.to_msg()), status=statuses)


def _memory_status(node_name: str, recovery: Recovery) -> DiagnosticStatus:
    tracker = recovery.tracker
    bank, reductions = tracker.bank, list(recovery.reductions)
    used = sum(slot is not None for slot in bank.slots)
    values = {
        'network': tracker.network.name, 'device': str(tracker.device),
        'precision': str(tracker.engine.dtype).removeprefix('torch.'),
        'slots used': f'{used} of {bank.layout.slots}',
        'memory bytes': str(bank.layout.bytes),
        'targets': f'{len(tracker.labels)} of {bank.layout.targets}',
        'jumps back in time': str(tracker.time_jumps),
        'reduced for lack of device memory': '; '.join(reductions),
        'notes': '; '.join(list(tracker.notes))}
    level = DiagnosticStatus.OK
    message = f'{used} of {bank.layout.slots} memory frames, {len(tracker.labels)} targets'
    if reductions:
        level, message = DiagnosticStatus.WARN, f'out of device memory: {reductions[-1]}'
    return DiagnosticStatus(level=level, name=f'{node_name}: memory',
                            message=message, hardware_id=node_name, values=_pairs(values))


def _stream_status(node_name: str, tracker: Tracker, stream: CameraStream,
                   more: dict[str, str]) -> DiagnosticStatus:
    figures = stream.figures()
    values = {
        'rate (Hz)': f'{figures.rate:.1f}', 'frames received': str(figures.received),
        'frames answered': str(figures.answered), 'frames dropped': str(figures.dropped),
        'frames refused': str(figures.failed), 'last refusal': stream.last_error}
    for title, samples in (('latency stamp to publish', figures.latencies),
                           ('latency arrival to publish', figures.processing),
                           ('tracker step', figures.stepping)):
        if samples:
            p50, p99 = np.percentile(samples, (50, 99))
            values[f'{title} p50 (ms)'] = f'{1000 * p50:.1f}'
            values[f'{title} p99 (ms)'] = f'{1000 * p99:.1f}'
    # read without the worker's lock: a copy of a small dictionary, at worst a frame old
    state = tracker.streams.get(stream.name)
    states = dict(state.states) if state is not None else {}
    for target, value in sorted(states.items()):
        values[f'target {target}'] = value.name
    values.update(more)
    level, message = DiagnosticStatus.OK, f'{figures.rate:.1f} frames a second'
    if figures.received == 0:
        level, message = DiagnosticStatus.WARN, 'no image has come yet'
    elif figures.silence > SILENT_SECONDS:
        level, message = DiagnosticStatus.WARN, f'no image for {figures.silence:.0f} s'
    elif figures.failed and figures.answered == 0:
        level, message = DiagnosticStatus.ERROR, stream.last_error
    return DiagnosticStatus(level=level, name=f'{node_name}: stream {stream.name}',
                            message=message, hardware_id=node_name, values=_pairs(values))


def _pairs(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]
