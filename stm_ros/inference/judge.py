# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The judge: how far to believe a mask, learned from the tracker's own mistakes.

Everything that is known of a mask goes into one small head: what the network's own head predicts,
how well references and past frames agree with it at stride 8, its shape, and what its track says.
It is fitted on roll-outs of the tracker over sequences with known truth (`stm calibrate`), and
answers with the IoU that such masks had.
"""
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.networks.fine import recent_logits
from stm_ros.networks.fine import reference_logits
from stm_ros.networks.interface import SpaceTimeNetwork

#: of a mask by itself, in the order of sight_cues(): shares and logarithms, all about -1 to 1
SIGHT_CUES = ('quality', 'peak', 'fuzziness', 'cells', 'outline', 'strongest', 'by_references',
              'of_references', 'like_references', 'by_recent', 'of_recent', 'like_recent')
#: of its track, in the order of TrackCues
TRACK_CUES = ('surprise', 'age', 'growth', 'shared', 'before', 'was_lost', 'has_place')
#: standard deviations beyond which cues count for no more
CLIP = 4.0


@dataclass(frozen=True)
class TrackCues:
    """What a track says of a mask that is taken for its own.

    surprise: squared distance from where it was expected. age: seconds since it was believed.
    growth: logarithm of its area over what it was. shared: by a distractor, in [0, 1]. before: the
    last confidence. was_lost: whether the target was LOST. has_place: whether its place was known.
    What is not known is NaN: the judge then takes the mean of what it was fitted on.
    """

    surprise: float
    age: float
    growth: float
    shared: float
    before: float
    was_lost: float
    has_place: float

    @classmethod
    def of_a_stranger(cls, shared: float) -> 'TrackCues':
        """Of a target that has not been seen in its stream before."""
        nothing = float('nan')
        return cls(nothing, nothing, nothing, shared, nothing, nothing, nothing)

    def values(self) -> list[float]:
        """In the order of TRACK_CUES, about -1 to 1."""
        return [np.log1p(self.surprise) / 4, np.log1p(4 * self.age) / 2,
                float(np.clip(self.growth, -2, 2)) / 2, self.shared, self.before,
                self.was_lost, self.has_place]


#: for people, of weights that carry no judge
UNCALIBRATED = ('confidence is not calibrated: `stm calibrate` fits it on annotated video, for '
                'memory.top_k 0')


@dataclass(frozen=True)
class Judge:
    """A head of one hidden layer over SIGHT_CUES and TRACK_CUES, or nothing.

    weights: hidden×C, bias: hidden, last: hidden + 1, the bias at the end; mean and scale: C.
    Without weights the network's own prediction is the answer, which is not calibrated.
    """

    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    last: np.ndarray | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether the answers are measured IoUs."""
        return self.weights is not None

    @property
    def note(self) -> str:
        """What people should know of its answers: that they are not calibrated, or nothing."""
        return '' if self.is_calibrated else UNCALIBRATED

    def __call__(self, sight: Sequence[float], track: TrackCues) -> float:
        """The IoU with the truth that a mask is expected to have, in [0, 1]."""
        if self.weights is None:
            return float(np.clip(sight[0], 0, 1)) * (1 - track.shared)
        return self.of_values(np.array([*sight, *track.values()]))

    def of_values(self, cues: np.ndarray) -> float:
        """The answer to C numbers, SIGHT_CUES and then TRACK_CUES, of a judge that is fitted."""
        assert self.mean is not None and self.scale is not None and self.weights is not None
        assert self.bias is not None and self.last is not None
        known = np.where(np.isnan(cues), self.mean, cues)
        scaled = np.clip((known - self.mean) / self.scale, -CLIP, CLIP)
        hidden = np.tanh(self.weights @ scaled + self.bias)
        return float(1 / (1 + np.exp(-(self.last[:-1] @ hidden + self.last[-1]))))

    def to_json(self) -> str:
        """The judge as weights carry it in their metadata."""
        return json.dumps({name: np.round(value, 5).tolist()
                           for name, value in vars(self).items() if value is not None})


def judge_of(network: SpaceTimeNetwork, top_k: int = 0) -> Judge:
    """The judge that the network's weights carry; one that is not fitted where they carry none.

    :param top_k: with top_k nothing is matched at stride 8, which the judge was fitted with.
    """
    text = getattr(network, 'metadata', {}).get('judge')
    if not text or top_k:
        return Judge()
    return Judge(**{name: np.array(value) for name, value in json.loads(text).items()})


def sight_cues(logits: Tensor, peak: Tensor, match: Tensor | None, quality: Tensor | None
               ) -> Tensor:
    """N×SIGHT_CUES float32 of masks given as logits N×4h×4w.

    :param peak: N×h×w, the best similarity that each query position found in memory.
    :param match: N×5×2h×2w of networks.fine, None where nothing was matched.
    :param quality: N, the IoU that the network's head predicts, None where it has none.
    """
    fine = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
    cells = functional.avg_pool2d(fine[:, None], 4)[:, 0]
    area, total = cells.sum((1, 2)), fine.sum((1, 2)).clamp(min=1e-3)
    outline = fine.diff(dim=1).abs().sum((1, 2)) + fine.diff(dim=2).abs().sum((1, 2))
    cues = [torch.zeros_like(area) if quality is None else quality.to(fine.dtype),
            (peak.to(fine.dtype) * cells).sum((1, 2)) / area.clamp(min=1e-3) / 8,
            4 * (fine * (1 - fine)).sum((1, 2)) / total,
            torch.log(area + 0.05) / 4, outline / total.sqrt() / 8, fine.amax((1, 2))]
    if match is None:
        return torch.stack([*cues, *[torch.zeros_like(area)] * 6], dim=1)
    mask = functional.avg_pool2d(fine[:, None], 2)[:, 0]
    inside = mask.sum((1, 2)).clamp(min=1e-3)
    match = match.to(fine.dtype)
    for logit, like in ((reference_logits(match), match[:, 0]),
                        (recent_logits(match), match[:, 2])):
        carried = torch.sigmoid(logit)
        both = (mask * carried).sum((1, 2))
        cues += [both / inside, both / carried.sum((1, 2)).clamp(min=1e-3),
                 (mask * like).sum((1, 2)) / inside]
    return torch.stack(cues, dim=1)
