# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking around a target's last place gives what looking everywhere gives, and costs less."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stm_ros.inference.runner import NOWHERE
from stm_ros.inference.views import View
from stm_ros.inference.views import searches_for
from stm_ros.inference.windows import Region
from stm_ros.inference.windows import core_of
from stm_ros.inference.windows import reaches_out
from stm_ros.inference.windows import region_around
from stm_ros.inference.windows import window_around
from stm_ros.memory.slots import SlotKind
from stm_ros.networks.interface import Query
from stm_ros.synthetic.clips import generate_clip
from stm_ros.tracking import TargetState
from stm_ros.tracking import Tracker
from stm_ros.tracking import TrackerConfig
from stm_ros.vision.boxes import Box
from stm_ros.vision.prepare import geometry_for

SIZE = (240, 320)


@pytest.fixture(scope='module')
def clip():
    """Images and true label maps of a cup that moves through a scene."""
    return generate_clip('occlusion', 40, SIZE)[:12]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


@given(x=st.floats(0, 639), y=st.floats(0, 479), width=st.floats(1, 200), height=st.floats(1, 200),
       margin=st.floats(0, 2))
def test_a_region_holds_its_box_and_lies_in_the_frame(x, y, width, height, margin):
    geometry = geometry_for((480, 640), 240, 16)
    box = Box(x, y, min(width, 640 - x), min(height, 480 - y))
    region = region_around(box, geometry, 16, margin)
    if region is None:
        return
    assert 0 <= region.top < region.bottom <= 15 and 0 <= region.left < region.right <= 20
    assert region.top * 32 <= box.y_min and region.bottom * 32 >= min(480, box.y_min + box.height)
    assert region.left * 32 <= box.x_min and region.right * 32 >= min(640, box.x_min + box.width)


@given(x=st.floats(0, 560), y=st.floats(0, 400), side=st.floats(1, 80), other=st.floats(0, 400))
def test_the_core_of_a_frame_holds_all_boxes_and_lies_in_the_window(x, y, side, other):
    geometry = geometry_for((480, 640), 240, 16)
    boxes = [Box(x, y, side, side), Box(other, other, 1, 1)]
    window = Region(0, 0, 15, 20)
    core = core_of(boxes, geometry, 16, window)
    assert 0 <= core.top and core.bottom <= 15 and 0 <= core.left and core.right <= 20
    for box in boxes:
        assert core.top * 32 <= box.y_min and box.y_min + box.height <= core.bottom * 32
        assert core.left * 32 <= box.x_min and box.x_min + box.width <= core.right * 32
    assert core_of([], geometry, 16, window) is None
    assert core_of(boxes[:1], geometry, 16, window).area <= (2 + 1 + side / 32 + 1) ** 2


def test_past_frames_are_kept_around_the_targets_and_the_newest_as_it_was_seen(clip):
    for every in (0.0, 0.2):
        tracker = Tracker.from_pretrained(
            config=TrackerConfig(input_size=240, memorize_by='frames', memorize_every=2,
                                 full_look_seconds=every))
        tracker.add_reference(clip[0][0], clip[0][1])
        for image, _ in clip[1:8]:
            tracker.step(image)
        tracker.settle()
        slots = [tracker.bank.slot(i) for i in tracker.bank.readable_slots('camera')]
        past = [slot for slot in slots if slot.kind == SlotKind.MEMORY]
        assert slots[0].positions == 300 and len(past) > 1
        if every == 0:
            assert {slot.positions for slot in slots} == {300}
        else:
            assert max(slot.positions for slot in past) < 0.5 * slots[-1].positions


def test_a_box_as_large_as_the_frame_has_no_region():
    geometry = geometry_for((480, 640), 240, 16)
    assert region_around(Box(10, 10, 600, 450), geometry, 16, 0.5) is None


def test_targets_whose_regions_have_one_shape_are_looked_for_together():
    regions = [Region(0, 1, 2, 4), None, Region(1, 2, 3, 5), Region(0, 0, 3, 3), None]
    searches = searches_for(regions, (4, 6))
    assert [search.places for search in searches] == [(0, 2), (1, 4), (3,)]
    assert [search.shape for search in searches] == [(2, 3), (4, 6), (3, 3)]
    grid = torch.arange(24.).view(1, 1, 4, 6)
    finer = grid.repeat_interleave(2, 2).repeat_interleave(2, 3)
    view = View(Query(grid, grid, (finer,), grid, grid), Region(0, 0, 4, 6), (4, 6))
    for search in searches:
        query = search.cut_query(view)
        for place, part in zip(search.places, query.key, strict=False):
            region = regions[place]
            assert torch.equal(part[0], grid[0, 0][region.slices(1)] if region else grid[0, 0])


@pytest.mark.parametrize(('regions', 'expected'), [
    ([Region(2, 8, 6, 12), Region(4, 6, 8, 10)], Region(0, 3, 12, 15)),
    ([Region(2, 8, 6, 12), None], Region(0, 0, 20, 30)),
    ([Region(0, 0, 4, 4), Region(16, 26, 20, 30)], Region(0, 0, 20, 30)),
    ([], Region(0, 0, 20, 30))])
def test_a_window_holds_all_regions_or_is_the_frame(regions, expected):
    window = window_around(regions, (20, 30))
    assert window.shape == expected.shape
    for region in regions:
        inner = (region or Region(0, 0, 20, 30)).within(window)
        assert 0 <= inner.top and inner.bottom <= window.shape[0]
        assert 0 <= inner.left and inner.right <= window.shape[1]


@pytest.mark.parametrize('regions', [[None, None], [Region(0, 1, 2, 4), Region(1, 2, 3, 5)]])
def test_what_is_cut_out_goes_back_to_its_place(regions):
    [search] = searches_for(regions, (4, 6))
    maps = torch.rand(2, 8, 12)
    restored = torch.zeros_like(maps)
    search.put(restored, search.cut_own(maps, 2), 2)
    for before, after, region in zip(maps, restored, regions, strict=True):
        inside = torch.zeros(8, 12, dtype=torch.bool)
        inside[region.slices(2) if region else ...] = True
        assert torch.equal(after, torch.where(inside, before, 0))


def test_a_box_at_the_edge_of_its_region_reaches_out():
    geometry = geometry_for((480, 640), 240, 16)
    region = Region(0, 4, 8, 12)  # rows 0..256, columns 128..384 of the source
    assert not reaches_out(Box(180, 0, 160, 200), region, geometry, 16)
    assert reaches_out(Box(150, 0, 160, 200), region, geometry, 16)
    assert reaches_out(Box(200, 0, 160, 200), region, geometry, 16)
    assert reaches_out(Box(180, 20, 160, 220), region, geometry, 16)


def test_inside_its_region_a_target_is_seen_as_in_the_whole_frame(clip):
    tracker = Tracker.from_pretrained(config=TrackerConfig(dtype='float32'))
    tracker.add_reference(clip[0][0], clip[0][1])
    geometry = geometry_for(SIZE, 480, 16)
    region = Region(2, 2, 14, 17)
    with torch.inference_mode():
        query = tracker.runner.encode(clip[1][0], geometry)
        whole, part = (tracker.runner.look(query, geometry, tracker.bank, [0], None, [where])
                       for where in (None, region))
    # three positions in from an edge nothing of the frame beyond it reaches the logits
    inner = (1, slice(16 * 5, 16 * 11), slice(16 * 5, 16 * 14))
    torch.testing.assert_close(part.logits[inner], whole.logits[inner], atol=0.35, rtol=0.05)
    assert (part.soft_masks[0, :16] <= 2 / (1 + np.exp(-NOWHERE))).all()
    assert part.mass.sum(2) == pytest.approx(1, abs=1e-5)


def test_looking_around_gives_the_masks_of_looking_everywhere(clip):
    masks = []
    for every in (0.0, 0.33):
        tracker = Tracker.from_pretrained(
            config=TrackerConfig(dtype='float32', full_look_seconds=every))
        tracker.add_reference(clip[0][0], clip[0][1])
        masks.append([tracker.step(image).label_map == 1 for image, _ in clip[1:]])
    assert min(iou(one, other) for one, other in zip(*masks, strict=True)) > 0.9


def test_a_target_that_jumps_out_of_its_region_is_found_again(clip):
    image, label_map = clip[0]
    tracker = Tracker.from_pretrained(config=TrackerConfig(dtype='float32', full_look_seconds=10.0))
    tracker.add_reference(image, label_map)
    assert tracker.step(image).targets[0].state == TargetState.TRACKING
    rows, columns = np.nonzero(label_map == 1)
    shift = 170 if columns.mean() < SIZE[1] / 2 else -170
    moved = np.roll(image, shift, axis=1)
    truth = np.roll(label_map, shift, axis=1) == 1
    overlaps = [iou(tracker.step(moved).label_map == 1, truth) for _ in range(4)]
    assert overlaps[-1] > 0.7, overlaps
