"""The messages of SWIM, as one node says them.

Source: memberlist ``net.go`` (``ping``, ``indirectPingReq``, ``ackResp``, ``nackResp``, ``suspect``, ``alive``, ``dead``).
"""

from typing import Any

from proglog.gossip.member import Address, Node, address_of, packed_ip
from proglog.gossip.wire import Fields, Type, encode


class Sender:
    """Who says it: so that answers find their way."""

    def __init__(self, name: str, address: Address) -> None:
        """``address`` is the one that others reach."""
        self.name = name
        self.ip = packed_ip(address[0])
        self.port = address[1]

    def ping(self, sequence: int, target: str) -> bytes:
        """Ask ``target`` for a sign of life."""
        return encode(Type.PING, {"SeqNo": sequence, "Node": target} | self._source())

    def indirect_ping(self, sequence: int, target: Node, *, nack: bool) -> bytes:
        """Ask somebody else to ping ``target``; with ``nack``, to say so if there is no answer."""
        request = {"SeqNo": sequence, "Target": target.ip, "Port": target.port, "Node": target.name, "Nack": nack}
        return encode(Type.INDIRECT_PING, request | self._source())

    def suspect(self, node: Node) -> bytes:
        """Accuse ``node``."""
        return accusation(Type.SUSPECT, node.incarnation, node.name, self.name)

    def _source(self) -> dict[str, Any]:
        return {"SourceAddr": self.ip, "SourcePort": self.port, "SourceNode": self.name}


def ack(sequence: int, payload: bytes | None = None) -> bytes:
    """Answer a ping."""
    return encode(Type.ACK, {"SeqNo": sequence, "Payload": payload})


def nack(sequence: int) -> bytes:
    """Tell who asked for an indirect ping that there was no answer."""
    return encode(Type.NACK, {"SeqNo": sequence})


def alive(node: Node) -> bytes:
    """Say what is known of a node that lives."""
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
    """Say that ``name`` is suspect or dead. Who says it of itself leaves."""
    return encode(kind, {"Incarnation": incarnation, "Node": name, "From": accuser})


def reply_address(fields: Fields, source: Address) -> Address:
    """Return where a ping wants its answer: what it says itself, else where it came from.

    Raises:
        MalformedMessageError: It says an address that is none.
    """
    ip = fields.raw("SourceAddr", 16)
    return address_of(ip, fields.uint("SourcePort", 16)) if ip else source
