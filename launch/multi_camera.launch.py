# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
One tracker for several cameras, a topic a stream.

    ros2 launch stm_ros multi_camera.launch.py wrist:=/wrist_cam/image_raw head:=/head/image_raw

The two streams are named wrist and head; for others, or more:

    ros2 launch stm_ros multi_camera.launch.py streams:="[left, right, rear]" \
        image:="[/left/image_raw, /right/image_raw, /rear/image_raw]"

All other arguments of stm.launch.py are passed on.
"""
from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    DeclareLaunchArgument('wrist', default_value='wrist/image', description='topic of wrist'),
    DeclareLaunchArgument('head', default_value='head/image', description='topic of head'),
    DeclareLaunchArgument('streams', default_value='[wrist, head]',
                          description='YAML list of stream names'),
    DeclareLaunchArgument('image', default_value='',
                          description='YAML list of their topics; empty: those of wrist and head'))


def include(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """stm.launch.py with a topic for each stream."""
    topics = LaunchConfiguration('image').perform(context)
    if not topics:
        wrist, head = (LaunchConfiguration(name).perform(context) for name in ('wrist', 'head'))
        topics = f'[{wrist}, {head}]'
    path = PathJoinSubstitution([FindPackageShare('stm_ros'), 'launch', 'stm.launch.py'])
    return [IncludeLaunchDescription(
        PythonLaunchDescriptionSource(path),
        launch_arguments={'streams': LaunchConfiguration('streams'), 'image': topics}.items())]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=include)])
