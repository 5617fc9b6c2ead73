# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Boxes, points and scribbles to masks, by the head that ships in the weights."""
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from math import hypot
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stm_ros.inference.prompt_crop import Crop
from stm_ros.inference.prompt_crop import crop_around
from stm_ros.inference.prompt_crop import prompt_planes
from stm_ros.inference.prompt_crop import whole_crop
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.checkpoints import fill_network
from stm_ros.networks.checkpoints import prompt_head_of
from stm_ros.networks.checkpoints import read_checkpoint
from stm_ros.networks.prompting import PromptHead
from stm_ros.networks.published import DEFAULT_WEIGHTS
from stm_ros.networks.stm_lite import STMLite
from stm_ros.networks.trunks import EfficientNetLite0
from stm_ros.networks.trunks import TrunkFeatures
from stm_ros.vision.boxes import Box
from stm_ros.vision.boxes import box_of_mask
from stm_ros.vision.errors import InputError
from stm_ros.vision.grabcut import GrabCut
from stm_ros.vision.masks import check_image
from stm_ros.vision.prompts import Prompt
from stm_ros.vision.prompts import PromptedMask
from stm_ros.vision.prompts import Segmenter
from stm_ros.vision.prompts import check_points
from stm_ros.vision.prompts import clipped_points
from stm_ros.vision.prompts import largest_part
from stm_ros.vision.prompts import parts_with
from stm_ros.vision.prompts import pixels_inside

#: entry points of other packages: functions that take a torch device's name and give a Segmenter
GROUP = 'stm_ros.segmenters'
_LEAST_SURE = 0.3
_LEAST_SHARE_OF_BOX = 0.02
_MOST_SHARE = 0.98
_POINT_MARGIN = 0.4
_SAME_SPOT = 0.004
#: of a second, closer look at a box: IoU 86.6 with both, 86.3 and 86.0 with the first and this
#: one alone (119 pictures of DUTS-TR held out, permissive weights)
_NEAR_MARGIN = 0.12
_LEAST_VIEW = 0.12
_LEAST_CONTRAST = 4


class PromptSegmenter:
    """The head on a trunk of its own, float32; the tracker's network is left alone."""

    name = 'the prompt head'

    def __init__(self, trunk: EfficientNetLite0, head: PromptHead, device: str | torch.device
                 ) -> None:
        """Take over both."""
        self.device = torch.device(device)
        self.trunk = trunk.to(self.device).eval().requires_grad_(False)
        self.head = head.to(self.device).eval().requires_grad_(False)
        for module in (self.trunk, self.head):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def segment(self, image: np.ndarray, prompt: Prompt) -> PromptedMask:
        """Return the mask that `prompt` shows in `image`; see `Segmenter`."""
        check_image(image)
        box = _checked(image.shape, prompt)
        points = clipped_points(prompt.points, image.shape)
        if box is None:
            found, sure = self._by_points(image, whole_crop(image.shape), points, prompt)
        else:
            found, sure = self._by_box(image, box, points, prompt)
        mask = _parts(found > 0, points, prompt)
        _check_found(mask, sure, box, image.shape)
        return PromptedMask(mask, sure, self.name)

    def _by_box(self, image: np.ndarray, box: Box, points: list[tuple[int, int]], prompt: Prompt
                ) -> tuple[np.ndarray, float]:
        """Look into the box; where points say what of it is meant, take the surer answer."""
        on_target = prompt.on_target
        around = _extended(box, points, on_target)
        crop = crop_around(around)
        wide, near = (self._look(image, each, points, on_target, box=box)
                      for each in (crop, crop_around(around, _NEAR_MARGIN)))
        answers = [((wide[0] + near[0]) / 2, (wide[1] + near[1]) / 2)]
        if len(set(on_target)) == 2:
            # the box may hold more than the target: here it only says where to look
            answers.append(self._by_points(image, crop, points, prompt))
        return max(answers, key=lambda answer: answer[1])

    def _by_points(self, image: np.ndarray, crop: Crop, points: list[tuple[int, int]],
                   prompt: Prompt) -> tuple[np.ndarray, float]:
        """Look at all of `crop`, then closer at what was found there."""
        on_target = prompt.on_target
        found, sure = self._look(image, crop, points, on_target)
        around = box_of_mask(_parts(found > 0, points, Prompt(None, prompt.points, on_target)))
        if around is None:
            around = Box(*points[on_target.index(True)], 1, 1)
        # what was found may be a part of it: not too close
        least = _LEAST_VIEW * min(image.shape[:2])
        around = around.grown(max(0, least - around.width) / 2, max(0, least - around.height) / 2)
        closer = crop_around(_extended(around, points, on_target), _POINT_MARGIN)
        if closer.width * closer.height > 0.8 * crop.width * crop.height:
            return found, sure
        return self._look(image, closer, points, on_target, earlier=found)

    def _look(self, image: np.ndarray, crop: Crop, points: list[tuple[int, int]],
              on_target: tuple[bool, ...], *, box: Box | None = None,
              earlier: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Return logits H×W float32 of the image, and the IoU expected; two passes.

        :param earlier: logits H×W float32 that a wider view gave.
        """
        known = None
        if earlier is not None:
            # as uint8, which is what a crop cuts
            known = crop.cut((255 / (1 + np.exp(-earlier))).astype(np.uint8), (0,)) / 255
        seen = crop.cut(image)
        _refuse_flat(seen, crop, image.shape)
        planes = prompt_planes(crop, image.shape, box=box, points=points, on_target=on_target,
                               earlier=known)
        logits, sure = self._run(seen, planes)
        return crop.paste(logits, image.shape, -10.0), sure

    @torch.inference_mode()
    def _run(self, seen: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, float]:
        picture = torch.from_numpy(seen).to(self.device).permute(2, 0, 1)[None].float() / 255
        logits, sure = self.refined(picture, torch.from_numpy(planes).to(self.device)[None])
        return logits.cpu().numpy(), float(sure)

    def refined(self, picture: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """
        Look twice, the second time at the first answer too, at a picture and its mirror image.

        :param picture: 1×3×SIZE×SIZE, RGB in [0, 1], on this segmenter's device.
        :param prompt: 1×5×SIZE×SIZE, see `PromptHead.forward`.
        :return: mask logits SIZE×SIZE and the IoU expected.
        """
        picture = torch.cat((picture, picture.flip(3)))
        picture = picture.contiguous(memory_format=torch.channels_last)
        prompt = torch.cat((prompt, prompt.flip(3)))
        features: TrunkFeatures = self.trunk(picture)
        logits, _ = self._pass(picture, features, prompt)
        mask = 2 * torch.sigmoid(logits) - 1
        prompt[:, 3] = torch.stack((mask, mask.flip(1)))
        return self._pass(picture, features, prompt)

    def _pass(self, picture: Tensor, features: TrunkFeatures, prompt: Tensor
              ) -> tuple[Tensor, Tensor]:
        """Logits SIZE×SIZE and the IoU expected, the mean of both views."""
        answer = self.head(picture, features, prompt)
        both = (answer.logits[0] + answer.logits[1].flip(1)) / 2
        logits = torch.nn.functional.interpolate(
            both[None, None], scale_factor=2, mode='bilinear', align_corners=False)[0, 0]
        return logits, torch.sigmoid(answer.quality).mean()


def segmenter_for(model: str = STMLite.name, weights: str | Path | None = None,
                  device: str | torch.device = 'cpu', name: str = 'auto') -> Segmenter:
    """
    Return what turns prompts into masks.

    :param name: 'auto' for the head in stm_lite's `weights` (GrabCut where they hold none, the
        head of the permissive weights for other networks), 'grabcut', or the name of an entry
        point of the group `stm_ros.segmenters`.
    :raises InputError: for a name that nobody offers.
    :raises CheckpointError: where the weights hold a head that does not fit.
    """
    if name == 'grabcut':
        return GrabCut()
    if name == 'auto':
        known = 'permissive' if model != STMLite.name else str(weights or DEFAULT_WEIGHTS)
        path = Path(SHIPPED_BY_NAME.get(known, known))
        return _learned(path.resolve(), str(device)) or GrabCut()
    offered = entry_points(group=GROUP)
    if name not in offered.names:
        others = ''.join(f', {each}' for each in sorted(offered.names))
        raise InputError(f'there is no segmenter {name!r}; known are auto, grabcut{others}')
    make: Callable[[str], Segmenter] = offered[name].load()
    return make(str(device))


@lru_cache(maxsize=2)
def _learned(path: Path, device: str) -> PromptSegmenter | None:
    state, metadata = read_checkpoint(path)
    head = prompt_head_of(state, metadata, path)
    if head is None:
        return None
    network = STMLite()
    fill_network(network, state, path)
    return PromptSegmenter(network.trunk, head, device)


def _checked(shape: tuple[int, ...], prompt: Prompt) -> Box | None:
    """Return the part of the prompt's box inside the image; refuse what cannot be used."""
    if not prompt.points and prompt.box is None:
        raise InputError('the prompt has neither a box nor points')
    if prompt.points or prompt.on_target:
        check_points(prompt.points, prompt.on_target, has_box=prompt.box is not None)
        _refuse_same_spot(shape, prompt)
    if prompt.box is None:
        return None
    columns, rows = pixels_inside(prompt.box, shape)
    left, top = max(prompt.box.x_min, columns.start), max(prompt.box.y_min, rows.start)
    right = min(prompt.box.x_min + prompt.box.width, columns.stop)
    bottom = min(prompt.box.y_min + prompt.box.height, rows.stop)
    return Box(left, top, right - left, bottom - top)


def _refuse_same_spot(shape: tuple[int, ...], prompt: Prompt) -> None:
    reach = max(1.0, _SAME_SPOT * min(shape[:2]))
    pixels = clipped_points(prompt.points, shape)
    on = [pixel for pixel, is_on in zip(pixels, prompt.on_target, strict=True) if is_on]
    off = [pixel for pixel, is_on in zip(pixels, prompt.on_target, strict=True) if not is_on]
    if any(hypot(x - a, y - b) <= reach for x, y in on for a, b in off):
        raise InputError('a point on the target and one that is not lie on the same spot')


def _refuse_flat(seen: np.ndarray, crop: Crop, shape: tuple[int, ...]) -> None:
    """Refuse what has no contrast: there the head would make up a mask from the prompt alone."""
    inside = prompt_planes(crop, shape)[4] == 1
    if inside.any() and np.ptp(seen[inside].astype(np.int16), axis=0).max() < _LEAST_CONTRAST:
        raise InputError('nothing here can be told from what is around it: the picture has one '
                         'colour; give a mask')


def _extended(box: Box, points: list[tuple[int, int]], on_target: tuple[bool, ...]) -> Box:
    """Return `box`, grown to hold the points on the target."""
    on = [pixel for pixel, is_on in zip(points, on_target, strict=True) if is_on]
    left = min([box.x_min, *(x for x, _ in on)])
    top = min([box.y_min, *(y for _, y in on)])
    right = max([box.x_min + box.width, *(x + 1 for x, _ in on)])
    bottom = max([box.y_min + box.height, *(y + 1 for _, y in on)])
    return Box(left, top, right - left, bottom - top)


def _parts(mask: np.ndarray, points: list[tuple[int, int]], prompt: Prompt) -> np.ndarray:
    """Keep the parts that a point is on; with a box, or where there are none, the large ones."""
    on = [pixel for pixel, is_on in zip(points, prompt.on_target, strict=True) if is_on]
    pointed = parts_with(mask, on)
    return pointed if prompt.box is None and pointed.any() else pointed | largest_part(mask)


def _check_found(mask: np.ndarray, sure: float, box: Box | None, shape: tuple[int, ...]) -> None:
    where = str(box) if box is not None else 'the reach of the points'
    least = _LEAST_SHARE_OF_BOX * box.width * box.height if box is not None else 1
    if mask.sum() < least or sure < _LEAST_SURE:
        raise InputError(
            f'nothing in {where} can be told from what is around it (expected IoU {sure:.2f}, '
            f'{int(mask.sum())} pixels); draw the box closer, add points, or give a mask')
    if mask.sum() > _MOST_SHARE * shape[0] * shape[1]:
        raise InputError('the mask would be the whole image; add points on what is not the '
                         'target, or give a mask')
