"""The full exchange: all that one node knows, checked before any of it is believed.

The version check is memberlist's: over the alive nodes of both sides, the ranges that all understand; then every node of
both sides, dead ones included, must speak within them. A single bad vector would stop the exchanges of a whole cluster,
so what a node says of itself is fixed (:data:`proglog.gossip.member.VERSIONS`), and a list that fails is refused whole.

Source: memberlist ``state.go`` (``mergeState``), ``memberlist.go`` (``verifyProtocol``).
"""

from collections.abc import Sequence
from typing import Any

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member import Node, State
from proglog.gossip.wire import MAX_META_BYTES, Fields

_VERSIONS_BYTES = 6


class RemoteNode:
    """A node in somebody's state."""

    def __init__(self, fields: Fields) -> None:
        """Read it.

        Raises:
            MalformedMessageError: A field is missing its type, or out of bounds.
        """
        self.name = fields.text("Name")
        self.ip = fields.raw("Addr", 16)
        self.port = fields.uint("Port", 16)
        self.meta = fields.raw("Meta", MAX_META_BYTES)
        self.incarnation = fields.uint("Incarnation")
        self.state = fields.uint("State")
        self.versions = fields.raw("Vsn", _VERSIONS_BYTES)


def record_of(node: Node) -> dict[str, Any]:
    """Return what a full exchange says of ``node``."""
    return {
        "Name": node.name,
        "Addr": node.ip,
        "Port": node.port,
        "Meta": node.meta,
        "Incarnation": node.incarnation,
        "State": int(node.state),
        "Vsn": node.versions,
    }


def check_versions(nodes: Sequence[Node | RemoteNode]) -> None:
    """Check all nodes of both sides against what the alive ones understand.

    Raises:
        MalformedMessageError: Some node speaks a version that an alive one does not understand.
    """
    known = [node for node in nodes if len(node.versions) == _VERSIONS_BYTES]
    alive = [node.versions for node in known if node.state == State.ALIVE]
    if not alive:
        return
    for what, (low, high, current) in (("protocol", (0, 1, 2)), ("delegate protocol", (3, 4, 5))):
        lowest, highest = max(versions[low] for versions in alive), min(versions[high] for versions in alive)
        for node in known:
            if not lowest <= node.versions[current] <= highest:
                raise MalformedMessageError(
                    f"node {node.name!r}: {what} version {node.versions[current]} is outside [{lowest}, {highest}]"
                )
