"""Between the shared values of :mod:`proglog.wire.model` and their protobuf messages, both ways.

Fields have the same names on both sides, so nothing is listed here: a plan is made once for each dataclass, of the
fields that are more than a number, a text or bytes. What comes from a server is as hostile as any bytes: an unknown
word becomes the nearest known one, never an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from math import isfinite
from operator import attrgetter
from typing import Any, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from proglog.api.v1 import cluster_pb2 as pb
from proglog.wire import model

NEAREST: dict[type[StrEnum], StrEnum] = {
    model.MemberStatus: model.MemberStatus.FAILED,
    model.PeerState: model.PeerState.STOPPED,
}
"""What a word stands for that this version does not know."""

_NAMES = {model.ClusterSnapshot: "Status", model.ClusterEvent: "Event"}
"""Messages that are not called what their dataclass is."""

_LEAF_TYPES = {int, bool, float, str, bytes}

_Writer = Callable[[Any], Any]
_Leaves = dict[tuple[type, tuple[object, ...]], Any]
"""Values without parts, by type and fields."""


class SnapshotReader:
    """Reads the messages of one stream: a segment or an origin that did not change stays the same object.

    Of a thousand segments all but one are as they were a moment ago: finding them takes a fifth of making them.
    """

    def __init__(self) -> None:
        self._before: _Leaves = {}
        self._now: _Leaves = {}

    def read(self, status: pb.Status) -> model.ClusterSnapshot:
        """Return the snapshot of the next message."""
        self._before, self._now = self._now, {}
        return cast("model.ClusterSnapshot", _plan(model.ClusterSnapshot).read(status, self))

    def leaf(self, kind: type, names: tuple[str, ...], floats: tuple[int, ...], values: tuple[Any, ...]) -> Any:
        """Return the value of a type with these fields; ``floats``: which of them are."""
        key = (kind, values)
        value = self._before.get(key)
        if value is None:
            finite = all(map(isfinite, map(values.__getitem__, floats)))
            value = kind(**dict(zip(names, values if finite else map(_finite, values), strict=True)))
        self._now[key] = value
        return value


_Reader = Callable[[Any, SnapshotReader], Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a dataclass is written and read."""

    message: Callable[..., Message]
    writers: list[tuple[str, _Writer]]
    read: _Reader


def to_message(snapshot: model.ClusterSnapshot) -> pb.Status:
    """Return the message of a snapshot."""
    return cast("pb.Status", _to_message(snapshot))


def from_message(status: pb.Status) -> model.ClusterSnapshot:
    """Return the snapshot of a single message."""
    return SnapshotReader().read(status)


def _to_message(value: object) -> Message:
    kind: type = type(value)
    plan = _plan(kind)
    return plan.message(**{name: write(getattr(value, name)) for name, write in plan.writers})


@cache
def _plan(kind: type) -> _Plan:
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    converters = {name: _converters(hints[name]) for name in names}
    readers = [(name, read) for name, (_, read) in converters.items()]
    is_leaf = len(names) > 1 and all(hints[name] in _LEAF_TYPES for name in names)
    return _Plan(
        message=getattr(pb, _NAMES.get(kind, kind.__name__)),
        writers=[(name, write) for name, (write, _) in converters.items()],
        read=_leaf_reader(kind, names) if is_leaf else _tree_reader(kind, readers),
    )


def _leaf_reader(kind: type, names: tuple[str, ...]) -> _Reader:
    values_of = attrgetter(*names)
    floats = tuple(place for place, name in enumerate(names) if get_type_hints(kind)[name] is float)
    return lambda message, reader: reader.leaf(kind, names, floats, values_of(message))


def _tree_reader(kind: type, readers: list[tuple[str, _Reader]]) -> _Reader:
    return lambda message, reader: kind(**{name: read(getattr(message, name), reader) for name, read in readers})


def _converters(hint: Any) -> tuple[_Writer, _Reader]:
    """Return how a field of a type is written into a message, and read out of it."""
    if get_origin(hint) is tuple:
        item, _ = get_args(hint)
        write, read = _converters(item)
        return (
            lambda values: [write(each) for each in values],
            lambda values, reader: tuple([read(each, reader) for each in values]),
        )
    if get_origin(hint) is dict:
        return dict, lambda value, _: dict(value)
    if is_dataclass(hint):
        return _to_message, lambda message, reader: _plan(cast("type", hint)).read(message, reader)
    if hint is float:
        return _unchanged, lambda value, _: _finite(value)
    if issubclass(hint, StrEnum):
        words = {word.value: word for word in hint}
        return str, lambda word, _: words.get(word, NEAREST[hint])
    return _unchanged, _as_it_is


def _unchanged(value: Any) -> Any:
    return value


def _finite(value: Any) -> Any:
    """Return 0 for a number that no sentence can be made of: no agent that works says infinity."""
    return 0.0 if type(value) is float and not isfinite(value) else value


def _as_it_is(value: Any, _: SnapshotReader) -> Any:
    return value
