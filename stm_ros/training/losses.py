# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loss: bootstrapped cross entropy, Dice, and the error of the predicted IoU."""
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.training.forward import FramePrediction


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Cross entropy over the hardest `share` of the pixels of each clip.

    :param logits: B×(N+1)×H×W. :param labels: B×H×W int64, 0 background.
    """
    loss = functional.cross_entropy(logits, labels, reduction='none').flatten(1)
    if share >= 1:
        return loss.mean()
    return loss.topk(int(share * loss.shape[1]), dim=1, sorted=False).values.mean()


def dice_loss(probabilities: Tensor, masks: Tensor, exists: Tensor) -> Tensor:
    """Mean 1 - Dice of soft masks B×N×H×W over the targets that `exists` (B×N bool)."""
    overlap = (probabilities * masks).sum((2, 3))
    total = probabilities.sum((2, 3)) + masks.sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return dice[exists].mean()


def intersection_over_union(predicted: Tensor, masks: Tensor) -> Tensor:
    """IoU of bool masks B×N×H×W; 0 where the truth is empty: nothing there deserves trust."""
    overlap = (predicted & masks).sum((2, 3))
    union = (predicted | masks).sum((2, 3)).clamp(min=1)
    return overlap / union


def clip_loss(predictions: list[FramePrediction], masks: Tensor, share: float
              ) -> tuple[Tensor, dict[str, float]]:
    """Loss of a clip with true masks B×T×N×H×W, and its parts by name for the log."""
    exists = masks[:, 0].flatten(2).any(-1)
    total = masks.new_zeros(())
    parts = {'cross_entropy': 0.0, 'dice': 0.0, 'quality': 0.0, 'iou': 0.0}
    for time, prediction in enumerate(predictions, start=1):
        # every second pixel: the logits come from stride 4, all of them would cost more than tell
        truth = masks[:, time, :, ::2, ::2]
        logits = prediction.logits[..., ::2, ::2]
        spoiled = prediction.spoiled[..., ::2, ::2]
        labels = torch.where(truth.any(1), truth.argmax(1) + 1, 0)
        entropy = bootstrapped_cross_entropy(logits, labels, share)
        soft = torch.softmax(logits, dim=1)[:, 1:]
        dice = dice_loss(soft, truth, exists)
        hard = logits.argmax(1)
        ids = torch.arange(1, truth.shape[1] + 1, device=hard.device)[None, :, None, None]
        iou = intersection_over_union(hard[:, None] == ids, truth > 0.5)
        spoiled_iou = intersection_over_union(spoiled, truth > 0.5)
        quality = (functional.binary_cross_entropy_with_logits(
            prediction.quality[exists], iou[exists])
            + 0.5 * functional.binary_cross_entropy_with_logits(
                prediction.spoiled_quality[exists], spoiled_iou[exists]))
        total = total + entropy + dice + 0.3 * quality
        present = exists & truth.flatten(2).any(-1)
        for name, value in (('cross_entropy', entropy), ('dice', dice), ('quality', quality),
                            ('iou', iou[present].mean())):
            parts[name] += float(value.detach()) / len(predictions)
    return total / len(predictions), parts
