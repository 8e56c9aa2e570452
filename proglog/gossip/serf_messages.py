"""The messages of Serf: parsed into bounded values and re-encoded from those.

No message is forwarded as received: a stock agent behind this node gets what this node parsed, so input that would
crash it (an empty filter, a key request without a body) stops here. Unknown fields and trailing bytes are dropped.

Source: serf ``messages.go``; the bounds are those of :data:`LIMITS`.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member import Address, address_of
from proglog.gossip.wire import (
    Fields,
    SerfType,
    decode,
    decode_list,
    decode_with_long_lists,
    encode,
    encode_list,
    names_in,
    split_map,
)

MAX_EVENT_BYTES = 9 * 1024
"""Most bytes of the name, and of the payload, of a query or a user event."""
MAX_RESPONSE_BYTES = 1024
MAX_FILTERS = 64
MAX_KEY_BYTES = 64
MAX_DETOURS = 5
"""Most members that an answer is relayed through, whatever a query asks for."""
KEY_OPERATIONS = ("install-key", "use-key", "remove-key", "list-keys")
_INTERNAL = "_serf_"
_FILTER_NAMES, _FILTER_TAG = 0, 1


@dataclass(frozen=True, slots=True)
class Intent:
    """A node joined, or is leaving."""

    name: str
    ltime: int
    leaving: bool
    prune: bool = False
    """Whether to forget it as soon as it is gone."""

    @classmethod
    def read(cls, body: bytes, *, leaving: bool) -> Self:
        """Read it.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        fields = decode(body)
        name = fields.text("Node")
        if not name:
            raise MalformedMessageError("an intent about a node without a name")
        return cls(name, fields.ltime("LTime"), leaving, leaving and fields.flag("Prune"))

    def encode(self) -> bytes:
        """Return it as it is sent."""
        if not self.leaving:
            return encode(SerfType.JOIN, {"LTime": self.ltime, "Node": self.name})
        return encode(SerfType.LEAVE, {"LTime": self.ltime, "Node": self.name, "Prune": self.prune})


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A user event."""

    name: str
    payload: bytes
    ltime: int
    coalesce: bool = False

    @classmethod
    def read(cls, fields: Fields, ltime: int) -> Self:
        """Read it; ``ltime`` comes beside it in a message, above it in a state.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        name, payload = fields.text("Name", MAX_EVENT_BYTES), fields.raw("Payload", MAX_EVENT_BYTES)
        return cls(name, payload, ltime, fields.flag("CC"))

    def encode(self) -> bytes:
        """Return it as it is sent."""
        fields = {"LTime": self.ltime, "Name": self.name, "Payload": self.payload, "CC": self.coalesce}
        return encode(SerfType.USER_EVENT, fields)


@dataclass(frozen=True, slots=True)
class NamesFilter:
    """Matches the nodes of these names."""

    names: tuple[str, ...]

    def encode(self) -> bytes:
        """Return it as it is sent."""
        return bytes((_FILTER_NAMES,)) + encode_list(self.names)


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Matches the nodes with a tag in which ``expression`` is found."""

    tag: str
    expression: str

    def encode(self) -> bytes:
        """Return it as it is sent."""
        return encode(_FILTER_TAG, {"Tag": self.tag, "Expr": self.expression})


Filter = NamesFilter | TagFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to every node that passes the filters."""

    name: str
    payload: bytes
    ltime: int
    number: int
    ip: bytes
    port: int
    source: str
    filters: tuple[Filter, ...]
    flags: int
    detours: int
    timeout: int
    """Nanoseconds."""
    key: bytes = field(default=b"")
    """The key in a question about keys."""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read it.

        Raises:
            MalformedMessageError: The query, one of its filters, or the request in its payload is malformed.
        """
        fields = decode(body)
        filters = fields.each("Filters")
        if len(filters) > MAX_FILTERS:
            raise MalformedMessageError(f"a query has at most {MAX_FILTERS} filters")
        name, payload = fields.text("Name", MAX_EVENT_BYTES), fields.raw("Payload", MAX_EVENT_BYTES)
        query = cls(
            name=name,
            payload=payload,
            ltime=fields.ltime("LTime"),
            number=fields.uint("ID"),
            ip=fields.raw("Addr", 16),
            port=fields.uint("Port", 16),
            source=fields.text("SourceNode"),
            filters=tuple(_read_filter(each) for each in filters),
            flags=fields.uint("Flags"),
            detours=fields.uint("RelayFactor", 8),
            timeout=fields.uint("Timeout", 63),
            key=_read_key(name.removeprefix(_INTERNAL), payload) if name.startswith(_INTERNAL) else b"",
        )
        address_of(query.ip, query.port)
        return query

    @property
    def asker(self) -> Address:
        """Address that answers go to."""
        return address_of(self.ip, self.port)

    @property
    def internal(self) -> str:
        """Name of an internal query, such as ``list-keys``; empty for a user's query."""
        return self.name.removeprefix(_INTERNAL) if self.name.startswith(_INTERNAL) else ""

    def encode(self) -> bytes:
        """Return it as it is sent."""
        fields = {
            "LTime": self.ltime,
            "ID": self.number,
            "Addr": self.ip,
            "Port": self.port,
            "SourceNode": self.source,
            "Filters": [each.encode() for each in self.filters] or None,
            "Flags": self.flags,
            "RelayFactor": self.detours,
            "Timeout": self.timeout,
            "Name": self.name,
            "Payload": self.payload,
        }
        return encode(SerfType.QUERY, fields)


@dataclass(frozen=True, slots=True)
class QueryResponse:
    """One node's answer."""

    ltime: int
    number: int
    source: str
    flags: int
    payload: bytes | None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read it.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        fields = decode(body)
        payload = fields.raw("Payload", MAX_RESPONSE_BYTES) or None
        return cls(fields.ltime("LTime"), fields.uint("ID"), fields.text("From"), fields.uint("Flags"), payload)

    def encode(self) -> bytes:
        """Return it as it is sent.

        Raises:
            MalformedMessageError: It is longer than ``MAX_RESPONSE_BYTES``.
        """
        fields = {"LTime": self.ltime, "ID": self.number, "From": self.source, "Flags": self.flags}
        data = encode(SerfType.QUERY_RESPONSE, fields | {"Payload": self.payload})
        if len(data) > MAX_RESPONSE_BYTES:
            raise MalformedMessageError(f"an answer has {len(data):,} bytes; the limit is {MAX_RESPONSE_BYTES:,}")
        return data


@dataclass(frozen=True, slots=True)
class Relay:
    """An answer on a detour."""

    ip: bytes
    port: int
    destination: str
    response: QueryResponse

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read it.

        Raises:
            MalformedMessageError: It is malformed, or contains something other than an answer.
        """
        head, inner = split_map(body)
        if inner[:1] != bytes((SerfType.QUERY_RESPONSE,)):
            raise MalformedMessageError("only a query's response is relayed")
        to = Fields(head.map("DestAddr"))
        relay = cls(to.raw("IP", 16), to.uint("Port", 16), head.text("DestName"), QueryResponse.read(inner[1:]))
        address_of(relay.ip, relay.port)
        return relay

    @property
    def address(self) -> Address:
        """Address that the answer goes to."""
        return address_of(self.ip, self.port)

    def encode(self) -> bytes:
        """Return it as it is sent."""
        head = {"DestAddr": {"IP": self.ip, "Port": self.port, "Zone": ""}, "DestName": self.destination}
        return encode(SerfType.RELAY, head) + self.response.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfState:
    """Serf's part of a full exchange."""

    ltime: int = 0
    event_ltime: int = 0
    query_ltime: int = 0
    status_ltimes: dict[str, int] = field(default_factory=dict)
    """The Lamport time of the last intent about each member."""
    left: tuple[str, ...] = ()
    """Members that left."""
    events: tuple[UserEvent, ...] = ()

    @classmethod
    def read(cls, data: bytes) -> tuple[Self, list[str]]:
        """Read it, skipping records beyond a bound; also return the reasons.

        Raises:
            MalformedMessageError: It is no state at all.
        """
        if data[:1] != bytes((SerfType.PUSH_PULL,)):
            raise MalformedMessageError("a state that is none of Serf's")
        fields, wrong = decode_with_long_lists(data[1:], ("LeftMembers", "Events")), []

        def tried(read: Any, default: Any) -> Any:
            try:
                return read()
            except MalformedMessageError as exc:
                wrong.append(str(exc))
                return default

        def clock(name: str) -> int:
            return int(tried(lambda: fields.ltime(name), 0))

        times = Fields(tried(lambda: fields.map("StatusLTimes"), {}))
        status_ltimes: dict[str, int] = {}
        for name in names_in(times.content):
            try:
                status_ltimes[name] = times.ltime(name)
            except MalformedMessageError as exc:
                wrong.append(str(exc))
        events: list[UserEvent] = []
        for slot in tried(lambda: fields.each("Events"), []):
            if isinstance(slot, dict):
                tried(lambda slot=slot: events.extend(_read_slot(Fields(slot))), None)
        return cls(
            ltime=clock("LTime"),
            event_ltime=clock("EventLTime"),
            query_ltime=clock("QueryLTime"),
            status_ltimes=status_ltimes,
            left=tuple(dict.fromkeys(names_in(tried(lambda: fields.each("LeftMembers"), [])))),
            events=tuple(events),
        ), wrong

    def encode(self) -> bytes:
        """Return it as it is sent."""
        slots: dict[int, list[dict[str, Any]]] = {}
        for event in self.events:
            slots.setdefault(event.ltime, []).append({"Name": event.name, "Payload": event.payload})
        return encode(
            SerfType.PUSH_PULL,
            {
                "LTime": self.ltime,
                "StatusLTimes": self.status_ltimes,
                "LeftMembers": list(self.left),
                "EventLTime": self.event_ltime,
                "Events": [{"LTime": ltime, "Events": events} for ltime, events in slots.items()],
                "QueryLTime": self.query_ltime,
            },
        )


def _read_filter(data: object) -> Filter:
    if not isinstance(data, bytes) or not data:
        raise MalformedMessageError("query: a filter is no string, or empty")
    if data[0] == _FILTER_NAMES:
        return NamesFilter(tuple(names_in(decode_list(data[1:]))))
    if data[0] == _FILTER_TAG:
        fields = decode(data[1:])
        return TagFilter(fields.text("Tag"), fields.text("Expr", MAX_EVENT_BYTES))
    raise MalformedMessageError(f"query: unknown filter type {data[0]}")


def _read_key(operation: str, payload: bytes) -> bytes:
    if operation not in KEY_OPERATIONS or (operation == "list-keys" and not payload):
        return b""
    if payload[:1] != bytes((SerfType.KEY_REQUEST,)):
        raise MalformedMessageError(f"query {operation}: the payload is no key request")
    return decode(payload[1:]).raw("Key", MAX_KEY_BYTES)


def _read_slot(slot: Fields) -> list[UserEvent]:
    ltime = slot.ltime("LTime")
    return [UserEvent.read(Fields(event), ltime) for event in slot.each("Events") if isinstance(event, dict)]
