"""The messages of SWIM, as one node sends them.

Source: memberlist ``net.go`` (``ping``, ``indirectPingReq``, ``ackResp``, ``nackResp``, ``suspect``, ``alive``, ``dead``).
"""

from dataclasses import dataclass
from typing import Self

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member import VERSIONS, Address, Node, address_of, packed_ip
from proglog.gossip.nodes import Nodes
from proglog.gossip.wire import MAX_META_BYTES, Fields, Type, encode, encode_ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class AliveClaim:
    """A claim that a node is alive."""

    name: str
    ip: bytes
    """4 or 16 bytes."""
    port: int
    meta: bytes
    """Encoded tags."""
    versions: bytes
    """As in :data:`proglog.gossip.member.VERSIONS`; may be empty."""
    incarnation: int

    @classmethod
    def read(cls, fields: Fields, *, name: str, default_port: int) -> Self:
        """Read it from a message or a record of a full exchange.

        Args:
            fields: What came.
            name: Of the field that holds the node's name.
            default_port: Of a node that gives none.

        Raises:
            MalformedMessageError: A field is missing its type, out of bounds, or a version that this node cannot speak.
        """
        claim = cls(
            name=fields.text(name),
            ip=fields.raw("Addr", 16),
            port=fields.uint("Port", 16) or default_port,
            meta=fields.raw("Meta", MAX_META_BYTES),
            versions=fields.raw("Vsn", len(VERSIONS)),
            incarnation=fields.uint("Incarnation"),
        )
        if not claim.name:
            raise MalformedMessageError("a node without a name")
        if not _understood(claim.versions):
            raise MalformedMessageError(
                f"node {claim.name!r}: its versions {claim.versions.hex(' ')} are not spoken here"
            )
        return claim


class Sender:
    """The sender's identity: answers are routed by it."""

    def __init__(self, name: str, address: Address) -> None:
        """``address`` is the one that others reach."""
        self.name = name
        self.ip = packed_ip(address[0])
        self.port = address[1]
        self._source = {"SourceAddr": self.ip, "SourceNode": name, "SourcePort": self.port}

    def ping(self, sequence: int, target: str) -> bytes:
        """Ping ``target``."""
        return encode_ordered(Type.PING, {"Node": target, "SeqNo": sequence, **self._source})

    def indirect_ping(self, sequence: int, target: Node, *, nack: bool) -> bytes:
        """Ask a helper to ping ``target`` and, with ``nack``, to report a missing answer."""
        request = {"SeqNo": sequence, "Target": target.ip, "Port": target.port, "Node": target.name, "Nack": nack}
        return encode(Type.INDIRECT_PING, request | self._source)

    def suspect(self, node: Node) -> bytes:
        """Accuse ``node``."""
        return accusation(Type.SUSPECT, node.incarnation, node.name, self.name)


def ack(sequence: int, payload: bytes | None = None) -> bytes:
    """Answer a ping."""
    return encode_ordered(Type.ACK, {"Payload": payload, "SeqNo": sequence})


def nack(sequence: int) -> bytes:
    """Report to the asker of an indirect ping that there was no answer."""
    return encode(Type.NACK, {"SeqNo": sequence})


def alive(node: Node) -> bytes:
    """Announce a node that is alive."""
    return encode(
        Type.ALIVE,
        {
            "Incarnation": node.incarnation,
            "Node": node.name,
            "Addr": node.ip,
            "Port": node.port,
            "Meta": node.meta,
            "Vsn": node.versions,
        },
    )


def accusation(kind: Type, incarnation: int, name: str, accuser: str) -> bytes:
    """Claim that ``name`` is suspect or dead. A node that claims it of itself leaves."""
    return encode(kind, {"Incarnation": incarnation, "Node": name, "From": accuser})


def reply_to(fields: Fields, source: Address, nodes: Nodes) -> tuple[Address, Node | None]:
    """Return the address for a ping's answer, and the member there: the address that it gives, if so, else its source.

    So a stranger cannot direct answers at a third party.

    Raises:
        MalformedMessageError: It gives an address that is none.
    """
    ip = fields.raw("SourceAddr", 16)
    given = address_of(ip, fields.uint("SourcePort", 16)) if ip else source
    if (member := nodes.member_at(given)) is not None:
        return given, member
    return source, nodes.member_at(source)


def _understood(versions: bytes) -> bool:
    """Return whether a node of ``versions`` and this one are compatible; an old node gives none.

    Forwarding incompatible versions would make every full exchange between stock agents fail, or crash them.
    """
    if not versions:
        return True
    if len(versions) != len(VERSIONS):
        return False
    return all(
        0 < versions[low] <= min(versions[current], VERSIONS[current])
        and max(versions[current], VERSIONS[current]) <= versions[high]
        and VERSIONS[low] <= versions[current] <= VERSIONS[high]
        for low, high, current in ((0, 1, 2), (3, 4, 5))
    )
