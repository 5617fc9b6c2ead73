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

from stm_ros.node.declarations import CAMERA_INFO
from stm_ros.node.declarations import CLOCK
from stm_ros.node.declarations import COMPRESSED_DEPTH
from stm_ros.node.declarations import DEPTH
from stm_ros.node.declarations import DEPTH_OUTPUTS
from stm_ros.node.declarations import DIAGNOSTICS
from stm_ros.node.declarations import LABEL_INFO
from stm_ros.node.declarations import SERVICES
from stm_ros.node.declarations import STANDARD_PUBLISHED
from stm_ros.node.declarations import STANDARD_READ
from stm_ros.node.declarations import STANDARD_SERVICES
from stm_ros.node.declarations import STREAM_OUTPUTS
from stm_ros.node.declarations import TRANSFORMS


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
    # granted also where their packages are not installed here
    outputs = [*STREAM_OUTPUTS, LABEL_INFO, *(DEPTH_OUTPUTS if with_depth else ())]
    own = [f'{prefix}{topic.name}' for prefix in prefixes for topic in outputs]
    published = [*own, *STANDARD_PUBLISHED, DIAGNOSTICS.name,
                 *([TRANSFORMS.name] if with_depth else ())]
    namespace = node.rpartition('/')[0]
    depth = DEPTH if depth_transport == 'raw' else COMPRESSED_DEPTH
    read = [f'{namespace}/{prefix}{topic.name}' for prefix in prefixes
            for topic in (depth, CAMERA_INFO)] if with_depth else []
    services = (*(service.name for service in SERVICES), *STANDARD_SERVICES)
    return Interfaces(
        tuple(name if name.startswith('/') else f'{node}/{name}' for name in published),
        (*images, *read, CLOCK, *STANDARD_READ), tuple(f'{node}/{name}' for name in services))


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
