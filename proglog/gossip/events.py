"""What a node tells its driver: changes of membership, what users sent, and what it made of strange input."""

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
    """A member is accused of not answering, and has a while to say otherwise; it is still alive."""

    name: str
    """Its name."""
    accuser: str
    """Who missed it first, as far as this node heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspicionRefuted:
    """This node was said to be suspect, gone or other than it is, and has said otherwise."""

    incarnation: int
    """Under which it did."""


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
    """Whether, of events of one name in quick succession, only the newest is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryReceived:
    """A query that is for this node, and not one of Serf's own: it may be answered once, in time."""

    query_id: int
    """For :meth:`Serf.respond`."""
    name: str
    """Its name."""
    payload: bytes
    """Its payload."""
    ltime: int
    """Its Lamport time."""
    source: str
    """Who asks."""
    seconds: float
    """How long an answer is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFinished:
    """A node that was to be joined answered, or did not."""

    call_id: int
    """What :meth:`Serf.join` returned."""
    address: Address
    """Who was asked."""
    error: str
    """Why not; empty when joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """Somebody answered at an address of the address book, or nobody did."""

    address: Address
    """Where; the host may be a name."""
    given: bool
    """Whether the operator gave it."""
    failures: int
    """Calls in a row that came to nothing; 0 when answered."""
    alone: bool
    """Whether this node knows of nobody else that is alive."""
    error: str
    """Why not; empty when answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveFinished:
    """The others have been told, and had time to hear it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameConflict:
    """Somebody claims a member's name at another address."""

    name: str
    """The name."""
    address: Address
    """Where the claimant is."""
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
    """The standing of this node's name is another than before."""

    standing: NameStanding
    """What it is now."""
    rival: Address | None
    """Where the other node of that name is; ``None``: there is none."""
    matching: int = 0
    """Voters that know the name at this node's address."""
    answers: int = 0
    """Voters that know it at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringChanged:
    """A key query changed the keyring: what a restart reads may be old."""

    operation: str
    """``install-key``, ``use-key`` or ``remove-key``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A diagnostic: something was received and not acted upon, or went wrong in a way that the protocol bears."""

    reason: str
    """Why, for an operator."""
    source: Address | None
    """Where it came from, as far as known. May be forged."""
    malformed: bool = False
    """Whether it makes no sense or is not allowed, rather than only went wrong."""


Event = (
    MemberEvent
    | MemberSuspected
    | SuspicionRefuted
    | UserEventReceived
    | QueryReceived
    | JoinFinished
    | CallFinished
    | LeaveFinished
    | NameConflict
    | NameVoted
    | KeyringChanged
    | Ignored
)
