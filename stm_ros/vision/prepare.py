# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a camera image to what the network sees, and back."""
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Geometry:
    """How a source image was resized and padded; all in pixels.

    source and resized are (height, width); padded is resized enlarged to a multiple of the
    stride, the resized image in its centre as the official STM code pads.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @property
    def offset(self) -> tuple[int, int]:
        """Row and column of the resized image inside the padded one."""
        return ((self.padded[0] - self.resized[0]) // 2, (self.padded[1] - self.resized[1]) // 2)

    def inside(self) -> tuple[slice, slice]:
        """Slices of the rows and columns of the padded image that hold the resized image."""
        top, left = self.offset
        return slice(top, top + self.resized[0]), slice(left, left + self.resized[1])


def geometry_for(source: tuple[int, int], input_size: int, stride: int) -> Geometry:
    """Plan the resizing of a `source` (height, width).

    :param input_size: the shorter side is brought down to this; smaller images stay as they are,
        and so do all where it is 0.
    """
    height, width = source
    resized = (height, width)
    if 0 < input_size < min(height, width):
        factor = input_size / min(height, width)
        resized = (max(1, round(height * factor)), max(1, round(width * factor)))
    padded = tuple(-(-side // stride) * stride for side in resized)
    return Geometry((height, width), resized, (padded[0], padded[1]))


def prepare_image(image: np.ndarray, geometry: Geometry, device: torch.device,
                  dtype: torch.dtype, around: Sequence[float] = (0.0, 0.0, 0.0)) -> Tensor:
    """Turn H×W×3 uint8 RGB into 1×3×H'×W' in [0, 1], the colour `around` around it."""
    if geometry.resized != geometry.source:
        image = cv2.resize(image, geometry.resized[::-1], interpolation=cv2.INTER_AREA)
    pixels = to_device(np.ascontiguousarray(image), device)
    planes = (pixels.to(dtype) / 255).permute(2, 0, 1)[None]
    if geometry.padded == geometry.resized:
        return planes
    if not any(around):
        return functional.pad(planes, _padding(geometry))
    return torch.cat([functional.pad(plane, _padding(geometry), value=value)
                      for plane, value in zip(planes.split(1, dim=1), around, strict=True)], dim=1)


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """A tensor of `values` on `device`; a GPU copies it while the processor goes on."""
    tensor = torch.from_numpy(values)
    if device.type == 'cuda':
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def prepare_masks(label_map: np.ndarray, ids: list[int], geometry: Geometry,
                  device: torch.device, dtype: torch.dtype) -> Tensor:
    """Turn a label map H×W into masks N×H'×W' (0 or 1; fractions at edges where resized)."""
    planes = [(label_map == target).astype(np.float32) for target in ids]
    if geometry.resized != geometry.source:
        planes = [cv2.resize(plane, geometry.resized[::-1], interpolation=cv2.INTER_AREA)
                  for plane in planes]
    masks = torch.from_numpy(np.stack(planes)).to(device, dtype)
    return functional.pad(masks, _padding(geometry))


def clear_padding(masks: Tensor, geometry: Geometry) -> Tensor:
    """The masks N×H'×W' with zeros outside the image: nothing is remembered of the padding."""
    if geometry.padded == geometry.resized:
        return masks
    rows, columns = geometry.inside()
    cleared = torch.zeros_like(masks)
    cleared[:, rows, columns] = masks[:, rows, columns]
    return cleared


def shift_mask(mask: Tensor, shift: tuple[float, float], geometry: Geometry) -> Tensor:
    """A mask H'×W' of the network's input, moved by whole pixels; zeros come in.

    :param shift: x, y in pixels of the source image.
    """
    scale = geometry.resized[0] / geometry.source[0]
    columns, rows = round(scale * shift[0]), round(scale * shift[1])
    if not (rows or columns):
        return mask
    height, width = mask.shape
    if abs(rows) >= height or abs(columns) >= width:
        return torch.zeros_like(mask)
    moved = torch.zeros_like(mask)
    moved[max(0, rows):height + min(0, rows), max(0, columns):width + min(0, columns)] = (
        mask[max(0, -rows):height - max(0, rows), max(0, -columns):width - max(0, columns)])
    return moved


def restore_logits(logits: Tensor, geometry: Geometry) -> Tensor:
    """Cut the padding off C×H'×W' and enlarge to the source's size: C×H×W."""
    rows, columns = geometry.inside()
    inside = logits[:, rows, columns]
    if geometry.resized == geometry.source:
        return inside
    return functional.interpolate(inside[None], size=geometry.source, mode='bilinear',
                                  align_corners=False)[0]


def _padding(geometry: Geometry) -> tuple[int, int, int, int]:
    top, left = geometry.offset
    bottom = geometry.padded[0] - geometry.resized[0] - top
    right = geometry.padded[1] - geometry.resized[1] - left
    return (left, right, top, bottom)
