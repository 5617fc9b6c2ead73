# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Settings that are written once: a field of a dataclass says what it means and what it accepts.

Checks, the node's parameters, the tables of the documents, config/stm.yaml and the help of `--set`
are made from these declarations.
"""
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import Field
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from dataclasses import replace
from numbers import Integral
from numbers import Real
from typing import Any

from stm_ros.vision.errors import InputError

_KEY = 'setting'


@dataclass(frozen=True)
class Setting:
    """
    What a value means, and what is accepted.

    kind: bool, int, float, str or tuple, which is a list of strings. low, high: bounds of a number,
    both included. or_zero: 0 is accepted beside them. choices: all strings accepted. unit: of a
    number. live: whether it may change while the node runs. group: what the name of the
    parameter starts with. field: its name in the dataclass; name: in its group.
    """

    kind: type
    default: Any
    meaning: str
    low: float | None = None
    high: float | None = None
    or_zero: bool = False
    choices: tuple[str, ...] = ()
    unit: str = ''
    live: bool = False
    group: str = ''
    name: str = ''
    field: str = ''

    @property
    def parameter(self) -> str:
        """Its name as a parameter of the node, such as memory.max_frames."""
        return f'{self.group}.{self.name}' if self.group else self.name

    @property
    def accepted(self) -> str:
        """What is accepted, in words; empty where any value of the type is."""
        if self.choices:
            return ', '.join(self.choices)
        if self.low is None or self.high is None:
            return ''
        return f'{"0 or " if self.or_zero else ""}{self.low}..{self.high}'

    def check(self, value: Any, name: str) -> None:
        """
        Make sure that a value is accepted.

        :param name: of the setting, for whoever reads the error.
        :raises InputError: where it is not.
        """
        if not _is_of_kind(value, self.kind):
            raise InputError(f'{name} is {value!r}; {_KIND_NAMES[self.kind]} is accepted')
        if self.choices and value not in self.choices:
            raise InputError(f'{name} is {value!r}; accepted are {self.accepted}')
        if self.low is not None and self.high is not None:
            if not (self.low <= value <= self.high or (self.or_zero and value == 0)):
                raise InputError(f'{name} is {value}; {self.accepted} is accepted')

    def parse(self, text: str, name: str) -> Any:
        """
        The value that a text gives, unchecked but for its type.

        :raises InputError: where the text is none of this type.
        """
        try:
            return _PARSERS[self.kind](text)
        except (ValueError, KeyError) as error:
            raise InputError(f'{name} is {text!r}; {_KIND_NAMES[self.kind]} is accepted'
                             ) from error


def setting(default: Any, *, meaning: str, low: float | None = None, high: float | None = None,
            or_zero: bool = False, choices: Iterable[str] = (), unit: str = '',
            live: bool = False, group: str = '', name: str = '') -> Any:
    """
    A field of a dataclass that is a setting; see Setting for what the arguments say.

    :param name: of the parameter in its group; the field's own if empty.
    """
    said = Setting(type(default), default, meaning, low, high, or_zero, tuple(choices), unit, live,
                   group, name)
    return field(default=default, metadata={_KEY: said})


def settings_of(owner: type) -> tuple[Setting, ...]:
    """The settings that a dataclass declares, in its order; other fields are none."""
    return tuple(_named(each) for each in fields(owner) if _KEY in each.metadata)


def check_settings(values: Mapping[str, Any], settings: Iterable[Setting],
                   name_of: Callable[[Setting], str] = lambda setting: setting.field) -> None:
    """
    Check values by name.

    :param values: for every setting, by what `name_of` returns.
    :raises InputError: naming the first that is not accepted.
    """
    for each in settings:
        name = name_of(each)
        each.check(values[name], name)


def check_fields(owner: Any) -> None:
    """
    Check the settings of a dataclass' instance.

    :raises InputError: naming the first that is not accepted.
    """
    declared = settings_of(type(owner))
    check_settings({each.field: getattr(owner, each.field) for each in declared}, declared)


def parse_settings(owner: type, assignments: Iterable[str], option: str = '--set'
                   ) -> dict[str, Any]:
    """
    Values by field, from words such as max_frames=8; the parameter's name serves, too.

    :param option: that they were given by, for whoever reads the error.
    :raises InputError: for a name that `owner` does not declare, or a value of another type.
    """
    known: dict[str, Setting] = {}
    for each in settings_of(owner):
        known |= {each.field: each, each.parameter: each}
    values = {}
    for word in assignments:
        name, is_given, text = word.partition('=')
        if name not in known or not is_given:
            raise InputError(f'{option} {word}: NAME=VALUE is accepted; names are '
                             f'{", ".join(each.field for each in settings_of(owner))}')
        values[known[name].field] = known[name].parse(text, f'{option} {name}')
    return values


def describe_settings(owner: type) -> str:
    """A line for each setting, for the help of a command."""
    lines = []
    for each in settings_of(owner):
        accepted = f' ({each.accepted})' if each.accepted else ''
        unit = f' [{each.unit}]' if each.unit else ''
        lines.append(f'{each.field}={text_of(each.default)}{unit}{accepted}: {each.meaning}')
    return '\n'.join(lines)


def text_of(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'[{", ".join(value)}]'
    return "''" if value == '' else str(value)


def _named(declared: Field) -> Setting:
    said: Setting = declared.metadata[_KEY]
    return replace(said, field=declared.name, name=said.name or declared.name)


def _is_of_kind(value: Any, kind: type) -> bool:
    if kind is tuple:
        return (isinstance(value, (list, tuple))
                and all(isinstance(each, str) for each in value))
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)


def _list_of(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.strip('[]').split(',') if each.strip())


_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: {'true': True, 'false': False}[text.lower()],
    int: int, float: float, str: str, tuple: _list_of}
_KIND_NAMES = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text',
               tuple: 'a list of texts'}
