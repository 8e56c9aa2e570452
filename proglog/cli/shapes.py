"""What verbs write for programs: dataclasses as JSON values, under one set of rules.

::

    field of the dataclass      key             value
    started_at_ms: int          started_at      "2026-01-02T03:04:05.678Z"; null: 0, or beyond the calendar
    max_timestamp_ms: int       max_timestamp_at
    lag_ms: int                 lag_ms          a duration; null: negative, which means unknown
    origin: bytes               origin          hexadecimal digits
    state: LogState             state           the enum's value
    error: str                  error           null: empty, for the texts that are empty when there is none
    tags, tuples, dataclasses   the same        object, array, object

``docs/reference/json.md`` and the schemas beside it are made of the same dataclasses (:mod:`proglog.cli.schemas`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from math import isfinite
from pathlib import PurePath
from typing import Any

SCHEMA = "schema"
ITEMS = "items"
EMPTY_IS_NULL = frozenset(
    {
        "addr",
        "at",
        "committed_cursor",
        "cursor",
        "detail",
        "effect",
        "at_risk",
        "error",
        "failure",
        "node_name",
        "origin_reason",
        "recovery",
        "rpc_addr",
        "source",
        "state_detail",
        "variable",
        "warning",
        "colour",
    }
)
"""Texts whose absence is the empty string in the model, and ``null`` in JSON."""
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of document that verbs write."""

    name: str
    of: type
    """The dataclass of the document, or of its items."""
    many: bool = True
    """Whether it is a list."""
    version: int = 1
    """Grows when a key goes away or changes its meaning."""
    restless: frozenset[str] = frozenset()
    """Keys whose change alone is no news under ``--watch``."""
    identity: tuple[str, ...] = ("name",)
    """Keys that tell one item from another under ``--watch``."""

    @property
    def id(self) -> str:
        """The value of ``schema`` in every document and line."""
        return f"proglog/{self.name}/{self.version}"

    def document(self, value: object) -> dict[str, Any]:
        """Return the document of one thing."""
        made = value_of(value)
        assert isinstance(made, dict), "a document is an object"
        return {SCHEMA: self.id, **made}


def value_of(value: Any) -> Any:
    """Return ``value`` as what :mod:`json` can write, by the rules above."""
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case float():
            return round(value, _DIGITS) if isfinite(value) else None
        case bytes():
            return value.hex()
        case Enum():
            return value.value
        case PurePath():
            return str(value)
        case Mapping():
            return {str(key): value_of(each) for key, each in value.items()}
        case list() | tuple():
            return [value_of(each) for each in value]
    return {key: make(getattr(value, name)) for name, key, make in _plan(value.__class__)}


def key_of(name: str) -> str:
    """Return the JSON key of a field."""
    if name.endswith("timestamp_ms"):
        return name.removesuffix("_ms") + "_at"
    return name.removesuffix("_ms") if is_instant(name) else name.rstrip("_")


def is_instant(name: str) -> bool:
    """Return whether a field is a moment, in milliseconds since 1970."""
    return name == "at_ms" or name.endswith(("_at_ms", "timestamp_ms"))


def instant(at_ms: int | None) -> str | None:
    """Return a moment by RFC 3339, in UTC; ``None``: unknown, or beyond the calendar."""
    if not at_ms:
        return None
    try:
        moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _plan(kind: Any) -> tuple[tuple[str, str, Callable[[Any], Any]], ...]:
    assert dataclasses.is_dataclass(kind), f"{kind.__name__} has no shape"
    return tuple((each.name, key_of(each.name), _maker(each.name)) for each in dataclasses.fields(kind))


def _maker(name: str) -> Callable[[Any], Any]:
    if is_instant(name):
        return instant
    if name.endswith("_ms"):
        return lambda value: None if value is None or value < 0 else value_of(value)
    if name in EMPTY_IS_NULL:
        return lambda value: None if value == "" else value_of(value)
    return value_of
