# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The settings as ROS parameters: declared with range and meaning, read, and checked together."""
from collections.abc import Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from stm_ros.node.settings import NodeSettings
from stm_ros.node.settings import parameters
from stm_ros.tracking import TrackerConfig
from stm_ros.tracking.settings import Setting
from stm_ros.tracking.settings import check_settings
from stm_ros.tracking.settings import settings_of


def declare_parameters(node: Node) -> None:
    """Declare every setting with its description, range and read-only flag."""
    for each in parameters():
        default = list(each.default) if each.kind is tuple else each.default
        node.declare_parameter(each.parameter, default, _descriptor(each))


def _descriptor(setting: Setting) -> ParameterDescriptor:
    unit = f' [{setting.unit}]' if setting.unit else ''
    descriptor = ParameterDescriptor(description=setting.meaning + unit,
                                     read_only=not setting.live,
                                     dynamic_typing=setting.kind is tuple)
    if setting.choices or setting.or_zero:
        descriptor.additional_constraints = f'accepted: {setting.accepted}'
    if setting.low is not None and setting.high is not None:
        low = 0 if setting.or_zero else setting.low
        if setting.kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low),
                                                     to_value=int(setting.high), step=0)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(
                from_value=float(low), to_value=float(setting.high), step=0.0)]
    return descriptor


def parameter_values(node: Node) -> dict[str, Any]:
    """The values that a node holds now, by parameter name."""
    return {each.parameter: normalised(each, node.get_parameter(each.parameter).value)
            for each in parameters()}


def normalised(setting: Setting, value: Any) -> Any:
    """A value as the checks have it: where a list is meant, one text is a list of one."""
    if setting.kind is not tuple:
        return value
    if isinstance(value, str):
        return tuple(each.strip() for each in value.split(','))
    # of an empty list ROS cannot tell what it is a list of
    return tuple(value or ()) if value is None or isinstance(value, list) else value


def check_values(values: Mapping[str, Any]) -> tuple[NodeSettings, TrackerConfig]:
    """
    Check the values of all parameters together; what they make.

    :param values: by parameter name.
    :raises InputError: naming the first value that is not accepted.
    """
    values = {each.parameter: normalised(each, values[each.parameter]) for each in parameters()}
    check_settings(values, parameters(), lambda setting: setting.parameter)
    settings = NodeSettings(**{each.field: values[each.parameter]
                               for each in settings_of(NodeSettings)})
    tracker = {each.field: values[each.parameter] for each in settings_of(TrackerConfig)
               if each.parameter in values}
    return settings, TrackerConfig(max_streams=len(settings.streams), **tracker)
