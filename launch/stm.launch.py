# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Start the lifecycle node `stm_tracker`.

The node makes its own transitions to active unless `autostart` is false; then whoever manages
the lifecycles of the robot configures and activates it.

    ros2 launch stm_ros stm.launch.py image:=/camera/image_raw
    ros2 launch stm_ros stm.launch.py streams:="[wrist, head]" namespace:=robot1
    ros2 launch stm_ros stm.launch.py console:=true
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import ExecuteProcess
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackagePrefix
from launch_ros.substitutions import FindPackageShare

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare('stm_ros'), 'config', 'stm.yaml'])

ARGUMENTS = (
    DeclareLaunchArgument('name', default_value='stm_tracker', description='name of the node'),
    DeclareLaunchArgument('namespace', default_value='', description='namespace of the node'),
    DeclareLaunchArgument(
        'params_file', default_value=DEFAULT_PARAMETERS,
        description='YAML file with the parameters; the arguments below win over it'),
    DeclareLaunchArgument(
        'image', default_value='image',
        description='image topic of the one stream of the default; with several `streams` each '
                    'has its own, <stream>/image'),
    DeclareLaunchArgument(
        'streams', default_value='',
        description='YAML list of stream names, e.g. "[wrist, head]"; empty = as params_file says'),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=['true', 'false'],
        description='whether the node configures and activates itself'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', choices=['true', 'false'],
        description='whether time comes from /clock'),
    DeclareLaunchArgument(
        'log_level', default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'], description='least severity logged'),
    DeclareLaunchArgument(
        'console', default_value='false', choices=['true', 'false'],
        description="whether the operator's page is served too; needs stm_ros[console]"),
    DeclareLaunchArgument(
        'console_host', default_value='127.0.0.1',
        description='address that the page is bound to; STM_CONSOLE_TOKEN protects it'),
)


def start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=bool)
        for name in ('autostart', 'use_sim_time')
    }
    # An empty value must not overrule the file, so it is not passed at all.
    if LaunchConfiguration('streams').perform(context):
        parameters['streams'] = ParameterValue(LaunchConfiguration('streams'), value_type=list[str])
    image = LaunchConfiguration('image')
    node = LifecycleNode(
        package='stm_ros',
        executable='stm_tracker',
        name=LaunchConfiguration('name'),
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), parameters],
        # The compressed topic lies beside the raw one, as image_transport has it.
        remappings=[('image', image), ('image/compressed', [image, '/compressed'])],
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    if LaunchConfiguration('console').perform(context) == 'false':
        return [node]
    return [node, console(context)]


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
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
