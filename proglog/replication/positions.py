"""What two nodes tell each other about how far their logs reach, and the lag between two positions."""

from dataclasses import dataclass
from enum import Enum

from proglog.types import OriginId, Sequence

FIRST_SEQUENCE = Sequence(1)


@dataclass(frozen=True, slots=True)
class Position:
    """How far one log durably reaches in one origin."""

    origin: OriginId
    next_sequence: Sequence
    """One past the last durable sequence; 1 for nothing."""
    chain_crc: int = 0
    """The origin's chain checksum there."""
    floor_sequence: Sequence = FIRST_SEQUENCE
    """The lowest sequence still kept."""
    last_append_ms: int = 0
    """When the last batch was appended there, milliseconds since 1970 on that node's clock."""
    bytes: int = 0
    """Of the origin's batches kept there."""
    node_name: str = ""
    """Whose origin it is, as its first batch says."""


class EventKind(Enum):
    """Why a source cannot go on with an origin; the names are the wire's."""

    UNKNOWN_ORIGIN = "it has nothing of this origin"
    BELOW_FLOOR = "retention removed that"
    FORKED = "its history is another"
    DAMAGED = "that is damaged there"


@dataclass(frozen=True, slots=True)
class Event:
    """A source cannot go on with an origin."""

    origin: OriginId
    kind: EventKind
    sequence: Sequence
    """The first that can be had after what is missing; for ``FORKED``: where the histories were compared."""


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


class LagClock:
    """For how long one log has trailed another in one origin: an upper bound on the age of what is missing.

    It marks where the other log was when this one began to trail. Once this one gets there and still trails, the mark
    moves to the newest position heard: under steady traffic the lag is that of delivery, not that of all time.
    """

    def __init__(self) -> None:
        """Start level."""
        self._mark: Sequence | None = None
        self._since = 0.0
        self._there = FIRST_SEQUENCE
        self._heard_at = 0.0

    def there(self, next_sequence: Sequence, held: Sequence, now: float) -> None:
        """The other log reaches to ``next_sequence``, this one to ``held``."""
        if next_sequence != self._there:
            self._there, self._heard_at = next_sequence, now
        self.here(held)

    def here(self, held: Sequence) -> None:
        """This log reaches to ``held``."""
        if held >= self._there:
            self._mark = None
        elif self._mark is None or held >= self._mark:
            self._mark, self._since = self._there, self._heard_at

    @property
    def behind_since(self) -> float | None:
        """Since when; ``None`` when level."""
        return self._since if self._mark is not None else None
