"""Events for the driver: membership changes, user events and queries, diagnostics."""

from dataclasses import dataclass
from enum import StrEnum

from proglog.gossip.member import Address, Member


class MemberEventKind(StrEnum):
    """Serf's spelling, on every surface."""

    JOIN = "member-join"
    LEAVE = "member-leave"
    FAILED = "member-failed"
    UPDATE = "member-update"
    REAP = "member-reap"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEvent:
    """A member's status or tags changed."""

    kind: MemberEventKind
    """What happened."""
    member: Member
    """The member after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSuspected:
    """A member is suspected of having failed and has time to refute; it is still alive."""

    name: str
    """Its name."""
    accuser: str
    """The first accuser that this node knows of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspicionRefuted:
    """This node refuted a claim that it is suspect, dead or different from what it is."""

    incarnation: int
    """The incarnation of the refutation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEventReceived:
    """A user event, from here or elsewhere, seen for the first time."""

    name: str
    """Its name."""
    payload: bytes
    """Its payload."""
    ltime: int
    """Its Lamport time."""
    coalesce: bool = False
    """Whether only the newest of several events of one name in quick succession is delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryReceived:
    """A query that is for this node, and not one of Serf's own: it may be answered once, in time."""

    query_id: int
    """Number to pass to :meth:`Serf.respond`."""
    name: str
    """Its name."""
    payload: bytes
    """Its payload."""
    ltime: int
    """Its Lamport time."""
    source: str
    """The asking node's name."""
    seconds: float
    """Seconds in which an answer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFinished:
    """A join succeeded or failed."""

    call_id: int
    """The number that :meth:`Serf.join` returned."""
    address: Address
    """The address that was called."""
    error: str
    """The error; empty when joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """A call to an address of the address book was answered, or failed."""

    address: Address
    """The address; the host may be a name."""
    given: bool
    """Whether the operator gave it."""
    failures: int
    """Failed calls in a row; 0 when answered."""
    alone: bool
    """Whether this node knows of no other live member."""
    error: str
    """The error; empty when answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """This node's own health score says that it is unwell, or well again."""

    unwell: bool
    """Whether it reached ``UNWELL`` and has not been 0 since."""
    score: int
    """The score: 0 is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveFinished:
    """The departure was announced and had time to spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameConflict:
    """A node at another address claims a member's name."""

    name: str
    """The name."""
    address: Address
    """The claimant's address."""
    local: bool
    """Whether it is this node's own name."""


class NameStanding(StrEnum):
    """Whether this node's name is its own."""

    UNASKED = "unasked"
    HELD = "held"
    CONTESTED = "contested"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameVoted:
    """The standing of this node's name changed."""

    standing: NameStanding
    """The new standing."""
    rival: Address | None
    """Address of the other node of that name; ``None`` if there is none."""
    matching: int = 0
    """Voters that know the name at this node's address."""
    answers: int = 0
    """Voters that know it at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringChanged:
    """A key query changed the keyring: the stored copy may be out of date."""

    operation: str
    """``install-key``, ``use-key`` or ``remove-key``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A diagnostic: input that was ignored, or a failure that the protocol tolerates."""

    reason: str
    """The reason, for an operator."""
    source: Address | None
    """The sender, if known. May be forged."""
    malformed: bool = False
    """Whether the input was malformed or not allowed, rather than an operation that failed."""


Event = (
    MemberEvent
    | MemberSuspected
    | SuspicionRefuted
    | UserEventReceived
    | QueryReceived
    | JoinFinished
    | CallFinished
    | HealthChanged
    | LeaveFinished
    | NameConflict
    | NameVoted
    | KeyringChanged
    | Ignored
)
