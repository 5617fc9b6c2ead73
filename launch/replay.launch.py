# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag to the tracker, in the bag's time.

    ros2 launch stm_ros replay.launch.py bag:=/data/kitchen image:=/camera/image_raw rviz:=true

The bag starts when the node is active for as long as `delay` says, so that a reference may be shown
or loaded (`references:=...`) before. All other arguments of stm.launch.py are passed on.
"""
from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import ExecuteProcess
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.actions import TimerAction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    DeclareLaunchArgument('bag', description='folder or file of the bag'),
    DeclareLaunchArgument('rate', default_value='1.0', description='of playing; 1 is real time'),
    DeclareLaunchArgument('loop', default_value='false', choices=['true', 'false'],
                          description='whether the bag starts again at its end'),
    DeclareLaunchArgument('delay', default_value='5.0', description='seconds before the bag plays'),
    DeclareLaunchArgument('rviz', default_value='false', choices=['true', 'false'],
                          description='whether rviz2 shows overlay and attention'))


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player, which starts after a while."""
    command = ['ros2', 'bag', 'play', LaunchConfiguration('bag'), '--clock', '--rate',
               LaunchConfiguration('rate')]
    if LaunchConfiguration('loop').perform(context) == 'true':
        command.append('--loop')
    delay = float(LaunchConfiguration('delay').perform(context))
    return [TimerAction(period=delay, actions=[ExecuteProcess(cmd=command, output='screen')])]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    share = FindPackageShare('stm_ros')
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, 'launch', 'stm.launch.py'])),
        launch_arguments={'use_sim_time': 'true'}.items())
    rviz = Node(package='rviz2', executable='rviz2',
                arguments=['-d', PathJoinSubstitution([share, 'config', 'stm.rviz'])],
                parameters=[{'use_sim_time': True}],
                condition=IfCondition(LaunchConfiguration('rviz')))
    return LaunchDescription([*ARGUMENTS, tracker, OpaqueFunction(function=play), rviz])
