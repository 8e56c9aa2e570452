"""Nodes, as the failure detector sees them, and members, as operators see them.

::

                    +--- refute ---+
                    v              |                      join intent
    (join) ----> alive ------> suspect               alive <---------- leaving        what operators see:
                    ^              | timeout            |  leave intent  ^ |           alive, leaving, left, failed
                    |              v                    +----------------+ | dead
                    +-- newer -- dead / left            | dead             v
                       incarnation                      +--> failed -----> left       (leave intent)
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache

from proglog.gossip.coordinates import Coordinate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import decode_tags, printable

Address = tuple[str, int]
"""An IP address as text, and a port."""

VERSIONS = bytes((1, 5, 2, 2, 5, 5))
"""Protocol min, max, current; delegate min, max, current: exactly what a stock agent says.

Stock agents accept any other value by gossip, and then fail every full exchange between nodes that heard it.
"""


class State(IntEnum):
    """A node in the failure detector, with its number on the wire."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


_DEAD, _LEFT = State.DEAD, State.LEFT  # looking up a member of an enumeration takes longer than comparing it


class Status(StrEnum):
    """A member, as operators see it. A suspect is still alive."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Former:
    """A node's earlier address: claims from there, not above ``incarnation``, are stale until ``until``."""

    ip: bytes
    port: int
    incarnation: int
    until: float


@dataclass(slots=True, kw_only=True)
class Node:
    """Everything known about a name: one row of the one table.

    The failure detector and the intents each keep their own state; the status that operators see is derived from both
    and never stored.
    """

    name: str
    """The identity."""
    ip: bytes
    """4 or 16 bytes."""
    port: int
    """Port, for UDP and TCP."""
    meta: bytes
    """Encoded tags."""
    versions: bytes
    """As in :data:`VERSIONS`; may be empty."""
    incarnation: int
    """Raised only by the node itself, to refute."""
    state: State
    """Its state, as last heard."""
    changed_at: float
    """Time of the last change of state, on the core's own clock."""
    rtt: float | None = None
    """The last direct round trip, seconds."""
    coordinate: Coordinate | None = None
    """Its network coordinate, as it last reported."""
    udp_missed: int = 0
    """Rounds since it last answered a ping itself in which only TCP got an answer."""
    exchanges_failed: int = 0
    """Failed full exchanges begun by this node, since the last successful one."""
    exchange_error: str = ""
    """The error of the last failed one."""
    exchanging_since: float | None = None
    """When the full exchange that is under way began; ``None``: none is."""
    former: "Former | None" = None
    """Its address before it moved here."""

    ltime: int = 0
    """Lamport time of the last intent about it."""
    leaving: bool = False
    """Whether that intent is a leave."""
    prune: bool = False
    """Whether to forget it once it is gone."""
    listed: bool = False
    """Whether it is a member that operators see; one that was pruned is not."""
    since: float = 0.0
    """Time of the last change of status, on the driver's clock."""

    @property
    def address(self) -> Address:
        """Its gossip address."""
        return address_of(self.ip, self.port)

    @property
    def gone(self) -> bool:
        """Dead or left."""
        return self.state is _DEAD or self.state is _LEFT

    @property
    def status(self) -> Status:
        """Its status for operators."""
        if not self.gone:
            return Status.LEAVING if self.leaving else Status.ALIVE
        return Status.LEFT if self.leaving or self.state is State.LEFT else Status.FAILED

    def speaks(self, protocol: int) -> bool:
        """Return whether it understands memberlist's ``protocol``."""
        return len(self.versions) >= 2 and self.versions[1] >= protocol

    def snapshot(self) -> "Member":
        """Return the member as surfaces show it."""
        host, port = self.address
        return Member(
            name=printable(self.name),
            addr=host,
            port=port,
            tags=_shown_tags(self.meta),
            status=self.status,
            incarnation=self.incarnation,
            status_ltime=self.ltime,
            rtt_ms=None if self.rtt is None else self.rtt * 1000,
            since=self.since,
            coordinate=self.coordinate,
            udp_missed=self.udp_missed,
            versions=self.versions,
            exchanges_failed=self.exchanges_failed,
            exchange_error=self.exchange_error,
            exchanging_since=self.exchanging_since,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member at one moment."""

    name: str
    """The identity in the cluster."""
    addr: str
    """IP address."""
    port: int
    """Gossip port, UDP and TCP."""
    tags: Mapping[str, str]
    """The tags that it announces."""
    status: Status
    """Its status, as seen from this node."""
    incarnation: int
    """Counts its refutations and changes of tags."""
    status_ltime: int
    """Lamport time of the last join or leave intent."""
    rtt_ms: float | None
    """The last direct round trip; ``None`` before the first, and for the local node."""
    since: float
    """Time of the last change of status, on this node's monotonic clock."""
    coordinate: Coordinate | None = None
    """Its network coordinate; ``None``: this node has not measured it."""
    versions: bytes = b""
    """As in :data:`VERSIONS`; may be empty."""
    udp_missed: int = 0
    """Probes since its last direct answer that only TCP reached: above 1, UDP between the two is broken."""
    exchanges_failed: int = 0
    """Failed full exchanges begun by this node, since the last successful one."""
    exchange_error: str = ""
    """The error of the last failed one."""
    exchanging_since: float | None = None
    """When the full exchange that this node has under way with it began; ``None``: none is."""


@lru_cache(maxsize=4096)
def _shown_tags(meta: bytes) -> Mapping[str, str]:
    """Return the tags in a meta as surfaces show them; every snapshot of a member shares them."""
    return {printable(name): printable(value) for name, value in decode_tags(meta).items()}


@lru_cache(maxsize=16_384)
def address_of(ip: bytes, port: int) -> Address:
    """Return the address in a message.

    Raises:
        MalformedMessageError: ``ip`` is not 4 or 16 bytes.
    """
    if len(ip) not in (4, 16):
        raise MalformedMessageError(f"an IP address has 4 or 16 bytes; this one has {len(ip)}")
    if len(ip) == 16 and ip.startswith(bytes(10) + b"\xff\xff"):
        ip = ip[12:]
    return str(ipaddress.ip_address(ip)), port


def packed_ip(host: str) -> bytes:
    """Return the bytes of an IP address as text: 4 for IPv4, always, because the mapped form counts as another address."""
    return ipaddress.ip_address(host.partition("%")[0]).packed
