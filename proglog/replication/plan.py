"""What the planner says: its verdicts on batches, its requests to peers, its notices, and how patient it is."""

from dataclasses import dataclass
from enum import Enum

from proglog.types import OriginId, SequenceNumber


class Decision(Enum):
    """What to do with a batch that a peer sent."""

    APPEND = "append"
    APPEND_AFTER_GAP = "append after a gap"
    DROP = "drop"
    HOLE = "hole"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class Want:
    """Ask ``peer`` for ``origin`` from ``next_sequence`` on."""

    peer: str
    origin: OriginId
    next_sequence: SequenceNumber
    chain_crc: int


@dataclass(frozen=True, slots=True)
class Unwant:
    """Tell ``peer`` to stop sending ``origin``."""

    peer: str
    origin: OriginId


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close the stream from ``peer`` and open another: it owes records and has sent nothing for ``seconds``."""

    peer: str
    seconds: float


Command = Want | Unwant | Reopen


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to report to the operator; kinds are telemetry's."""

    kind: str
    peer: str
    origin: OriginId
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the planner waits for what. Seconds."""

    stall_timeout: float = 2.0
    """Time without a batch, while another peer has one, after which a source is set aside."""
    aside_timeout: float = 10.0
    """Time until a source that stalled or refused is retried."""
    reopen_timeout: float = 30.0
    """Time without a batch from a source that owes some, after which its stream is reopened; doubles with each attempt."""
    gap_timeout: float | None = 30.0
    """Time from the last refusal until the origin continues after a gap. ``None``: never."""
