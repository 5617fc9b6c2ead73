# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fit the judge to what masks with such cues were worth, and see how it does on others."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from stm_ros.evaluation.rollouts import Observation
from stm_ros.inference.judge import CLIP
from stm_ros.inference.judge import Judge
from stm_ros.vision.errors import InputError

HIDDEN = 24
FOLDS = 5
_EPOCHS = 400
_RATE = 0.01
_DECAY = 3e-3
_LEAST_OBSERVATIONS = 50


def fit_judge(observations: Sequence[Observation], seed: int = 0) -> Judge:
    """Fit one hidden layer by cross entropy with the IoU; every sequence weighs the same.

    :raises InputError: where there are too few observations.
    """
    if len(observations) < _LEAST_OBSERVATIONS:
        raise InputError(f'{len(observations)} masks were observed; {_LEAST_OBSERVATIONS} or more '
                         'are needed to fit a judge')
    cues = np.stack([each.cues for each in observations])
    mean, scale = np.nanmean(cues, 0), np.nanstd(cues, 0)
    cues = np.where(np.isnan(cues), mean, cues)
    scale = np.where(scale > 1e-6, scale, 1.0)
    x = torch.from_numpy(np.clip((cues - mean) / scale, -CLIP, CLIP)).float()
    y = torch.tensor([each.iou for each in observations]).float()
    weight = torch.from_numpy(_weights([each.group for each in observations])).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden, last = nn.Linear(cues.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    parameters = [*hidden.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
    for epoch in range(_EPOCHS):
        for group in optimizer.param_groups:
            group['lr'] = _RATE * (1 - epoch / _EPOCHS)
        optimizer.zero_grad()
        logits = last(torch.tanh(hidden(x)))[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, y, weight)
        loss.backward()
        optimizer.step()
    return Judge(mean, scale, hidden.weight.detach().double().numpy(),
                 hidden.bias.detach().double().numpy(),
                 torch.cat([last.weight[0], last.bias]).detach().double().numpy())


def left_out(observations: Sequence[Observation], folds: int = FOLDS) -> np.ndarray:
    """N: of each observation, the answer of a judge fitted without its sequence."""
    groups = sorted({each.group for each in observations})
    fold_of = {group: index % folds for index, group in enumerate(groups)}
    answers = np.zeros(len(observations))
    for fold in range(folds):
        judge = fit_judge([each for each in observations if fold_of[each.group] != fold])
        for index, each in enumerate(observations):
            if fold_of[each.group] == fold:
                answers[index] = judge.of_values(each.cues)
    return answers


def _weights(groups: Sequence[str]) -> np.ndarray:
    _, index, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(counts[index])
    return weight / weight.mean()
