# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers and messages for people."""
from stm_ros.console.snapshots import StreamView

_LATENCY_KEYS = ('latency stamp to publish p50 (ms)', 'latency arrival to publish p50 (ms)')
_LOSS_WORDS = ('dropped', 'lost', 'missed')
_LATELY = ', last '


def sentence(text: str) -> str:
    """A message of the node as a sentence."""
    return text[:1].upper() + text[1:] + ('' if text.endswith(('.', '…', '?', '!')) else '.')


def age(now_ns: int, then_ns: int) -> str:
    """How long before `now_ns` something was seen; both in nanoseconds of one clock."""
    seconds = (now_ns - then_ns) / 1e9
    if seconds < 0:
        return 'another time'
    if seconds < 0.05:
        return 'now'
    if seconds < 60:
        return f'{seconds:.1f} s ago'
    if seconds < 3600:
        return f'{seconds / 60:.0f} min ago'
    return f'{seconds / 3600:.0f} h ago' if seconds < 172800 else 'days ago'


def latency(stream: StreamView) -> str:
    """The median of the last answers, measured here; the node's where none was."""
    if stream.figures.delay is not None:
        return f'{1000 * stream.figures.delay:.0f} ms'
    for key in _LATENCY_KEYS:
        if key in stream.diagnostics:
            return f'{float(stream.diagnostics[key]):.0f} ms'
    return '–'


def losses(stream: StreamView) -> str:
    """The frames that the node counts as dropped or lost: lately, where it says so, else ever."""
    counts = {key: int(value) for key, value in stream.diagnostics.items()
              if value.isdigit() and any(word in key for word in _LOSS_WORDS)}
    lately = {key: count for key, count in counts.items() if _LATELY in key}
    if lately:
        span = next(iter(lately)).partition(_LATELY)[2]
        return f'{sum(lately.values()):,} in {span}'
    return f'{sum(counts.values()):,}' if counts else '–'
