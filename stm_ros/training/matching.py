# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is matched at stride 8, from data without labels: principal components of clips."""
import torch

from stm_ros.networks.fine import join_features
from stm_ros.networks.stm_lite import STMLite
from stm_ros.training.clips import ClipDataset
from stm_ros.training.clips import ClipSettings
from stm_ros.training.configuration import TrainingConfig

_CLIPS = 64
_EVERY = 4  # positions are alike next to one another


@torch.no_grad()
def fit_match_key(network: STMLite, config: TrainingConfig) -> None:
    """Fit the keys of matching to the first frames of a few clips of the training."""
    settings = ClipSettings(shares=config.shares, seed=config.seed)
    clips = ClipDataset(list(config.data_sets), settings, _CLIPS)
    found = []
    for index in range(_CLIPS):
        features = network.trunk(clips[index].images[:1].float() / 255)
        joined = join_features(features.stride8, features.stride16)
        found.append(joined[0].flatten(1).T[::_EVERY])
    network.match_key.fit(torch.cat(found))
