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

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from proglog.api.v1 import cluster_pb2 as pb
from proglog.wire import model

NEAREST: dict[type[StrEnum], StrEnum] = {
    model.MemberStatus: model.MemberStatus.FAILED,
    model.PeerState: model.PeerState.STOPPED,
    model.LogState: model.LogState.UNKNOWN,
    model.IndexState: model.IndexState.UNKNOWN,
    model.FsyncPolicy: model.FsyncPolicy.UNKNOWN,
}
"""The meaning of a word that this version does not know."""

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

    def leaf(self, kind: type, values: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return the value of a type whose message has these values, as before if it was there before."""
        key = (kind, values)
        value = self._before.get(key)
        if value is None:
            value = make()
        self._now[key] = value
        return value


_Reader = Callable[[Any, SnapshotReader], Any]
"""Reads one field, or a whole value, out of a message."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a dataclass is written and read."""

    message: Callable[..., Message]
    writers: list[tuple[str, str, _Writer]]
    """Name of the message's field, name of the value's, and between the two."""
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
    return plan.message(**{name: write(getattr(value, source)) for name, source, write in plan.writers})


@cache
def _plan(kind: type) -> _Plan:
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    message = getattr(pb, _NAMES.get(kind, kind.__name__))
    writers: list[tuple[str, str, _Writer]] = []
    readers: list[tuple[str, _Reader]] = []
    raw = list(names)
    for name in names:
        hint = hints[name]
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            numbers = _numbers(hint, message.DESCRIPTOR.fields_by_name[name].enum_type)
            word_field = _word_field(name)
            has_word = word_field in message.DESCRIPTOR.fields_by_name
            writers.append((name, name, numbers.__getitem__))
            readers.append((name, _enum_reader(hint, numbers, name, word_field if has_word else "")))
            if has_word:
                writers.append((word_field, name, _word))
                raw.append(word_field)
        else:
            write, read = _converters(hint)
            writers.append((name, name, write))
            optional = message.DESCRIPTOR.fields_by_name[name].has_presence and type(None) in get_args(hint)
            readers.append((name, _optional_reader(name, read) if optional else _field_reader(name, read)))
    read_whole = _tree_reader(kind, readers)
    is_leaf = len(names) > 1 and all(_is_leaf(hints[name]) for name in names)
    optionals = tuple(name for name in names if type(None) in get_args(hints[name]))
    return _Plan(message, writers, _leaf_reader(kind, tuple(raw), optionals, read_whole) if is_leaf else read_whole)


def _is_leaf(hint: Any) -> bool:
    kinds = set(get_args(hint) or (hint,)) - {type(None)}
    return all(kind in _LEAF_TYPES or (isinstance(kind, type) and issubclass(kind, StrEnum)) for kind in kinds)


def _leaf_reader(kind: type, raw: tuple[str, ...], optionals: tuple[str, ...], read: _Reader) -> _Reader:
    values_of = attrgetter(*raw)

    def read_leaf(message: Any, reader: SnapshotReader) -> Any:
        values = values_of(message)
        if optionals:
            values += tuple([message.HasField(name) for name in optionals])
        return reader.leaf(kind, values, lambda: read(message, reader))

    return read_leaf


def _tree_reader(kind: type, readers: list[tuple[str, _Reader]]) -> _Reader:
    return lambda message, reader: kind(**{name: read(message, reader) for name, read in readers})


def _field_reader(name: str, read: _Reader) -> _Reader:
    return lambda message, reader: read(getattr(message, name), reader)


def _optional_reader(name: str, read: _Reader) -> _Reader:
    return lambda message, reader: read(getattr(message, name), reader) if message.HasField(name) else None


def _numbers(words: type[StrEnum], numbers: EnumDescriptor) -> dict[StrEnum, int]:
    """Return each word's number on the wire: ``PeerState.BACKING_OFF`` is ``PEER_STATE_BACKING_OFF``."""
    prefix = numbers.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        word: 0 if word.name == "UNKNOWN" else numbers.values_by_name[f"{prefix}{word.name}"].number for word in words
    }


def _enum_reader(words: type[StrEnum], numbers: dict[StrEnum, int], name: str, word_field: str) -> _Reader:
    """Return a reader of a number that is a word.

    ``word_field``: where the first release sent the word itself; empty: it had no such field.
    """
    by_number = {number: word for word, number in numbers.items() if number}
    by_word = {word.value: word for word in words}
    nearest = NEAREST[words]

    def read(message: Any, _: SnapshotReader) -> Any:
        number = getattr(message, name)
        if number or not word_field:
            return by_number.get(number, nearest)
        return by_word.get(getattr(message, word_field), nearest)

    return read


def _word_field(name: str) -> str:
    return f"{name.removesuffix('_state')}_word"


def _word(word: StrEnum) -> str:
    return word.value


def _converters(hint: Any) -> tuple[_Writer, _Reader]:
    """Return how a field's value of a type is written into a message, and read out of it."""
    if get_origin(hint) is tuple:
        item, _ = get_args(hint)
        write, read = _converters(item)
        return (
            lambda values: [write(each) for each in values],
            lambda values, reader: tuple([read(each, reader) for each in values]),
        )
    if type(None) in get_args(hint):
        (some,) = [kind for kind in get_args(hint) if kind is not type(None)]
        write_some, read = _converters(some)
        return lambda value: None if value is None else write_some(value), read
    if get_origin(hint) is dict:
        return dict, lambda value, _: dict(value)
    if is_dataclass(hint):
        return _to_message, lambda message, reader: _plan(cast("type", hint)).read(message, reader)
    if hint is float:
        return _unchanged, lambda value, _: _finite(value)
    return _unchanged, _as_it_is


def _unchanged(value: Any) -> Any:
    return value


def _finite(value: Any) -> Any:
    """Return 0 for a number that no sentence can be made of: no agent that works says infinity."""
    return 0.0 if type(value) is float and not isfinite(value) else value


def _as_it_is(value: Any, _: SnapshotReader) -> Any:
    return value
