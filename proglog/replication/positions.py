"""How far logs reach: what replication compares, and the lag between two of them."""

from dataclasses import dataclass

from proglog.types import OriginId, Sequence


@dataclass(frozen=True, slots=True)
class Position:
    """How far one log durably reaches in one origin."""

    origin: OriginId
    next_sequence: Sequence
    """One past the last durable sequence; 1 for nothing."""
    chain_crc: int = 0
    """The origin's chain checksum there."""
    floor_sequence: Sequence = Sequence(1)  # noqa: RUF009 - NewType is the identity
    """The lowest sequence still kept."""
    last_append_ms: int = 0
    """When the last batch was appended there, milliseconds since 1970 on that node's clock."""
    bytes: int = 0
    """Of the origin's batches kept there."""
    node_name: str = ""
    """Whose origin it is, as its first batch says."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one log trails another in one origin."""

    records: int
    bytes: int


def lag(held: Position | None, there: Position) -> Lag:
    """Return how far ``held`` trails ``there``; zeros when it does not."""
    behind = there.next_sequence - (held.next_sequence if held else there.floor_sequence)
    if behind <= 0:
        return Lag(0, 0)
    return Lag(behind, max(0, there.bytes - (held.bytes if held else 0)))
