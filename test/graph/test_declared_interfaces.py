# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A running node has the topics and services that are declared, of their types and QoS, no more."""
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from graph_client import Client
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from stm_ros.node import declarations
from stm_ros.node.declarations import DIAGNOSTICS
from stm_ros.node.declarations import OUTPUTS
from stm_ros.node.declarations import SERVICES
from stm_ros.node.declarations import Topic
from stm_ros.node.quality import is_installed

RELIABILITIES = {ReliabilityPolicy.RELIABLE: 'reliable',
                 ReliabilityPolicy.BEST_EFFORT: 'best effort'}


def known(client: Client, ask, name: str, namespace: str) -> dict[str, list[str]]:
    """What `ask` says of a node; nothing while it is not discovered, which rclpy raises for."""
    if (name, namespace) not in client.get_node_names_and_namespaces():
        return {}
    return dict(ask(name, namespace))


def published_by(client: Client, name: str, namespace: str = '/') -> dict[str, list[str]]:
    """The types of a node's topics, by name."""
    return known(client, client.get_publisher_names_and_types_by_node, name, namespace)


def read_by(client: Client, name: str, namespace: str = '/') -> dict[str, list[str]]:
    """The types of what a node subscribes to, by name."""
    return known(client, client.get_subscriber_names_and_types_by_node, name, namespace)


def answered_by(client: Client, name: str, namespace: str = '/') -> dict[str, list[str]]:
    """The types of a node's services, by name."""
    return known(client, client.get_service_names_and_types_by_node, name, namespace)


def full(kind: str, part: str = 'msg') -> str:
    """A declared type as the graph has it."""
    package, _, name = kind.partition('/')
    return f'{package}/{part}/{name}'


def offered(client: Client, topic: str, node: str) -> tuple[str, str]:
    """Reliability and durability with which a node has a topic."""
    ends = [*client.get_publishers_info_by_topic(topic),
            *client.get_subscriptions_info_by_topic(topic)]
    [profile] = {(end.qos_profile.reliability, end.qos_profile.durability)
                 for end in ends if end.node_name == node}
    durability = ('transient local' if profile[1] == DurabilityPolicy.TRANSIENT_LOCAL
                  else 'volatile')
    return RELIABILITIES[profile[0]], durability


def declared(topic: Topic) -> tuple[str, str]:
    """What is written of it; as offered is best effort where nobody publishes."""
    reliability, durability, _ = str(topic.quality).split(', ')
    return reliability.replace('as offered', 'best effort'), durability


@pytest.fixture(scope='module')
def node(start_shared_node, shared_client):
    """A node with everything on."""
    process = start_shared_node('depth.enabled:=true', 'depth.tf:=true', 'threads:=1', topics=())
    shared_client.wait_until(lambda: 'active; reads' in process.log, 'the start')
    shared_client.wait_until(lambda: (
        {DIAGNOSTICS.name, '/stm_tracker/target_geometry'}
        <= published_by(shared_client, 'stm_tracker').keys()
        and '/camera_info' in read_by(shared_client, 'stm_tracker')), 'its topics')
    return process


def test_what_is_published_is_what_is_declared(node, shared_client):
    live = published_by(shared_client, 'stm_tracker')
    installed = [topic for topic in OUTPUTS if is_installed(topic)]
    names = {topic.name if topic.name.startswith('/') else f'/stm_tracker/{topic.name}': topic
             for topic in installed}
    for name, topic in names.items():
        assert live[name] == [full(topic.kind)], name
        assert offered(shared_client, name, 'stm_tracker') == declared(topic), name
    standard = {name if name.startswith('/') else f'/stm_tracker/{name}'
                for name in declarations.STANDARD_PUBLISHED}
    assert live.keys() == names.keys() | standard


def test_what_is_read_is_what_is_declared(node, shared_client):
    live = read_by(shared_client, 'stm_tracker')
    inputs = (declarations.IMAGE, declarations.DEPTH, declarations.CAMERA_INFO)
    for topic in inputs:
        assert live[f'/{topic.name}'] == [full(topic.kind)], topic.name
        assert offered(shared_client, f'/{topic.name}', 'stm_tracker') == declared(topic)
    optional = {declarations.CLOCK, *declarations.STANDARD_READ}
    assert live.keys() - optional == {f'/{topic.name}' for topic in inputs}


def test_what_is_answered_is_what_is_declared(node, shared_client):
    live = answered_by(shared_client, 'stm_tracker')
    for service in SERVICES:
        assert live[f'/stm_tracker/{service.name}'] == [full(service.kind, 'srv')]
    names = {*(service.name for service in SERVICES), *declarations.STANDARD_SERVICES}
    assert live.keys() == {f'/stm_tracker/{name}' for name in names}


def granted(*options: str) -> dict[str, set[str]]:
    """What the printed policy allows, by access."""
    printed = subprocess.run([sys.executable, '-m', 'stm_ros.node.security', *options], check=True,
                             capture_output=True, text=True).stdout
    return {access: {each.text for each in group}
            for group in ElementTree.fromstring(printed).iter() for access in group.attrib
            if access in ('publish', 'subscribe', 'reply')}


def check_policy(client: Client, allowed: dict[str, set[str]], name: str, namespace: str) -> None:
    """Nothing that the node has is missing in a policy, and nothing else is there."""
    live = {'publish': published_by(client, name, namespace).keys(),
            'subscribe': read_by(client, name, namespace).keys(),
            'reply': answered_by(client, name, namespace).keys()}
    absent = {topic.name for topic in OUTPUTS if not is_installed(topic)}
    for access, names in live.items():
        assert names <= allowed[access], access
        more = {each for each in allowed[access] - names
                if not any(each.endswith(f'/{end.strip("/")}') for end in absent)}
        assert more <= {'/clock', '/parameter_events'}, access


def test_the_policy_with_depth_names_all_that_there_is(node, shared_client):
    check_policy(shared_client, granted('--depth'), 'stm_tracker', '/')


def test_the_policy_of_compressed_streams_in_a_namespace_names_all_that_there_is(
        start_node, shared_client):
    """With the compressed topics of images and depth, of two cameras."""
    process = start_node(
        'depth.enabled:=true', 'depth.tf:=true', 'depth.transport:=compressedDepth',
        'image_transport:=compressed', 'streams:=[wrist, head]', 'threads:=1', topics=(),
        remappings=('__ns:=/robot1', '__node:=eye', 'wrist/image:=/wrist_cam/image_raw'))
    shared_client.wait_until(lambda: 'active; reads' in process.log, 'the start')
    shared_client.wait_until(
        lambda: '/robot1/head/depth/compressedDepth' in read_by(shared_client, 'eye', '/robot1')
        and '/robot1/eye/head/target_geometry' in published_by(shared_client, 'eye', '/robot1'),
        'its topics')
    check_policy(shared_client, granted(
        '--node', '/robot1/eye', '--streams', 'wrist', 'head', '--image',
        '/wrist_cam/image_raw/compressed', '/robot1/head/image/compressed', '--depth',
        '--depth-transport', 'compressedDepth'), 'eye', '/robot1')


def test_parameters_may_change_the_quality_of_every_output(start_node, shared_client):
    topics = ('/diagnostics', '/other/mask', '/other/target_cloud')
    process = start_node(
        'depth.enabled:=true', 'threads:=1', *(
            f'qos_overrides.{topic}.publisher.reliability:=best_effort' for topic in topics),
        'qos_overrides./other/target_cloud.publisher.durability:=transient_local', topics=(),
        remappings=('__node:=other',))
    shared_client.wait_until(lambda: 'active; reads' in process.log, 'the start')
    assert 'is ignored' not in process.log
    for topic in topics:
        shared_client.wait_until(
            lambda topic=topic: topic in published_by(shared_client, 'other'), topic)
        assert offered(shared_client, topic, 'other')[0] == 'best effort', topic
    assert offered(shared_client, topics[2], 'other')[1] == 'transient local'


def test_images_offered_reliably_are_read_reliably(start_node, shared_client):
    shared_client.create_publisher(Image, '/image', QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE))
    process = start_node('threads:=1', topics=(), remappings=('__node:=third',))
    shared_client.wait_until(lambda: 'active; reads' in process.log, 'the start')
    shared_client.wait_until(lambda: any(
        end.node_name == 'third' and end.qos_profile.reliability
        == ReliabilityPolicy.RELIABLE
        for end in shared_client.get_subscriptions_info_by_topic('/image')), 'a reliable reader')
