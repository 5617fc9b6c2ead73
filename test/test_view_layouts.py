# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What rviz2 and Foxglove are given to show: topics that the node has, of types that they take."""
import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy')
from stm_ros.node.publishing import output_kinds  # noqa: E402

CONFIG = Path(__file__).resolve().parent.parent / 'config'
#: of rviz_default_plugins, and the type each takes
RVIZ_DISPLAYS = {'rviz_default_plugins/Image': 'sensor_msgs/Image',
                 'rviz_default_plugins/PointCloud2': 'sensor_msgs/PointCloud2',
                 'rviz_default_plugins/TF': None}
RVIZ_PANELS = {'rviz_common/Displays', 'rviz_common/Time'}
#: what each policy of a topic may be called, as rviz writes it
RVIZ_QUALITY = {'Durability Policy': {'Volatile', 'Transient Local', 'System Default'},
                'History Policy': {'Keep Last', 'Keep All', 'System Default'},
                'Reliability Policy': {'Reliable', 'Best Effort', 'System Default'}}
#: of Foxglove, and the types of topics that each can show; None for any
FOXGLOVE_PANELS = {
    'Image': {'sensor_msgs/Image', 'sensor_msgs/CompressedImage'}, 'RawMessages': None,
    'DiagnosticSummary': {'diagnostic_msgs/DiagnosticArray'}, 'Plot': None}


def published() -> dict[str, str]:
    """Types of the node's topics by full name."""
    kinds = {f'/stm_tracker/{name}': f'{kind.__module__.split(".")[0]}/{kind.__name__}'
             for name, kind in output_kinds().items()}
    return kinds | {'/diagnostics': 'diagnostic_msgs/DiagnosticArray',
                    '/stm_tracker/target_cloud': 'sensor_msgs/PointCloud2'}


def test_rviz_is_given_displays_it_has_and_topics_there_are():
    view = yaml.safe_load((CONFIG / 'stm.rviz').read_text())
    assert {panel['Class'] for panel in view['Panels']} <= RVIZ_PANELS
    displays = view['Visualization Manager']['Displays']
    assert {'Overlay', 'Attention on memory', 'Target cloud'} == {
        each['Name'] for each in displays}
    for display in displays:
        assert published()[display['Topic']['Value']] == RVIZ_DISPLAYS[display['Class']]
        for policy, accepted in RVIZ_QUALITY.items():
            assert display['Topic'][policy] in accepted, (display['Name'], policy)
        # publishers are reliable and volatile: to ask for transient local would match none
        assert display['Topic']['Durability Policy'] == 'Volatile'
        assert isinstance(display['Topic']['Depth'], int)


def panels_of(layout) -> list[str]:
    """The panels at the leaves of a layout's tree."""
    if isinstance(layout, str):
        return [layout]
    assert layout['direction'] in ('row', 'column')
    return panels_of(layout['first']) + panels_of(layout['second'])


def fields_of(kind: type, path: str) -> None:
    """Walk a path of a message such as `targets[:].confidence`."""
    for name in path.split('.'):
        name, _, slicing = name.partition('[')
        found = kind.get_fields_and_field_types()[name]
        assert found.startswith('sequence<') == bool(slicing), (name, found)
        inner = found.removeprefix('sequence<').removesuffix('>')
        if '/' in inner:
            package, message = inner.split('/')
            module = __import__(f'{package}.msg', fromlist=[message])
            kind = getattr(module, message)


def test_foxglove_is_given_panels_it_has_and_topics_and_fields_there_are():
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    panels = layout['configById']
    assert sorted(panels_of(layout['layout'])) == sorted(panels)
    assert all(name.split('!')[0] in FOXGLOVE_PANELS for name in panels)
    topics = {'Image!overlay': panels['Image!overlay']['imageMode']['imageTopic'],
              'Image!attention': panels['Image!attention']['imageMode']['imageTopic'],
              'RawMessages!targets': panels['RawMessages!targets']['topicPath'],
              'DiagnosticSummary!health': panels['DiagnosticSummary!health']['topicToRender']}
    for panel, topic in topics.items():
        accepted = FOXGLOVE_PANELS[panel.split('!')[0]]
        assert accepted is None or published()[topic] in accepted, panel
        assert topic in published()
    [line] = panels['Plot!confidence']['paths']
    topic, _, path = line['value'].partition('.')
    assert line['timestampMethod'] in ('receiveTime', 'headerStamp')
    fields_of(output_kinds()[topic.removeprefix('/stm_tracker/')], path)
