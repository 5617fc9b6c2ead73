# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One factual English sentence about a target, for language models and people."""
from stm_ros.tracking.result import Result
from stm_ros.tracking.targets import TargetResult
from stm_ros.tracking.targets import TargetState

_STATE_WORDS = {TargetState.TRACKING: 'is in view', TargetState.UNCERTAIN: 'is probably in view'}


def describe_target(result: Result, target: TargetResult) -> str:
    """Say where `target` is in the frame of `result`, how sure that is and what it rests on."""
    kind = 'calibrated' if target.confidence_calibrated else 'uncalibrated'
    name = f'{target.label} (target {target.id})'
    evidence = _evidence(result, target.id)
    if target.box is None:
        return f'{name} is not in view (confidence {target.confidence:.2f}, {kind}){evidence}.'
    height, width = result.label_map.shape
    box = target.box
    share = 100 * target.area / (height * width)
    return (f'{name} {_STATE_WORDS[target.state]} with confidence {target.confidence:.2f} '
            f'({kind}), in columns {box.x_min:.0f} to {box.x_min + box.width - 1:.0f} and rows '
            f'{box.y_min:.0f} to {box.y_min + box.height - 1:.0f} of the {width}×{height} image, '
            f'covering {share:.1f} % of it{evidence}.')


def _evidence(result: Result, target_id: int) -> str:
    mass = result.memory.attention.get(target_id)
    if mass is None or not len(mass):
        return ''
    place = int(mass.argmax())
    slot = result.memory.slots[place]
    age = (result.stamp_ns - slot.stamp_ns) / 1e9
    word = 'the reference' if slot.kind == 'reference' else 'a memory frame'
    when = f' from {age:.1f} s before' if slot.stream == result.stream and age >= 0 else ''
    return f'; {100 * mass[place]:.0f} % of its attention rests on {word}{when}'
