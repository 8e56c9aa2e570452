"""A place in a log, as a client names it: resolved by the server when the call arrives."""

from dataclasses import dataclass
from enum import Enum


class PlaceKind(Enum):
    """What a place counts from."""

    OFFSET = "offset"
    AFTER_START = "after_start"
    BEFORE_END = "before_end"
    TIME_MS = "time_ms"


@dataclass(frozen=True, slots=True)
class Place:
    """Made by one of its class methods."""

    kind: PlaceKind
    value: int
    log: bytes = b""
    """Of an offset: the log that it was read from; empty: not known."""

    @classmethod
    def offset(cls, offset: int, log: bytes = b"") -> "Place":
        """At this offset; of another log than ``log``, if that is given, it is refused."""
        return cls(PlaceKind.OFFSET, offset, log)

    @classmethod
    def after_start(cls, records: int) -> "Place":
        """So many records after the oldest kept."""
        return cls(PlaceKind.AFTER_START, records)

    @classmethod
    def before_end(cls, records: int) -> "Place":
        """So many records before the end; the start if there are fewer."""
        return cls(PlaceKind.BEFORE_END, records)

    @classmethod
    def at_time(cls, time_ms: int) -> "Place":
        """The first record with this timestamp or a later one, milliseconds since 1970."""
        return cls(PlaceKind.TIME_MS, time_ms)
