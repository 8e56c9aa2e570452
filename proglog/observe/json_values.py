"""The values of :mod:`proglog.wire.model` as plain JSON values, and a snapshot back from them.

One form for what is copied, recorded and scripted: dataclasses are objects by field name, bytes are hex, enums their
value. Reading is strict, since a recording may come from anywhere: :func:`snapshot_from_json` refuses what is not a
snapshot of this version, names the field, and ignores fields that a later version added.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from math import isfinite
from typing import TypeVar, get_args, get_origin, get_type_hints

from proglog.errors import InvalidRequestError
from proglog.wire.model import ClusterSnapshot

_T = TypeVar("_T")


def to_json_value(value: object) -> object:
    """Return ``value`` as what :mod:`json` can write: dicts, lists, strings, numbers, booleans and ``None``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_json_value(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    return value


def snapshot_from_json(value: object) -> ClusterSnapshot:
    """Return the snapshot that :func:`to_json_value` wrote.

    Raises:
        InvalidRequestError: ``value`` is no snapshot; names the field that is wrong.
    """
    snapshot = _build(ClusterSnapshot, value, "snapshot")
    assert isinstance(snapshot, ClusterSnapshot)
    return snapshot


@cache
def _hints(kind: type) -> dict[str, object]:
    return get_type_hints(kind)


def _build(kind: object, value: object, where: str) -> object:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if get_origin(kind) is tuple:
        return tuple(_build(get_args(kind)[0], item, f"{where}[]") for item in _expect(list, value, where))
    if isinstance(kind, types.UnionType):  # a type or None
        return None if value is None else _build(get_args(kind)[0], value, where)
    if isinstance(kind, types.GenericAlias):  # dict[str, str], the one mapping of the model
        return {key: _expect(str, item, where) for key, item in _expect(dict, value, where).items()}
    if kind is bytes:
        return _parsed(bytes.fromhex, value, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _parsed(kind, value, where)
    assert isinstance(kind, type)
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and not isfinite(_expect(float, value, where)):
        raise InvalidRequestError(f"{where} is {value}; expected a finite number")
    return _expect(kind, value, where)


def _dataclass(kind: type, value: object, where: str) -> object:
    given = _expect(dict, value, where)
    built = {}
    for part in dataclasses.fields(kind):
        if part.name in given:
            built[part.name] = _build(_hints(kind)[part.name], given[part.name], f"{where}.{part.name}")
        elif part.default is dataclasses.MISSING:
            raise InvalidRequestError(f"{where} has no {part.name}; expected a snapshot written by this version")
    return kind(**built)


def _parsed(parse: Callable[[str], object], value: object, where: str) -> object:
    try:
        return parse(_expect(str, value, where))
    except ValueError as error:
        raise InvalidRequestError(f"{where} is {value!r:.60}: {error}") from error


def _expect(kind: type[_T], value: object, where: str) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRequestError(f"{where} is {value!r:.60}; expected {kind.__name__}")
    return value
