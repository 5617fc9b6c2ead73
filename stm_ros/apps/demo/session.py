# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One clip through the running node: show, publish, collect, judge, write."""
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stm_ros.apps.demo.client import Answer
from stm_ros.apps.demo.client import DemoClient
from stm_ros.replay.demo_clips import DemoClip
from stm_ros.replay.writers import ResultFolder
from stm_ros.report.history import EvenSample
from stm_ros.tracking import TargetState
from stm_ros.vision.image_files import write_image
from stm_ros.vision.overlay import contact_sheet

_SHEET = 'contact_sheet.png'
_SHEET_IMAGES = 12
_SHEET_COLUMNS = 4
_PICTURE_WIDTH = 400


@dataclass(frozen=True)
class Report:
    """
    How it went.

    rate: answers per second, in step. latency_p50, latency_p99: seconds from publishing an image to
    receiving its mask. mean_confidence: over frames and targets. frames_lost: frames in which a
    target was lost, summed over targets. republished: images that had to be sent again. mean_iou:
    with the truth, over the frames where the target can be seen; None where it is not known.
    """

    frames: int
    rate: float
    latency_p50: float
    latency_p99: float
    mean_confidence: float
    frames_lost: int
    republished: int
    mean_iou: float | None

    def entries(self) -> dict[str, Any]:
        """Return what predictions.json says of it."""
        known = {} if self.mean_iou is None else {'mean_iou': round(self.mean_iou, 4)}
        return {
            'frame_count': self.frames, 'rate': round(self.rate, 3),
            'latency_p50': round(self.latency_p50, 4), 'latency_p99': round(self.latency_p99, 4),
            'mean_confidence': round(self.mean_confidence, 4), 'frames_lost': self.frames_lost,
            'republished': self.republished, **known}


def run_session(client: DemoClient, clip: DemoClip, folder: Path, about: dict[str, Any],
                on_frame: Callable[[int], None] = lambda index: None) -> Report:
    """
    Send `clip` through the node and write everything into `folder`.

    The next image is published when the last one's answer has come, so nothing is dropped and the
    rate is what the node can do.

    :raises DemoError: where the node refuses or does not answer.
    """
    latencies: list[float] = []
    ious: list[float] = []
    confidences: list[float] = []
    lost = republished = 0
    sample: EvenSample[np.ndarray] = EvenSample(_SHEET_IMAGES)
    busy = 0.0
    with ResultFolder(folder, clip.rate, about, more=[_SHEET]) as results:
        for index, frame in enumerate(clip.frames):
            if index == 0:
                client.show(frame, clip.reference, clip.labels)
            started = time.monotonic()
            answer = client.track(frame)
            busy += time.monotonic() - started
            latencies.append(answer.latency)
            confidences.extend(target.confidence for target in answer.targets)
            lost += sum(target.state == TargetState.LOST for target in answer.targets)
            republished += answer.attempts > 1
            more: dict[str, Any] = {'latency': round(answer.latency, 4)}
            if clip.truths is not None:
                iou = _iou(answer, clip.truths[index])
                more['iou'] = None if iou is None else round(iou, 4)
                ious += [] if iou is None else [iou]
            picture = results.write(frame, answer.label_map, answer.targets, **more)
            sample.offer(partial(_narrowed, picture))
            on_frame(index)
        report = Report(
            len(latencies), len(latencies) / busy, float(np.percentile(latencies, 50)),
            float(np.percentile(latencies, 99)), float(np.mean(confidences)), lost, republished,
            float(np.mean(ious)) if ious else None)
        results.summary = report.entries()
        chosen = sample.chosen()
        sheet = contact_sheet([picture for _, picture in chosen],
                              [f'frame {index}' for index, _ in chosen], _SHEET_COLUMNS,
                              _PICTURE_WIDTH)
        write_image(results.path / _SHEET, sheet)
    return report


def _iou(answer: Answer, truth: np.ndarray) -> float | None:
    """Return the IoU of all targets' masks with the truth; None where there is nothing to see."""
    seen = truth > 0
    if not seen.any():
        return None
    hits = int(((answer.label_map == truth) & seen).sum())
    return hits / int((seen | (answer.label_map > 0)).sum())


def _narrowed(picture: np.ndarray) -> np.ndarray:
    height = round(picture.shape[0] * _PICTURE_WIDTH / picture.shape[1])
    return cv2.resize(picture, (_PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA)
