# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Launch files: which arguments become parameters and remappings, and what is refused."""
import ast
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest
import yaml

from stm_ros.node.settings import NodeSettings
from stm_ros.node.settings import parameters
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.settings import check_settings

ROOT = Path(__file__).resolve().parent.parent
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))


def loaded(name: str):
    """The module of a launch file."""
    pytest.importorskip('launch_ros', reason='launch and launch_ros are not on PyPI; source a ROS '
                        '2 to run this')
    specification = spec_from_file_location(name, ROOT / 'launch' / f'{name}.launch.py')
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def context_with(module, **given: str):
    """A launch context in which arguments have these texts, and the others their defaults."""
    from launch import LaunchContext
    context = LaunchContext()
    context.launch_configurations.update(
        {argument.name: '' for argument in module.ARGUMENTS} | given)
    return context


@pytest.mark.parametrize('file', LAUNCH_FILES, ids=lambda file: file.name)
def test_descriptions_can_be_made(file):
    description = loaded(file.name.removesuffix('.launch.py')).generate_launch_description()
    assert len(description.entities) > 1


def test_arguments_that_are_empty_leave_everything_to_the_file():
    module = loaded('stm')
    context = context_with(module)
    assert module.parameters_of(context) == {} and module.remappings_of(context) == []


def test_arguments_that_are_given_become_parameters_of_their_type():
    module = loaded('stm')
    context = context_with(module, threads='2', autosave='10', autostart='False',
                           streams='[wrist, head]', image='[/a, /b]', max_rte='3')
    found = module.parameters_of(context)
    assert found == {'threads': 2, 'autosave': 10.0, 'autostart': False,
                     'streams': ['wrist', 'head']}
    assert isinstance(found['autosave'], float)
    assert module.remappings_of(context) == [('wrist/image', '/a'), ('head/image', '/b')]
    [said] = module.likely_misspelt(context)
    assert 'did you mean max_rate?' in said.msg[0].text


@pytest.mark.parametrize('given, words', [
    ({'threads': 'many'}, 'threads:=many: int'), ({'use_sim_time': 'yes'}, 'true or false')])
def test_arguments_of_another_type_are_refused(given, words):
    module = loaded('stm')
    with pytest.raises(ValueError, match=words):
        module.parameters_of(context_with(module, **given))


def test_as_many_topics_as_streams():
    module = loaded('stm')
    one = context_with(module, streams='wrist', image='/a')
    assert module.remappings_of(one) == [('image', '/a')]
    with pytest.raises(ValueError, match='names 1 topics and streams 2'):
        module.remappings_of(context_with(module, streams='[a, b]', image='/a'))


def test_a_topic_of_depth_enables_it():
    module = loaded('stm')
    context = context_with(module, image='/cam/color', depth='/cam/depth', camera_info='/cam/info')
    assert module.parameters_of(context) == {'depth.enabled': True}
    assert module.remappings_of(context) == [
        ('image', '/cam/color'), ('depth', '/cam/depth'), ('camera_info', '/cam/info')]
    two = context_with(module, streams='[a, b]', depth='[/a/depth, /b/depth]')
    assert module.remappings_of(two) == [('a/depth', '/a/depth'), ('b/depth', '/b/depth')]
    with pytest.raises(ValueError, match='depth names 1 topics and streams 2'):
        module.remappings_of(context_with(module, streams='[a, b]', depth='/a'))


def test_every_argument_that_is_a_parameter_is_one_of_the_node():
    """Read from the source, so that it holds where launch is not installed, too."""
    tree = ast.parse((ROOT / 'launch' / 'stm.launch.py').read_text())
    [table] = [node.value for node in tree.body if isinstance(node, ast.Assign)
               and node.targets[0].id == 'PARAMETERS']  # type: ignore[attr-defined]
    names = {key.value for key in table.keys}  # type: ignore[attr-defined]
    kinds = {each.parameter: each.kind.__name__ for each in parameters()}
    assert names - kinds.keys() == {'use_sim_time'}
    for key, value in zip(table.keys, table.values, strict=True):  # type: ignore[attr-defined]
        assert kinds.get(key.value, 'bool') == value.id, key.value


@pytest.mark.parametrize('name', ['cpu.yaml', 'robot_gpu.yaml'])
def test_the_examples_of_parameters_are_accepted(name):
    values = yaml.safe_load((ROOT / 'config' / name).read_text())['/**']['ros__parameters']
    flat = {}
    for key, value in values.items():
        flat |= ({f'{key}.{inner}': each for inner, each in value.items()}
                 if isinstance(value, dict) else {key: value})
    known = {each.parameter: each for each in parameters()}
    assert flat.keys() <= known.keys()
    check_settings(flat, [known[key] for key in flat], lambda setting: setting.parameter)
    NodeSettings(**{known[key].field: value for key, value in flat.items()
                    if hasattr(NodeSettings, known[key].field)})
    TrackerConfig(**{known[key].field: value for key, value in flat.items()
                     if hasattr(TrackerConfig, known[key].field)})


def test_every_launch_file_and_configuration_is_in_the_reference():
    page = (ROOT / 'docs' / 'components.md').read_text()
    files = [*LAUNCH_FILES, *(each for each in (ROOT / 'config').iterdir() if each.is_file())]
    assert len(files) >= 8
    assert not [each.name for each in files if f'`{each.name}`' not in page]
