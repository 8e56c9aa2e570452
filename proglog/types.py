"""The numbers and names that must not be mixed up.

An *offset* is the ordinal of a record in one node's log, a *file position* a byte index in a file, a *sequence number* the
ordinal of a record within its origin. All ranges are half-open: ``[start, end)``.
"""

from typing import NewType

Offset = NewType("Offset", int)
"""Ordinal of a record in one node's log, from 0."""

FilePosition = NewType("FilePosition", int)
"""Byte index in a file, from 0."""

SequenceNumber = NewType("SequenceNumber", int)
"""Ordinal within an origin, from 1, without gaps."""

OriginId = NewType("OriginId", bytes)
"""One incarnation of one data directory: 16 random bytes, the only writer of its own sequence."""

LogId = NewType("LogId", bytes)
"""One data directory: 16 random bytes that never change and never leave it."""

NodeName = NewType("NodeName", str)
"""A node's name for operators and gossip. Only a label: the origin is the identity."""

MAX_ORDINAL = (1 << 63) - 1
"""Highest offset or sequence number: it fits into a signed 64-bit integer."""

ORIGIN_BYTES = 16
LOG_ID_BYTES = 16
NO_ORIGIN = OriginId(bytes(ORIGIN_BYTES))
"""The origin of a producer's batch before a node stamps it."""


def half_open(start: int, end: int, *, to: str = "") -> str:
    """Return how a half-open range of offsets, sequences or bytes is written everywhere: ``[5, 10)``.

    Args:
        start: The first.
        end: One past the last.
        to: Stands between numbers whose digits are grouped, for people: ``[32,000 … 34,850)``.
    """
    return f"[{start:,} {to} {end:,})" if to else f"[{start}, {end})"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the singular for one: ``1 record``, ``1,204 records``, ``2 copies``."""
    if count == 1:
        return f"1 {noun}"
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + "es" if noun.endswith("ch") else noun + "s"
    return f"{count:,} {many}"
