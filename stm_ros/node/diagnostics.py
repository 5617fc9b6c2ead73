# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says: counts since configuration, levels by the last seconds."""
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.time import Time
from std_msgs.msg import Header

from stm_ros.node.status import TrackerStatus
from stm_ros.node.streams import WINDOW_SECONDS
from stm_ros.node.streams import StreamFigures

#: of the images that came in the window; a camera of 30 Hz on a slow computer may lose half
MOST_DROPPED = 0.75


@dataclass(frozen=True)
class StreamReport:
    """
    What is said of a stream.

    resting: why no image is looked at on purpose, empty where they are. topic: that is read.
    missing, slow: as StreamWatch has them. remedy: what helps against losses. more: further values.
    """

    name: str
    figures: StreamFigures
    resting: str = ''
    topic: str = ''
    missing: str = ''
    slow: str = ''
    remedy: str = ''
    more: Mapping[str, str] = field(default_factory=dict)


def diagnostics_message(now: Time, node_name: str, status: TrackerStatus,
                        streams: Iterable[StreamReport], troubles: Iterable[str] = (),
                        unpublished: str = '') -> DiagnosticArray:
    """
    A status of the memory and one of each stream.

    :param troubles: what is wrong with the node as a whole, in words.
    :param unpublished: which outputs are not there, and why; empty where all are.
    """
    statuses = [_memory_status(node_name, status, [each for each in troubles if each],
                               unpublished)]
    statuses += [_stream_status(node_name, status, report) for report in streams]
    return DiagnosticArray(header=Header(stamp=now.to_msg()), status=statuses)


def _memory_status(node_name: str, status: TrackerStatus, troubles: list[str],
                   unpublished: str) -> DiagnosticStatus:
    values = {
        'network': status.network, 'device': status.device, 'precision': status.precision,
        'slots used': f'{status.slots_used} of {status.slots}',
        'memory bytes': str(status.memory_bytes),
        'targets': f'{status.targets} of {status.target_room}',
        'jumps back in time': str(status.time_jumps),
        'frames that came late': str(status.late_frames),
        'reduced for lack of device memory': '; '.join(status.reductions),
        'notes': '; '.join(status.notes), 'troubles': '; '.join(troubles),
        'not published': unpublished}
    level = DiagnosticStatus.OK
    message = f'{status.slots_used} of {status.slots} memory frames, {status.targets} targets'
    if troubles:
        level, message = DiagnosticStatus.WARN, troubles[0]
    if status.reductions:
        level, message = DiagnosticStatus.WARN, f'out of device memory: {status.reductions[-1]}'
    return DiagnosticStatus(level=level, name=f'{node_name}: memory',
                            message=message, hardware_id=node_name, values=_pairs(values))


def _stream_status(node_name: str, status: TrackerStatus, report: StreamReport
                   ) -> DiagnosticStatus:
    figures = report.figures
    total, recent = figures.total, figures.recent
    values = {'rate (Hz)': f'{figures.rate:.1f}'}
    for title, count, lately in (
            ('frames received', total.received, recent.received),
            ('frames answered', total.answered, recent.answered),
            ('frames dropped', total.dropped, recent.dropped),
            ('frames spared', total.spared, recent.spared),
            ('frames refused', total.failed, recent.failed),
            ('frames lost on the way', total.missing, recent.missing)):
        values[title] = str(count)
        values[f'{title}, last {WINDOW_SECONDS:.0f} s'] = str(lately)
    values |= {'last refusal': figures.last_error, 'topic': report.topic}
    for title, samples in (('latency stamp to publish', figures.latencies),
                           ('latency arrival to publish', figures.processing),
                           ('tracker step', figures.stepping)):
        if samples:
            p50, p99 = np.percentile(samples, (50, 99))
            values[f'{title} p50 (ms)'] = f'{1000 * p50:.1f}'
            values[f'{title} p99 (ms)'] = f'{1000 * p99:.1f}'
    for target, state in sorted(status.states.get(report.name, {}).items()):
        values[f'target {target}'] = state.name
    values |= report.more
    level, message = judgement(report)
    return DiagnosticStatus(level=level, name=f'{node_name}: stream {report.name}',
                            message=message, hardware_id=node_name, values=_pairs(values))


def judgement(report: StreamReport) -> tuple[bytes, str]:
    """The level and the message that a stream's last seconds deserve; the worst comes first."""
    figures, recent = report.figures, report.figures.recent
    sent = recent.received + recent.missing
    tried = recent.answered + recent.failed
    if report.resting == INACTIVE:
        return DiagnosticStatus.OK, report.resting
    if recent.missing > sent / 2:
        return DiagnosticStatus.ERROR, (f'{recent.missing} of {sent} images were lost on the way. '
                                        f'{report.remedy}')
    if recent.failed and not recent.answered:
        return DiagnosticStatus.ERROR, f'every image is refused: {figures.last_error}'
    if figures.silence is None:
        return DiagnosticStatus.WARN, ('no image has come yet' + (
            f': {report.missing}' if report.missing else ''))
    if report.missing:
        return DiagnosticStatus.WARN, f'no image for {figures.silence:.0f} s: {report.missing}'
    if report.resting:
        return DiagnosticStatus.OK, report.resting
    if recent.failed:
        return DiagnosticStatus.WARN, (f'{recent.failed} of {tried} images were refused: '
                                       f'{figures.last_error}')
    if recent.dropped > MOST_DROPPED * recent.received:
        return DiagnosticStatus.WARN, (f'{recent.dropped} of {recent.received} images were '
                                       'dropped for newer ones: steps take longer than images '
                                       'take to come')
    if report.slow:
        return DiagnosticStatus.WARN, report.slow
    return DiagnosticStatus.OK, f'{figures.rate:.1f} frames a second'


#: what StreamReport.resting says of a node that is not active
INACTIVE = 'not active'


def _pairs(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]
