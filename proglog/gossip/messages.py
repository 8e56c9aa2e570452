"""Every message of memberlist and Serf: one type byte, then a map.

::

    memberlist   type (1) | map                                  ping, ack, alive, suspect, dead ...
    Serf         8 | type (1) | map                              intents, events, queries: memberlist's "user" messages
    relay        8 | 9 | map (where to) | type (1) | map          a response on a detour

Fields are named as in Go's structs, in Python's spelling. Absent and nil fields are zero.

Source: memberlist ``net.go``, serf ``messages.go``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from proglog.gossip.codec import (
    decode_map,
    encode_map,
    flag,
    ltime_map,
    nested,
    nested_list,
    number,
    numbers,
    raw,
    raws,
    split_map,
    text,
    text_map,
    texts,
    uint,
)
from proglog.gossip.errors import MalformedMessageError

MAX_TEXT_BYTES = 9 * 1024
"""Serf's hard limit for what a user sends."""


class Kind(IntEnum):
    """memberlist's type bytes."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESSED = 9
    ENCRYPTED = 10
    NACK = 11
    HAS_CRC = 12
    ERROR = 13


class SerfKind(IntEnum):
    """Serf's type bytes."""

    LEAVE_INTENT = 0
    JOIN_INTENT = 1
    STATE = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there? Answered with :class:`Ack` to the source, or to the datagram's sender without one."""

    seq_no: int = uint("SeqNo", 32)
    node: str = text("Node")
    source_ip: bytes = raw("SourceAddr", omit_empty=True)
    source_port: int = uint("SourcePort", 16, omit_empty=True)
    source_node: str = text("SourceNode", omit_empty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndirectPing:
    """Ask ``target`` for me; a nack says that you at least are there."""

    seq_no: int = uint("SeqNo", 32)
    target: bytes = raw("Target")
    port: int = uint("Port", 16)
    node: str = text("Node")
    nack: bool = flag("Nack")
    source_ip: bytes = raw("SourceAddr", omit_empty=True)
    source_port: int = uint("SourcePort", 16, omit_empty=True)
    source_node: str = text("SourceNode", omit_empty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """I am here. The payload is a network coordinate."""

    seq_no: int = uint("SeqNo", 32)
    payload: bytes = raw("Payload", nil=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """The node you asked for did not answer me."""

    seq_no: int = uint("SeqNo", 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """``accuser`` got no answer from ``node``."""

    incarnation: int = uint("Incarnation", 32)
    node: str = text("Node")
    accuser: str = text("From")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The node is there, at this address, with these tags. Only the node itself makes these."""

    incarnation: int = uint("Incarnation", 32)
    node: str = text("Node")
    ip: bytes = raw("Addr")
    port: int = uint("Port", 16)
    meta: bytes = raw("Meta")
    versions: bytes = raw("Vsn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """The node is dead; if ``accuser`` is the node itself, it left on purpose."""

    incarnation: int = uint("Incarnation", 32)
    node: str = text("Node")
    accuser: str = text("From")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """Why a stream was refused."""

    error: str = text("Error", max_bytes=4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """Another message, compressed; algorithm 0, LZW, is the only one."""

    algorithm: int = uint("Algo", 8)
    buffer: bytes = raw("Buf")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPullHeader:
    """What follows it: ``nodes`` maps, then ``user_state_bytes`` bytes."""

    join: bool = flag("Join")
    nodes: int = uint("Nodes", 31)
    user_state_bytes: int = uint("UserStateLen", 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node in a full exchange."""

    name: str = text("Name")
    ip: bytes = raw("Addr")
    port: int = uint("Port", 16)
    meta: bytes = raw("Meta")
    incarnation: int = uint("Incarnation", 32)
    state: int = uint("State", 8)
    versions: bytes = raw("Vsn")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserHeader:
    """How long the user message is that follows on the stream."""

    bytes: int = uint("UserMsgLen", 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveIntent:
    """``node`` is about to leave, so its disappearance is not a failure."""

    ltime: int = uint("LTime", 63)
    node: str = text("Node")
    prune: bool = flag("Prune")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinIntent:
    """``node`` joined."""

    ltime: int = uint("LTime", 63)
    node: str = text("Node")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEvent:
    """A user event as remembered."""

    name: str = text("Name", max_bytes=MAX_TEXT_BYTES)
    payload: bytes = raw("Payload", nil=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEvents:
    """The user events of one Lamport time."""

    ltime: int = uint("LTime", 63)
    events: tuple[PastEvent, ...] = nested_list("Events", PastEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfState:
    """What Serf adds to a full exchange."""

    ltime: int = uint("LTime", 63)
    status_ltimes: Mapping[str, int] = ltime_map("StatusLTimes")
    left_members: tuple[str, ...] = texts("LeftMembers")
    event_ltime: int = uint("EventLTime", 63)
    events: tuple[PastEvents, ...] = nested_list("Events", PastEvents)
    query_ltime: int = uint("QueryLTime", 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """Something that a user told everybody."""

    ltime: int = uint("LTime", 63)
    name: str = text("Name", max_bytes=MAX_TEXT_BYTES)
    payload: bytes = raw("Payload", nil=True)
    coalesce: bool = flag("CC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to everybody who passes the filters; answers go straight to the source."""

    ltime: int = uint("LTime", 63)
    id: int = uint("ID", 32)
    ip: bytes = raw("Addr")
    port: int = uint("Port", 16)
    source_node: str = text("SourceNode")
    filters: tuple[bytes, ...] = raws("Filters")
    flags: int = uint("Flags", 32)
    relay_factor: int = uint("RelayFactor", 8)
    timeout_ns: int = uint("Timeout", 63)
    name: str = text("Name", max_bytes=MAX_TEXT_BYTES)
    payload: bytes = raw("Payload", nil=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResponse:
    """An answer, or with flag 1 an acknowledgement."""

    ltime: int = uint("LTime", 63)
    id: int = uint("ID", 32)
    responder: str = text("From")
    flags: int = uint("Flags", 32)
    payload: bytes = raw("Payload", nil=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictResponse:
    """A member as the responder knows it."""

    name: str = text("Name")
    ip: bytes = raw("Addr")
    port: int = uint("Port", 16)
    tags: Mapping[str, str] = text_map("Tags")
    status: int = uint("Status", 8)
    protocol_min: int = uint("ProtocolMin", 8)
    protocol_max: int = uint("ProtocolMax", 8)
    protocol_cur: int = uint("ProtocolCur", 8)
    delegate_min: int = uint("DelegateMin", 8)
    delegate_max: int = uint("DelegateMax", 8)
    delegate_cur: int = uint("DelegateCur", 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """The key that a key query is about."""

    key: bytes = raw("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyResponse:
    """What became of a key query; keys are base64 text."""

    result: bool = flag("Result")
    message: str = text("Message", max_bytes=MAX_TEXT_BYTES)
    keys: tuple[str, ...] = texts("Keys")
    primary_key: str = text("PrimaryKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAddress:
    """Go's ``net.UDPAddr``."""

    ip: bytes = raw("IP")
    port: int = uint("Port", 16)
    zone: str = text("Zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayHeader:
    """Where the message that follows is to go."""

    to: RelayAddress = nested("DestAddr", RelayAddress)  # noqa: RUF009 - declares the field
    name: str = text("DestName")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """A place in the network, so that the distance of two is a round trip. Seconds."""

    vector: tuple[float, ...] = numbers("Vec")
    error: float = number("Error")
    adjustment: float = number("Adjustment")
    height: float = number("Height")


KINDS: dict[int, type[Any]] = {
    Kind.PING: Ping,
    Kind.INDIRECT_PING: IndirectPing,
    Kind.ACK: Ack,
    Kind.SUSPECT: Suspect,
    Kind.ALIVE: Alive,
    Kind.DEAD: Dead,
    Kind.COMPRESSED: Compressed,
    Kind.NACK: Nack,
    Kind.ERROR: ErrorReply,
}
SERF_KINDS: dict[int, type[Any]] = {
    SerfKind.LEAVE_INTENT: LeaveIntent,
    SerfKind.JOIN_INTENT: JoinIntent,
    SerfKind.STATE: SerfState,
    SerfKind.USER_EVENT: UserEvent,
    SerfKind.QUERY: Query,
    SerfKind.QUERY_RESPONSE: QueryResponse,
    SerfKind.CONFLICT_RESPONSE: ConflictResponse,
    SerfKind.KEY_REQUEST: KeyRequest,
    SerfKind.KEY_RESPONSE: KeyResponse,
}
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
_SERF_KIND_OF = {cls: kind for kind, cls in SERF_KINDS.items()}


def encode(message: object) -> bytes:
    """Return a memberlist message, with its type byte."""
    return bytes((_KIND_OF[type(message)],)) + encode_map(message)


def decode(data: bytes) -> Any:
    """Return the memberlist message in ``data``, which starts with a type byte.

    Raises:
        MalformedMessageError: Unknown type, or not such a message.
    """
    cls = KINDS.get(data[0]) if data else None
    if cls is None:
        raise MalformedMessageError(f"message of unknown type {data[0]}" if data else "empty message")
    return decode_map(cls, data[1:])


def encode_serf(message: object) -> bytes:
    """Return a Serf message, with Serf's type byte and without memberlist's."""
    return bytes((_SERF_KIND_OF[type(message)],)) + encode_map(message)


def decode_serf(data: bytes) -> Any:
    """Return the Serf message in ``data``, which starts with Serf's type byte.

    Raises:
        MalformedMessageError: Unknown type, or not such a message.
    """
    cls = SERF_KINDS.get(data[0]) if data else None
    if cls is None:
        raise MalformedMessageError(f"Serf message of unknown type {data[0]}" if data else "empty Serf message")
    return decode_map(cls, data[1:])


def encode_relay(header: RelayHeader, message: bytes) -> bytes:
    """Return a Serf message that asks its receiver to pass ``message`` on."""
    return bytes((SerfKind.RELAY,)) + encode_map(header) + message


def decode_relay(data: bytes) -> tuple[RelayHeader, bytes]:
    """Return where the relay message ``data`` goes, and what.

    Raises:
        MalformedMessageError: Not a relay message.
    """
    return split_map(RelayHeader, data[1:])
