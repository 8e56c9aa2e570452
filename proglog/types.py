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
"""One data directory: 16 random bytes that it keeps for life, and that never leave it."""

NodeName = NewType("NodeName", str)
"""What operators and gossip call a node. A label: identity is the origin."""

MAX_ORDINAL = (1 << 63) - 1
"""Highest offset or sequence number: it fits into a signed integer of any language."""

ORIGIN_BYTES = 16
LOG_ID_BYTES = 16
NO_ORIGIN = OriginId(bytes(ORIGIN_BYTES))
"""What a producer's batch carries before a node has stamped it."""
