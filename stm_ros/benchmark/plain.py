# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The paper's procedure as written, the baseline that gains are ratios against.

Oh et al., Video Object Segmentation using Space-Time Memory Networks, ICCV 2019, as the authors'
code runs it: full precision, tensors laid out as they come, objects in one batch, the whole matrix
of attention, a softmax along its first axis, eleven planes of which unused ones are computed too.
"""
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stm_ros.networks.aggregation import aggregate
from stm_ros.networks.interface import others_of
from stm_ros.networks.stm import STM
from stm_ros.vision.prepare import Geometry
from stm_ros.vision.prepare import geometry_for
from stm_ros.vision.prepare import prepare_image
from stm_ros.vision.prepare import prepare_masks

PLANES = 11


class PlainSTM:
    """Memorises frames 0, N, 2N, .. once each and reads them and the previous frame, for ever."""

    def __init__(self, network: STM, memorize_every: int = 5) -> None:
        """Take a network on its device, in its precision."""
        self.network = network.eval()
        self.memorize_every = memorize_every
        weight = network.KV_M_r4.Key.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._frames_seen = 0
        self._targets = 0
        self._geometry: Geometry | None = None
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._previous: tuple[Tensor, Tensor] | None = None
        self.memory_frames = 0

    @torch.inference_mode()
    def start(self, image: np.ndarray, label_map: np.ndarray) -> None:
        """Show the targets 1..N in the first frame.

        :param image: H×W×3 uint8 RGB.
        :param label_map: H×W uint8.
        """
        self._targets = int(label_map.max())
        self._geometry = geometry_for((image.shape[0], image.shape[1]), 0, self.network.stride)
        ids = list(range(1, self._targets + 1))
        masks = prepare_masks(label_map, ids, self._geometry, self._device, self._dtype)
        self._previous = (self._padded(image), masks)

    @torch.inference_mode()
    def step(self, image: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Find the targets in the next frame: label map H×W uint8, and soft masks K×H×W."""
        assert self._previous is not None, 'start() comes first'
        assert self._geometry is not None
        keys, values = self._with_previous(*self._memorize(*self._previous))
        self.memory_frames = keys.shape[2]
        frame = self._padded(image)
        logits = self._segment(frame, keys, values)
        if self._frames_seen % self.memorize_every == 0:
            self._keys, self._values = keys, values
        self._frames_seen += 1
        rows, columns = self._geometry.inside()
        soft = torch.softmax(logits[:, rows, columns], dim=0)
        self._previous = (frame, self._padded_masks(soft[1:self._targets + 1]))
        return torch.argmax(soft, dim=0).to(torch.uint8).cpu().numpy(), soft

    def _memorize(self, frame: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Keys N×128×1×h×w and values N×512×1×h×w of a frame with masks N×H'×W'."""
        images = frame.expand(len(masks), -1, -1, -1)
        features = self.network.Encoder_M(images, masks[:, None], others_of(masks)[:, None])
        key, value = self.network.KV_M_r4(features)
        return key[:, :, None], value[:, :, None]

    def _with_previous(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self._keys is None or self._values is None:
            return key, value
        return torch.cat([self._keys, key], dim=2), torch.cat([self._values, value], dim=2)

    def _segment(self, frame: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Logits K×H'×W' of background, targets and unused planes."""
        stride4, stride8, stride16 = self.network.Encoder_Q(frame)
        key, value = self.network.KV_Q_r4(stride16)
        batch = (self._targets, -1, -1, -1)
        memory = torch.cat([self._read(keys, values, key.expand(*batch)), value.expand(*batch)],
                           dim=1)
        skips = (stride8.expand(*batch), stride4.expand(*batch))
        coarse, _ = self.network.Decoder(memory, skips)
        both = functional.interpolate(coarse, scale_factor=4, mode='bilinear',
                                      align_corners=False)
        return aggregate(torch.softmax(both, dim=1)[:, 1], max(PLANES, self._targets + 1))

    @staticmethod
    def _read(keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
        """Gather N×512×h×w by attention over all positions of memory at once."""
        targets, channels, height, width = query.shape
        memory = keys.reshape(targets, channels, -1).transpose(1, 2)
        scores = memory @ query.reshape(targets, channels, -1) / channels ** 0.5
        attention = torch.softmax(scores, dim=1)
        return (values.reshape(targets, values.shape[1], -1) @ attention).reshape(
            targets, -1, height, width)

    def _padded(self, image: np.ndarray) -> Tensor:
        assert self._geometry is not None
        return prepare_image(image, self._geometry, self._device, self._dtype).contiguous()

    def _padded_masks(self, masks: Tensor) -> Tensor:
        assert self._geometry is not None
        rows, columns = self._geometry.inside()
        padded = masks.new_zeros(len(masks), *self._geometry.padded)
        padded[:, rows, columns] = masks
        return padded
