"""Frozen dataclasses to JSON and back, strictly: never imports code by name, never guesses."""

import dataclasses
import sys
import types
import typing
from typing import Any, TypeVar

from fewview.errors import InputError

T = TypeVar("T")


def to_json(config: Any) -> Any:
    """Plain JSON values of a (nested) dataclass."""
    if dataclasses.is_dataclass(config):
        return {field.name: to_json(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_json(item) for item in config]
    if config is None or isinstance(config, (bool, int, float, str)):
        return config
    raise TypeError(f"{type(config).__name__} has no place in a config")


def from_json(cls: type[T], data: Any, where: str = "config") -> T:
    """The dataclass `cls` from JSON values. Raises InputError for an unknown or missing key or a wrong type."""
    if not isinstance(data, dict):
        raise InputError(f"{where} must be an object with the fields of {cls.__name__}, not {type(data).__name__}.")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise InputError(f"{where} has the unknown key '{unknown[0]}'; {cls.__name__} knows {', '.join(fields)}.")
    required = {name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(data))
    if missing:
        raise InputError(f"{where} lacks the key '{missing[0]}' of {cls.__name__}.")
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise InputError(f"{where} makes no {cls.__name__}: {error}.") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        return _first_that_fits(options, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{where} is {value!r}; it must be one of {', '.join(map(repr, arguments))}.")
        return value
    if origin is tuple:
        return _tuple(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) < sys.float_info.max:  # NaN too
            raise InputError(f"{where} is {value!r:.20}; it must be a finite number.")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where} is {value!r}; it must be a {hint.__name__}.")
    return value


def _first_that_fits(options: list[Any], value: Any, where: str) -> Any:
    errors = []
    for option in options:
        try:
            return _value(option, value, where)
        except InputError as error:
            errors.append(error)
    raise errors[0]


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where} is {value!r}; it must be a list.")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise InputError(f"{where} has {len(value)} entries; it must have {len(arguments)}.")
    return tuple(_value(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value)))
