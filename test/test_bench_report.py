# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The page that a person with another machine sends back."""
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stm_ros.benchmark.machine import describe_machine
from stm_ros.benchmark.measuring import Comparison
from stm_ros.benchmark.one_page import Part
from stm_ros.benchmark.one_page import agree
from stm_ros.benchmark.one_page import parts_for
from stm_ros.benchmark.one_page import write_page
from stm_ros.benchmark.report import comparison_text
from stm_ros.benchmark.settings import Settings
from stm_ros.cli.main import main

SMALL = Settings(size=(96, 64), memory=2, dtype='float32', threads=1)


@pytest.fixture(autouse=True)
def photographs():
    """What the clip is made of."""
    pytest.importorskip('skimage')


def test_the_short_form_on_a_processor_is_one_page(tmp_path, capsys):
    assert main(['bench', '--report', '--size', '96x64', '--memory', '2', '--frames', '2',
                 '--warm-up', '0', '--threads', '1', '--out', str(tmp_path)]) == 0
    page = (tmp_path / 'report.md').read_text()
    assert page in capsys.readouterr().out
    titles = re.findall(r'^## (.*)$', page, re.MULTILINE)
    assert titles == ['Stages of a frame', 'Precision', 'Memory',
                      'Masks beside those of the processor in float32']
    assert '**failed**' not in page and '| cpu | ' in page
    rows = [line.split(' | ') for line in page.splitlines() if line.startswith('| bfloat16 |')]
    assert len(rows) == 1 and float(rows[0][4]) == pytest.approx(1000 / float(rows[0][2]), rel=0.1)
    assert 'frames a second (at the median)' in page
    overlaps = [float(value) for value in re.findall(r'masks ([\d.]+) on average', page)]
    assert len(overlaps) == 2 and all(value > 0.9 for value in overlaps)


def test_a_gpu_is_asked_for_everything_that_the_page_promises():
    # made without a device: only what would be measured is looked at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, 'device_count', lambda: 1)
        titles = [part.title for part in parts_for(replace(SMALL, device='cuda'), 2, 0)]
    assert titles[-2:] == ['The node over ROS 2', 'torch.compile'] and len(titles) == 6


def test_a_part_that_fails_is_on_the_page_and_the_next_goes_on(tmp_path):
    def fail() -> list[str]:
        raise torch.OutOfMemoryError('tried to allocate 9 GiB')
    parts = [Part('one', fail), Part('two', lambda: ['all is well'])]
    assert write_page(tmp_path / 'page.md', SMALL, parts) == 1
    page = (tmp_path / 'page.md').read_text()
    assert '**failed**: OutOfMemoryError: tried to allocate 9 GiB' in page
    assert page.index('all is well') > page.index('## two')


def test_what_there_is_no_time_for_is_named(tmp_path):
    begun = []
    parts = [Part(name, lambda name=name: begun.append(name) or [name]) for name in 'abc']
    assert write_page(tmp_path / 'page.md', SMALL, parts, budget=-1.0) == 0
    assert not begun and (tmp_path / 'page.md').read_text().count('left out: ') == 3
    write_page(tmp_path / 'other.md', SMALL, parts)
    assert begun == ['a', 'b', 'c']


def test_a_setting_agrees_with_itself():
    same = agree(SMALL, SMALL, 2)
    assert (same.mean, same.worst, same.difference) == (1.0, 1.0, 0.0)


def test_a_comparison_says_frames_a_second_beside_the_ratio():
    seconds = np.array([[0.1, 0.4], [0.1, 0.5], [0.1, 0.45]])
    comparison = Comparison(SMALL, SMALL, ('float32',) * 2, ('w',) * 2, seconds, np.array([]))
    assert comparison.rates == pytest.approx((10, 1 / 0.45))
    assert ('B takes 4.50 times as long as A (ratio of medians): 10.00 frames a second with A, '
            '2.22 with B') in comparison_text(comparison)


def test_the_machine_says_which_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Some GPU')
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: SimpleNamespace(
        total_memory=80_000_000_000, major=9, minor=0))
    machine = describe_machine('cuda')
    assert (machine['gpu'], machine['gpu_megabytes'], machine['gpu_capability']) == (
        'Some GPU', 80_000, '9.0')
