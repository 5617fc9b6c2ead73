# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The service call that README and docs/robot.md print, read there, on the scene it is for."""
import re
from pathlib import Path

import pytest
import yaml
from graph_client import image_message
from graph_client import mask_pixels
from stm_ros.msg import Box

from stm_ros.synthetic.clips import generate_clip

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('page', ['README.md', 'docs/robot.md'])
def test_the_box_that_is_printed_gets_the_mask_of_the_cup(start_node, client, page):
    [text] = re.findall(r'SetReferencePrompt \\\n *"(\{.*?\})"', (ROOT / page).read_text())
    request = yaml.safe_load(text)
    # the first frame of `stm track demo`, which the README and the tutorial draw on
    image, truth = generate_clip('occlusion', 60, (360, 480), seed=0)[0]
    boxes = [Box(**{side: float(value) for side, value in each.items()})
             for each in request['box']]
    start_node('threads:=1', 'mode:=on_demand')
    answer = client.tracker('set_reference_prompt', image=image_message(image, 'rgb8'),
                            box=boxes, label=request['label'],
                            with_mask=True)
    assert answer.success and list(answer.target_ids) == [1], answer.message
    found, true = mask_pixels(answer.mask) > 0, truth == 1
    assert (found & true).sum() / (found | true).sum() > 0.85
