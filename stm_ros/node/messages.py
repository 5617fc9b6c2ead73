# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From results to messages. Every message carries the source image's header."""
from array import array
from collections.abc import Sequence

import numpy as np
from std_msgs.msg import Header

from stm_ros.msg import Box as BoxMessage
from stm_ros.msg import EvidenceCrop
from stm_ros.msg import FeatureMap
from stm_ros.msg import MemoryReadout
from stm_ros.msg import MemorySlot
from stm_ros.msg import Target
from stm_ros.msg import TargetArray
from stm_ros.msg import TargetAttention
from stm_ros.msg import TargetContext
from stm_ros.node.conversion import encoded_message
from stm_ros.node.conversion import jpeg_message
from stm_ros.node.conversion import time_message
from stm_ros.tracking import Readout
from stm_ros.tracking import Result
from stm_ros.tracking import TargetResult
from stm_ros.tracking.clean_evidence import clean_evidence
from stm_ros.tracking.description import describe_target
from stm_ros.vision.boxes import Box
from stm_ros.vision.crops import crop_around_box

_CONTEXT_MARGIN = 0.2


def _boxes(box: Box | None) -> list[BoxMessage]:
    if box is None:
        return []
    return [BoxMessage(x_min=box.x_min, y_min=box.y_min, width=box.width, height=box.height)]


def _target(header: Header, stream: str, target: TargetResult) -> Target:
    return Target(header=header, stream=stream, id=target.id, label=target.label,
                  state=int(target.state), confidence=target.confidence,
                  confidence_calibrated=target.confidence_calibrated, box=_boxes(target.box),
                  area=target.area)


def targets_message(header: Header, result: Result) -> TargetArray:
    """All targets of a frame, lost ones included, which have no box."""
    return TargetArray(header=header, stream=result.stream, targets=[
        _target(header, result.stream, target) for target in result.targets])


def memory_message(header: Header, result: Result) -> MemoryReadout:
    """Which memory frames each target rests on."""
    report = result.memory
    slots = [MemorySlot(header=Header(stamp=time_message(slot.stamp_ns),
                                      frame_id=header.frame_id),
                        stream=slot.stream, kind=slot.kind, confidence=slot.confidence,
                        usage=slot.usage) for slot in report.slots]
    attention = [TargetAttention(header=header, stream=result.stream, id=target.id,
                                 confidence=target.confidence,
                                 attention=report.attention[target.id].tolist(),
                                 entropy=report.entropy[target.id]) for target in result.targets]
    return MemoryReadout(header=header, stream=result.stream, slots=slots, targets=attention)


def features_message(header: Header, stream: str, readout: Readout) -> FeatureMap:
    """The readout as little-endian float16."""
    features = np.clip(readout.features, -65504, 65504).astype('<f2')
    data = array('B')
    data.frombytes(features.tobytes())
    _, channels, height, width = features.shape
    return FeatureMap(header=header, stream=stream, target_ids=list(readout.target_ids),
                      channels=channels, height=height, width=width, stride=readout.stride,
                      dtype=FeatureMap.DTYPE_FLOAT16, data=data)


def context_message(header: Header, result: Result, target: TargetResult, image: np.ndarray,
                    evidence: int) -> TargetContext:
    """What a language model needs to know a target again: crops, states and a sentence.

    :param image: H×W×3 uint8 RGB, the frame of `result`.
    :param evidence: at most this many crops of memory frames, clean ones.
    """
    crops = []
    if target.box is not None:
        crops = [jpeg_message(header, crop_around_box(image, target.box, _CONTEXT_MARGIN))]
    found = []
    for item in clean_evidence(result, target.id, evidence):
        origin = Header(stamp=time_message(item.stamp_ns), frame_id=header.frame_id)
        found.append(EvidenceCrop(header=origin, stream=item.stream, kind=item.kind,
                                  weight=item.weight, crop=encoded_message(origin, item.jpeg)))
    return TargetContext(header=header, stream=result.stream, target_id=target.id,
                         label=target.label, state=int(target.state),
                         confidence=target.confidence, box=_boxes(target.box), crop=crops,
                         evidence=found, sentence=describe_target(result, target))


def detections_message(header: Header, targets: Sequence[TargetResult]):  # type: ignore[no-untyped-def]
    """The targets in view as vision_msgs/Detection2DArray, which must be installed."""
    from vision_msgs.msg import Detection2D
    from vision_msgs.msg import Detection2DArray
    from vision_msgs.msg import ObjectHypothesisWithPose
    message = Detection2DArray(header=header)
    for target in targets:
        if target.box is None:
            continue
        detection = Detection2D(header=header, id=str(target.id))
        center = detection.bbox.center.position
        center.x = target.box.x_min + target.box.width / 2
        center.y = target.box.y_min + target.box.height / 2
        detection.bbox.size_x = target.box.width
        detection.bbox.size_y = target.box.height
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = target.label or f'target {target.id}'
        hypothesis.hypothesis.score = target.confidence
        detection.results.append(hypothesis)
        message.detections.append(detection)
    return message
