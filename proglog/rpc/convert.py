"""Between the shared values of :mod:`proglog.rpc.model` and their protobuf messages, both ways.

Fields have the same names on both sides, so nothing is listed here: a plan is made once for each dataclass, of the
fields that are more than a number, a text or bytes. What comes from a server is as hostile as any bytes: an unknown
word becomes the nearest known one, never an error.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from proglog.api.v1 import cluster_pb2 as pb
from proglog.rpc import model

NEAREST: dict[type[StrEnum], StrEnum] = {
    model.MemberStatus: model.MemberStatus.FAILED,
    model.PeerState: model.PeerState.STOPPED,
}
"""What a word stands for that this version does not know."""

_NAMES = {model.ClusterSnapshot: "Status", model.ClusterEvent: "Event"}
"""Messages that are not called what their dataclass is."""

_Converter = Callable[[Any], Any]


def to_message(snapshot: model.ClusterSnapshot) -> pb.Status:
    """Return the message of a snapshot."""
    return cast("pb.Status", _to_message(snapshot))


def from_message(status: pb.Status) -> model.ClusterSnapshot:
    """Return the snapshot of a message."""
    return cast("model.ClusterSnapshot", _value(model.ClusterSnapshot, status))


def _to_message(value: object) -> Message:
    kind: type = type(value)
    message, writers, _ = _plan(kind)
    return message(**{name: write(getattr(value, name)) for name, write in writers})


def _value(kind: type, message: Any) -> Any:
    _, _, readers = _plan(kind)
    return kind(**{name: read(getattr(message, name)) for name, read in readers})


@cache
def _plan(kind: type) -> tuple[Callable[..., Message], list[tuple[str, _Converter]], list[tuple[str, _Converter]]]:
    """Return the message class of a dataclass, and how each of its fields is written and read."""
    hints = get_type_hints(kind)
    converters = [(field.name, *_converters(hints[field.name])) for field in fields(kind)]
    message: Callable[..., Message] = getattr(pb, _NAMES.get(kind, kind.__name__))
    return message, [(name, write) for name, write, _ in converters], [(name, read) for name, _, read in converters]


def _converters(hint: Any) -> tuple[_Converter, _Converter]:
    """Return how a field of a type is written into a message, and read out of it."""
    if get_origin(hint) is tuple:
        item, _ = get_args(hint)
        write, read = _converters(item)
        return lambda values: [write(each) for each in values], lambda values: tuple(read(each) for each in values)
    if get_origin(hint) is dict:
        return dict, dict
    if is_dataclass(hint):
        return _to_message, lambda message: _value(cast("type", hint), message)
    if issubclass(hint, StrEnum):
        words = {word.value: word for word in hint}
        return str, lambda word: words.get(word, NEAREST[hint])
    return _unchanged, _unchanged


def _unchanged(value: Any) -> Any:
    return value
