# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The head for prompts: what it sees, on which device, what it finds in real photographs."""
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from stm_ros.cli.main import main
from stm_ros.inference.prompt_crop import SIZE
from stm_ros.inference.prompt_crop import crop_around
from stm_ros.inference.prompt_crop import prompt_planes
from stm_ros.inference.prompt_crop import whole_crop
from stm_ros.inference.prompting import PromptSegmenter
from stm_ros.inference.prompting import segmenter_for
from stm_ros.networks.checkpoints import SHIPPED_BY_NAME
from stm_ros.networks.checkpoints import CheckpointError
from stm_ros.networks.checkpoints import fingerprint
from stm_ros.networks.checkpoints import load_network
from stm_ros.networks.checkpoints import prompt_head_of
from stm_ros.networks.checkpoints import read_checkpoint
from stm_ros.networks.prompting import PREFIX
from stm_ros.networks.prompting import PromptHead
from stm_ros.networks.prompting import split_head
from stm_ros.networks.prompting import trunk_digest
from stm_ros.networks.trunks import EfficientNetLite0
from stm_ros.replay.reference import show_reference
from stm_ros.vision.boxes import Box
from stm_ros.vision.errors import InputError
from stm_ros.vision.grabcut import GrabCut
from stm_ros.vision.prompts import Prompt

SHAPE = (120, 160)


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> Path:
    """The shipped research weights without their head."""
    state, metadata = read_checkpoint(SHIPPED_BY_NAME['research'])
    path = tmp_path_factory.mktemp('weights') / 'plain.safetensors'
    save_file(split_head(state)[0], path, {name: text for name, text in metadata.items()
                                           if not name.startswith('prompt_')})
    return path


@pytest.fixture(scope='module')
def untrained(tmp_path_factory) -> Path:
    """An untrained head for the research weights' trunk."""
    torch.manual_seed(0)
    digest = trunk_digest(read_checkpoint(SHIPPED_BY_NAME['research'])[0])
    path = tmp_path_factory.mktemp('weights') / 'head.safetensors'
    save_file({PREFIX + name: tensor.half() for name, tensor in PromptHead().state_dict().items()},
              path, {'prompt_trunk': digest, 'prompt_licence': 'none'})
    return path


BOXES = st.builds(Box, st.floats(-20, 130), st.floats(-20, 90), st.floats(24, 160),
                  st.floats(24, 120))


@settings(max_examples=60, deadline=None)
@given(box=BOXES, margin=st.floats(0, 1))
def test_a_crop_holds_its_box_and_is_hardly_stretched(box, margin):
    crop = crop_around(box, margin)
    # what underflows is no part of a pixel
    assert crop.left <= box.x_min + 1e-6 and crop.top <= box.y_min + 1e-6
    assert crop.left + crop.width >= box.x_min + box.width
    assert crop.top + crop.height >= box.y_min + box.height
    assert 1 / 1.7 < crop.width / crop.height < 1.7


@settings(max_examples=30, deadline=None)
@given(box=BOXES)
def test_what_is_cut_is_pasted_where_it_was(box):
    rows, columns = np.mgrid[:SHAPE[0], :SHAPE[1]]
    image = np.clip(rows + columns // 2, 0, 255).astype(np.uint8)
    crop = crop_around(box)
    whole = crop.paste(crop.cut(image, (0,)).astype(np.float32), SHAPE, -1.0)
    inside = np.zeros(SHAPE, bool)
    inside[max(0, crop.top):crop.top + crop.height, max(0, crop.left):crop.left + crop.width] = True
    assert np.array_equal(whole == -1.0, ~inside)
    # where the crop ends inside the image, or the image inside the crop, is blurred
    core = cv2.erode(np.pad(inside, 1).astype(np.uint8), np.ones((9, 9)))[1:-1, 1:-1] > 0
    assert not core.any() or np.abs(whole - image)[core].max() <= 3


def test_planes_hold_the_prompt():
    box = Box(40, 30, 50, 40)
    crop = crop_around(box)
    planes = prompt_planes(crop, SHAPE, box=box, points=[(60, 50), (10, 10)],
                           on_target=[True, False])
    scale = SIZE * SIZE / (crop.width * crop.height)
    assert planes.shape == (5, SIZE, SIZE) and planes.dtype == np.float32
    assert ((planes[0] + 1) / 2).sum() == pytest.approx(box.width * box.height * scale, rel=1e-3)
    row, column = np.argwhere(planes[1] > 0).mean(0)
    assert (column, row) == pytest.approx(crop.place(60.5, 50.5), abs=1)
    assert not planes[2].any(), 'the other point is not in view'
    assert not planes[3].any() and planes[4].all()
    wide = prompt_planes(whole_crop((60, 200)), (60, 200), points=[(3, 3)], on_target=[True])
    assert 0 < planes[4].mean() and wide[4].mean() == pytest.approx(60 / (200 / 1.5), abs=0.02)
    assert not wide[0].any(), 'without a box none is drawn'


def test_nothing_leaves_the_device():
    meta = torch.device('meta')
    segmenter = PromptSegmenter(EfficientNetLite0(), PromptHead(), meta)
    logits, sure = segmenter.refined(torch.empty(1, 3, SIZE, SIZE, device=meta),
                                     torch.empty(1, 5, SIZE, SIZE, device=meta))
    assert logits.device == sure.device == meta and logits.shape == (SIZE, SIZE)


def test_weights_without_a_head_fall_back_and_say_so(plain):
    segmenter = segmenter_for(weights=plain)
    assert isinstance(segmenter, GrabCut)
    image = np.full((*SHAPE, 3), (40, 120, 60), np.uint8)
    cv2.circle(image, (90, 60), 28, (190, 40, 30), cv2.FILLED)
    shown = show_reference(image, None, None, Box(55, 26, 70, 68), segmenter=segmenter)
    assert shown.meaning == 'box, by GrabCut' and shown.label_map.sum() > 2000


def test_merged_weights_keep_all_else(plain, untrained, tmp_path, capsys):
    out = tmp_path / 'merged.safetensors'
    assert main(['weights', 'merge', str(plain), str(untrained), '--out', str(out)]) == 0
    assert 'a head for prompts: 0.7 million' in capsys.readouterr().out
    state, metadata = read_checkpoint(out)
    before, told = read_checkpoint(plain)
    assert {**told, 'prompt_licence': 'none', 'prompt_trunk': trunk_digest(before)} == metadata
    rest, head = split_head(state)
    assert all(torch.equal(rest[name], before[name]) for name in before)
    assert set(rest) == set(before) and set(head) == set(PromptHead().state_dict())
    assert isinstance(segmenter_for(weights=out), PromptSegmenter)
    # memory saved with one is memory of the other
    assert fingerprint(load_network(weights=out)) == fingerprint(load_network(weights=plain))


def test_an_average_keeps_the_head_where_the_trunk_is_one(plain, untrained, tmp_path, capsys):
    merged = tmp_path / 'merged.safetensors'
    assert main(['weights', 'merge', str(plain), str(untrained), '--out', str(merged)]) == 0
    out = tmp_path / 'mean.safetensors'
    command = ['weights', 'average', str(merged)]
    assert main([*command, str(plain), '--out', str(out), '--half']) == 0
    assert prompt_head_of(*read_checkpoint(out), out) is not None
    other = tmp_path / 'other.safetensors'
    assert main([*command, 'permissive', '--out', str(other)]) == 0
    assert 'is left out: the trunks differ' in capsys.readouterr().out
    assert not split_head(read_checkpoint(other)[0])[1]


def test_a_head_of_another_trunk_is_refused(untrained, tmp_path, capsys):
    command = ['weights', 'merge', 'permissive', str(untrained), '--out', str(tmp_path / 'w.st')]
    assert main(command) == 2
    assert 'was trained on another trunk' in capsys.readouterr().err
    assert not (tmp_path / 'w.st').exists()


def test_a_head_that_does_not_fit_is_refused(plain, untrained, tmp_path):
    state, metadata = read_checkpoint(plain)
    given_head, told = read_checkpoint(untrained)
    given_head.popitem()
    path = tmp_path / 'short.safetensors'
    save_file({**state, **given_head}, path, {**metadata, **told})
    with pytest.raises(CheckpointError, match='does not fit'):
        segmenter_for(weights=path)
    assert load_network(weights=path) is not None, 'tracking needs no head'


def test_another_package_offers_a_segmenter(tmp_path, monkeypatch):
    (tmp_path / 'middle_half.py').write_text(
        'from stm_ros.vision.prompts import PromptedMask\n'
        'import numpy as np\n'
        'class MiddleHalf:\n'
        '    name = "MiddleHalf"\n'
        '    def __init__(self, device):\n'
        '        self.device = device\n'
        '    def segment(self, image, prompt):\n'
        '        mask = np.zeros(image.shape[:2], bool)\n'
        '        mask[:, image.shape[1] // 4:image.shape[1] // 2] = True\n'
        '        return PromptedMask(mask, None, f"{self.name} on {self.device}")\n')
    folder = tmp_path / 'middle_half-1.0.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: middle-half\nVersion: 1.0\n')
    (folder / 'entry_points.txt').write_text(
        '[stm_ros.segmenters]\nmiddle_half = middle_half:MiddleHalf\n')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    found = segmenter_for(name='middle_half').segment(np.zeros((*SHAPE, 3), np.uint8),
                                                      Prompt(Box(1, 1, 9, 9)))
    assert found.mask.sum() == 120 * 40 and found.meaning == 'by MiddleHalf on cpu'
    with pytest.raises(InputError, match="no segmenter 'sam2'; known are auto, grabcut, middle"):
        segmenter_for(name='sam2')
