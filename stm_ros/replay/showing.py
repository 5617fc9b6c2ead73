# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a person shows in one image: several targets, each by a box or by points, or one mask."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import numpy as np

from stm_ros.inference.prompting import segmenter_for
from stm_ros.replay.reference import show_reference
from stm_ros.vision.errors import InputError
from stm_ros.vision.masks import MAX_TARGET_ID
from stm_ros.vision.masks import refuse_specks
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import Segmenter


@dataclass(frozen=True)
class Reference:
    """The label map (H×W uint8) of an image, names by target id, and how it was understood."""

    label_map: np.ndarray
    labels: dict[int, str] = field(default_factory=dict)
    meaning: str = ''


def reference_of_prompts(image: np.ndarray, prompts: Sequence[Prompt],
                         labels: Sequence[str] = (), segmenter: Segmenter | None = None
                         ) -> Reference:
    """
    Return what `prompts` show in `image`, ids from 1 in their order.

    Where two masks share pixels, these belong to the smaller one: a cup on a book is the cup.

    :param segmenter: what turns prompts into masks; None for what ships.
    :raises InputError: where there is no prompt, more names than targets, a prompt gives no mask,
        or a target has no pixel left.
    """
    if not 1 <= len(prompts) <= MAX_TARGET_ID:
        raise InputError(f'{len(prompts)} targets are shown; 1 to {MAX_TARGET_ID} are accepted')
    if len(labels) > len(prompts):
        raise InputError(f'{len(labels)} names for {len(prompts)} targets: one for each is enough')
    segmenter = segmenter or segmenter_for()
    found = [segmenter.segment(image, prompt) for prompt in prompts]
    masks = [each.mask for each in found]
    label_map = np.zeros(image.shape[:2], np.uint8)
    for place in sorted(range(len(masks)), key=lambda place: -int(masks[place].sum())):
        label_map[masks[place]] = place + 1
    for target_id in range(1, len(masks) + 1):
        if not (label_map == target_id).any():
            raise InputError(f'target {target_id} is covered by the others: show it by a mask')
    refuse_specks(label_map, 'the mask of the prompt')
    return Reference(label_map, dict(enumerate(labels, start=1)),
                     '; '.join(each.meaning for each in found))


def reference_of_mask(image: np.ndarray, mask: str | Path, labels: Sequence[str] = (),
                      image_file: str | Path | None = None) -> Reference:
    """
    Return what a mask file shows in `image`: target 1 where it is binary, else its ids.

    Names are given to the ids in ascending order.

    :param image_file: where the image was read from, None where that was no picture file.
    :raises InputError: where the mask does not fit the image, its meaning is unclear, or there are
        more names than ids.
    """
    shown = show_reference(image, image_file, mask)
    if len(labels) > len(shown.ids):
        raise InputError(f'{len(labels)} names, but {mask} shows {len(shown.ids)} targets')
    return Reference(shown.label_map, dict(zip(shown.ids, labels, strict=False)), shown.meaning)
