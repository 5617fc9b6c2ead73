# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
An SROS2 policy that grants the node its own interfaces and nothing else.

    python -m stm_ros.node.security --image /camera/image_raw > stm_tracker.policy.xml
    ros2 security create_enclave KEYSTORE /stm_tracker
    ros2 security create_permission KEYSTORE /stm_tracker stm_tracker.policy.xml
"""
import argparse
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

from stm_ros.node.publishing import output_kinds
from stm_ros.node.services import SERVICES

#: what every lifecycle node offers
_LIFECYCLE = ('change_state', 'get_state', 'get_available_states', 'get_available_transitions',
              'get_transition_graph')
#: what every node offers
_PARAMETERS = ('describe_parameters', 'get_parameter_types', 'get_parameters', 'list_parameters',
               'set_parameters', 'set_parameters_atomically')
#: with depth.enabled, where vision_msgs is installed
_DEPTH = ('target_cloud', 'target_geometry', 'detections_3d')
_OWN = ('pause', *SERVICES, *_LIFECYCLE, *_PARAMETERS, 'get_type_description')


@dataclass(frozen=True)
class Interfaces:
    """Full names of what a node publishes, subscribes to and answers."""

    published: tuple[str, ...]
    subscribed: tuple[str, ...]
    services: tuple[str, ...]


def interfaces(node: str, streams: Sequence[str], images: Sequence[str],
               with_depth: bool = False, depth_transport: str = 'raw') -> Interfaces:
    """
    What the node uses.

    :param node: its full name. :param images: the topics of `streams`, compressed ones with their
        whole name. :param with_depth: also what `depth.enabled` and `depth.tf` need.
    :param depth_transport: as `depth.transport`.
    """
    prefixes = [''] if len(streams) == 1 else [f'{stream}/' for stream in streams]
    # these are granted also where vision_msgs is not installed here
    names = sorted({*output_kinds(), 'detections', 'label_info', *(_DEPTH if with_depth else ())})
    outputs = [f'{node}/{prefix}{name}' for prefix in prefixes for name in names]
    namespace = node.rpartition('/')[0]
    depth_name = 'depth' if depth_transport == 'raw' else f'depth/{depth_transport}'
    depth = [f'{namespace}/{prefix}{name}' for prefix in prefixes
             for name in (depth_name, 'camera_info')] if with_depth else []
    return Interfaces(
        (*outputs, f'{node}/transition_event', '/diagnostics', '/parameter_events', '/rosout',
         *(['/tf'] if with_depth else [])),
        (*images, *depth, '/clock', '/parameter_events'), tuple(f'{node}/{name}' for name in _OWN))


def policy(node: str, granted: Interfaces) -> str:
    """The policy's XML; the enclave has the node's name."""
    root = ElementTree.Element('policy', version='0.2.0')
    enclave = ElementTree.SubElement(ElementTree.SubElement(root, 'enclaves'), 'enclave',
                                     path=node)
    namespace, _, name = node.rpartition('/')
    profile = ElementTree.SubElement(ElementTree.SubElement(enclave, 'profiles'), 'profile',
                                     ns=namespace or '/', node=name)
    for kind, access, names in (('topic', 'publish', granted.published),
                                ('topic', 'subscribe', granted.subscribed),
                                ('service', 'reply', granted.services)):
        _allow(profile, kind, access, names)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode') + '\n'


def _allow(profile: ElementTree.Element, kind: str, access: str, names: Iterable[str]) -> None:
    group = ElementTree.SubElement(profile, f'{kind}s', {access: 'ALLOW'})
    for name in sorted(names):
        ElementTree.SubElement(group, kind).text = name


def main(arguments: list[str] | None = None) -> int:
    """Print the policy."""
    parser = argparse.ArgumentParser(prog='python -m stm_ros.node.security',
                                     description='Print an SROS2 policy for stm_tracker.')
    parser.add_argument('--node', default='/stm_tracker', help='its full name (%(default)s)')
    parser.add_argument('--streams', nargs='+', default=['camera'], help='(%(default)s)')
    parser.add_argument('--image', nargs='+', default=['/image'],
                        help='the topics of the streams, in this order (%(default)s)')
    parser.add_argument('--depth', action='store_true', help='also what depth.enabled needs; where '
                        'depth and camera_info are remapped, put their topics in')
    parser.add_argument('--depth-transport', default='raw', choices=('raw', 'compressedDepth'),
                        help='as depth.transport says (%(default)s)')
    parsed = parser.parse_args(arguments)
    if len(parsed.image) != len(parsed.streams):
        parser.error(f'{len(parsed.image)} topics and {len(parsed.streams)} streams; as many of '
                     'each are accepted')
    print(policy(parsed.node, interfaces(parsed.node, parsed.streams, parsed.image, parsed.depth,
                                         parsed.depth_transport)), end='')
    return 0


if __name__ == '__main__':
    sys.exit(main())
