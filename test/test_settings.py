# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings are written once: checks, help, tables and files come from their declarations."""
import re
import subprocess
import sys
from dataclasses import dataclass
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from stm_ros.cli.main import main
from stm_ros.node.settings import NodeSettings
from stm_ros.node.settings import parameters
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.settings import check_fields
from stm_ros.tracking.settings import describe_settings
from stm_ros.tracking.settings import parse_settings
from stm_ros.tracking.settings import setting
from stm_ros.tracking.settings import settings_of
from stm_ros.vision.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sample:
    """One setting of each kind."""

    count: int = setting(3, meaning='a count', low=1, high=9, or_zero=True)
    share: float = setting(0.5, meaning='a share', low=0.0, high=1.0, unit='s', live=True)
    mode: str = setting('a', meaning='a choice', choices=('a', 'b'), group='more', name='kind')
    flag: bool = setting(False, meaning='a switch')
    names: tuple[str, ...] = setting(('x',), meaning='names')

    def __post_init__(self) -> None:
        """Check."""
        check_fields(self)


@pytest.mark.parametrize('change, words', [
    ({'count': 10}, 'count is 10; 0 or 1..9 is accepted'), ({'count': True}, 'a whole number'),
    ({'count': 2.0}, 'a whole number'), ({'count': '2'}, 'a whole number'),
    ({'share': float('nan')}, '0.0..1.0 is accepted'), ({'share': 1.01}, 'share is 1.01'),
    ({'mode': 'c'}, "mode is 'c'; accepted are a, b"), ({'flag': 1}, 'true or false'),
    ({'names': 'x'}, 'a list of texts'), ({'names': (1,)}, 'a list of texts')])
def test_a_value_that_is_not_accepted_is_named_with_what_is(change, words):
    with pytest.raises(InputError, match=words):
        Sample(**change)


def test_what_the_bounds_include_is_accepted():
    assert Sample(count=0).count == 0 and Sample(count=9).count == 9
    assert Sample(share=1).share == 1 and Sample(names=['a', 'b']).names == ['a', 'b']


def test_assignments_are_read_by_type_and_by_either_name():
    assert parse_settings(Sample, ['count=4', 'more.kind=b', 'flag=true', 'names=[p, q]']) == {
        'count': 4, 'mode': 'b', 'flag': True, 'names': ('p', 'q')}
    for word, message in (('flag=yes', 'true or false'), ('count', 'NAME=VALUE'),
                          ('colour=1', 'names are count, share, mode')):
        with pytest.raises(InputError, match=message):
            parse_settings(Sample, [word])


def test_every_field_of_the_configurations_is_declared_and_means_something():
    for owner in (TrackerConfig, NodeSettings):
        declared = settings_of(owner)
        assert [each.field for each in declared] == [each.name for each in fields(owner)]
        for each in declared:
            assert len(each.meaning) > 8, each.field
            assert each.kind not in (int, float) or None not in (each.low, each.high), each.field
        owner()
    names = [each.parameter for each in parameters()]
    assert len(names) == len(set(names)) and 'memory.max_frames' in names


def test_set_help_lists_every_field(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['eval', '--set', 'help'])
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and printed.strip() == describe_settings(TrackerConfig)
    assert 'max_frames=10 [frames] (2..4096): slots of memory' in printed


def test_the_documents_and_the_parameter_file_are_not_stale():
    done = subprocess.run([sys.executable, str(ROOT / 'scripts' / 'make_tables.py'), '--check'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_parameter_file_sets_nothing_and_its_lines_are_the_defaults():
    text = (ROOT / 'config' / 'stm.yaml').read_text()
    assert yaml.safe_load(text) is None
    taken_in = re.sub(r'^#(?! \S)', '', text, flags=re.MULTILINE)
    values = yaml.safe_load(taken_in)['/**']['ros__parameters']
    for each in parameters():
        held = values[each.group] if each.group else values
        default = list(each.default) if each.kind is tuple else each.default
        assert held[each.name] == default, each.parameter


def test_ros_takes_the_parameter_file_as_it_is():
    """rcl's parser refuses what other YAML parsers take, such as ros__parameters without any."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context, args=[
        '--ros-args', '--params-file', str(ROOT / 'config' / 'stm.yaml')])
    rclpy.shutdown(context=context)
