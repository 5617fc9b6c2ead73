# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Start the lifecycle node `stm_tracker`.

The node makes its own transitions to active unless `autostart` is false; then whoever manages
the lifecycles of the robot configures and activates it.

    ros2 launch stm_ros stm.launch.py image:=/camera/image_raw
    ros2 launch stm_ros stm.launch.py streams:="[wrist, head]" namespace:=robot1
    ros2 launch stm_ros stm.launch.py streams:="[wrist, head]" image:="[/cam1/image, /cam2/image]"
    ros2 launch stm_ros stm.launch.py console:=true
    ros2 launch stm_ros stm.launch.py image:=/cam/color depth:=/cam/depth camera_info:=/cam/info

Arguments that are left empty leave a parameter to params_file, and to SetParameter of a launch file
that includes this one.
"""
from difflib import get_close_matches
from pathlib import Path

import yaml
from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import ExecuteProcess
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackagePrefix
from launch_ros.substitutions import FindPackageShare

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare('stm_ros'), 'config', 'stm.yaml'])

#: arguments that are remappings of topics
INPUTS = ('image', 'depth', 'camera_info')
#: arguments that are parameters of the node, with what turns a text into a value
PARAMETERS = {
    'autostart': bool, 'use_sim_time': bool, 'image_transport': str, 'image_reliability': str,
    'device': str, 'model': str, 'weights': str, 'threads': int, 'input_size': int,
    'references': str, 'autosave': float, 'mode': str, 'max_rate': float,
    'depth.transport': str}
_MEANINGS = {
    'autostart': 'whether the node configures and activates itself',
    'use_sim_time': 'whether time comes from /clock',
    'image_transport': 'raw or compressed; one for all streams, or one each, with commas',
    'image_reliability': 'auto, best_effort or reliable', 'device': 'auto, cpu or cuda',
    'model': 'the network', 'weights': 'path of the weights, research or permissive',
    'threads': 'processor threads of the network; 0 measures', 'input_size': 'shorter side in px',
    'references': 'snapshot or folder of references that is known from the start',
    'autosave': 'seconds between two saves, from which a restart goes on; 0 for never',
    'mode': 'continuous or on_demand', 'max_rate': 'images a second and stream at most; 0: all',
    'depth.transport': 'raw or compressedDepth'}

ARGUMENTS = (
    DeclareLaunchArgument('name', default_value='stm_tracker', description='name of the node'),
    DeclareLaunchArgument('namespace', default_value='', description='namespace of the node'),
    DeclareLaunchArgument(
        'params_file', default_value=DEFAULT_PARAMETERS,
        description='YAML file with the parameters; the arguments below win over it'),
    DeclareLaunchArgument(
        'image', default_value='',
        description='image topic; with several `streams` a YAML list of as many. Empty: image, or '
                    '<stream>/image'),
    DeclareLaunchArgument(
        'depth', default_value='',
        description='topic of depth aligned to image, as many as streams; given, depth.enabled is '
                    'true. Empty: depth, or <stream>/depth, if params_file enables it'),
    DeclareLaunchArgument(
        'camera_info', default_value='',
        description='topic of its CameraInfo, as many. Empty: camera_info, or <stream>/camera_info'
        ),
    DeclareLaunchArgument(
        'streams', default_value='',
        description='YAML list of stream names, e.g. "[wrist, head]"; empty: as params_file says'),
    DeclareLaunchArgument(
        'respawn', default_value='false', choices=['true', 'false'],
        description='whether the node is started again when it ends; see autosave'),
    DeclareLaunchArgument(
        'log_level', default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'], description='least severity logged'),
    DeclareLaunchArgument(
        'console', default_value='false', choices=['true', 'false'],
        description="whether the operator's page is served too; needs stm_ros[console]"),
    DeclareLaunchArgument(
        'console_host', default_value='127.0.0.1',
        description='address that the page is bound to; STM_CONSOLE_TOKEN protects it'),
    *(DeclareLaunchArgument(name, default_value='', description=f'{meaning}; empty: as '
                            'params_file says') for name, meaning in _MEANINGS.items()))


def given(context: LaunchContext, name: str) -> str:
    """The text of an argument, empty where it was left out."""
    return LaunchConfiguration(name).perform(context).strip()


def parameters_of(context: LaunchContext) -> dict:
    """The parameters that arguments give; a wrong type raises ValueError with the name."""
    found = {}
    for name, kind in PARAMETERS.items():
        text = given(context, name)
        if not text:
            continue
        if kind is bool and text.lower() not in ('true', 'false'):
            raise ValueError(f'{name}:={text}: true or false is accepted')
        try:
            found[name] = text.lower() == 'true' if kind is bool else kind(text)
        except ValueError as error:
            raise ValueError(f'{name}:={text}: {kind.__name__} is accepted') from error
    streams = list_of(given(context, 'streams'))
    if streams:
        found['streams'] = streams
    if given(context, 'depth'):
        found['depth.enabled'] = True
    return found


def list_of(text: str) -> list[str]:
    """The texts of a YAML list, or of one word."""
    value = yaml.safe_load(text) if text else []
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def remappings_of(context: LaunchContext) -> list[tuple[str, str]]:
    """Where the input topics are; as many topics as streams, or ValueError."""
    streams, found = list_of(given(context, 'streams')), []
    for kind in INPUTS:
        topics = list_of(given(context, kind))
        if topics and len(topics) != max(1, len(streams)):
            raise ValueError(f'{kind} names {len(topics)} topics and streams {len(streams)}; as '
                             'many of each are accepted, e.g. streams:="[a, b]" '
                             f'{kind}:="[/a/{kind}, /b/{kind}]"')
        names = [kind] if len(topics) == 1 else [f'{stream}/{kind}' for stream in streams]
        found += list(zip(names, topics, strict=False))
    return found


def likely_misspelt(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Warnings of arguments that are none, but nearly; launch itself says nothing."""
    known = [argument.name for argument in ARGUMENTS]
    said = []
    for name in context.launch_configurations:
        near = get_close_matches(name, known, 1, 0.75)
        if name not in known and near:
            said.append(LogInfo(msg=f'stm.launch.py has no argument {name}; did you mean '
                                    f'{near[0]}?'))
    return said


def start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node with what the arguments say."""
    params_file = given(context, 'params_file')
    if not Path(params_file).is_file():
        raise FileNotFoundError(f'params_file {params_file} is not there')
    node = LifecycleNode(
        package='stm_ros',
        executable='stm_tracker',
        name=LaunchConfiguration('name'),
        namespace=LaunchConfiguration('namespace'),
        parameters=[params_file, parameters_of(context)],
        remappings=remappings_of(context),
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')],
        respawn=given(context, 'respawn') == 'true',
        respawn_delay=2.0,
        output='screen',
    )
    if given(context, 'console') == 'false':
        return [*likely_misspelt(context), node]
    return [*likely_misspelt(context), node, console(context)]


def console(context: LaunchContext) -> ExecuteProcess:
    words = [LaunchConfiguration(word).perform(context).strip('/')
             for word in ('namespace', 'name')]
    return ExecuteProcess(
        cmd=[PathJoinSubstitution([FindPackagePrefix('stm_ros'), 'lib', 'stm_ros', 'stm']),
             'console', '--node', '/' + '/'.join(filter(None, words)),
             '--host', LaunchConfiguration('console_host')],
        output='screen',
    )


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
