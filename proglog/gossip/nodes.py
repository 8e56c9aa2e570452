"""The one table: the known nodes, their addresses, and the ring along which they are probed.

A new node takes a random place in the ring, and each round reshuffles it: every node is probed once a round, so a
failure is detected within a bounded time. At the end of a round, nodes gone for so long that the news has spread leave
the ring: the failure detector forgets them, and any claim about them is news. They stay in the table as members that
failed or left until they are reaped.

Source: SWIM, section 4.3; memberlist ``state.go`` (``resetNodes``).
"""

from collections.abc import Callable, Iterator
from random import Random

from proglog.gossip.config import GossipConfig, retransmit_limit
from proglog.gossip.member import Address, Former, Node
from proglog.gossip.timers import Timers

MAX_TOLD_IN_PERSON = 64


class Nodes:
    """One node's table of all nodes, itself included."""

    def __init__(
        self, own_name: str, config: GossipConfig, random: Random, timers: Timers, forgotten: Callable[[Node], None]
    ) -> None:
        """Start empty; ``forgotten`` is called with each member evicted to make room."""
        self.own_name = own_name
        self._config = config
        self._random = random
        self._timers = timers
        self._forgotten = forgotten
        self._by_name: dict[str, Node] = {}
        self._by_address: dict[Address, dict[str, None]] = {}
        self._ring: list[str] = []
        self._in_ring: dict[str, None] = {}
        self._next = 0

    def __len__(self) -> int:
        """Number of nodes that the failure detector knows: the ``n`` of its formulas."""
        return len(self._in_ring)

    def __iter__(self) -> Iterator[Node]:
        """The nodes that the failure detector knows."""
        return iter([self._by_name[name] for name in self._in_ring])

    def members(self) -> list[Node]:
        """Return the nodes that operators see, by name."""
        return sorted((node for node in self._by_name.values() if node.listed), key=lambda node: node.name)

    @property
    def own(self) -> Node:
        """This node."""
        return self._by_name[self.own_name]

    @property
    def transmit_limit(self) -> int:
        """Number of sends of one message in a cluster of this size."""
        return retransmit_limit(self._config.retransmit_mult, len(self))

    def get(self, name: str) -> Node | None:
        """Return the node of that name, unless unknown or forgotten."""
        return self._by_name.get(name)

    def is_in_ring(self, node: Node) -> bool:
        """Return whether the failure detector knows it."""
        return node.name in self._in_ring

    def member_at(self, address: Address) -> Node | None:
        """Return a live node at ``address``."""
        for name in self._by_address.get(address, ()):
            node = self._by_name[name]
            if not node.gone:
                return node
        return None

    def was_at(self, address: Address) -> bool:
        """Return whether a node is at ``address``, or was when it went."""
        return address in self._by_address

    def has_room(self) -> bool:
        """Return whether the table has room for one more name; evict the member gone longest if needed."""
        if len(self._by_name) < self._config.max_nodes:
            return True
        old = [node for name, node in self._by_name.items() if name not in self._in_ring]
        if not old:
            return False
        node = min(old, key=lambda node: node.changed_at)
        self.remove(node)
        self._forgotten(node)
        return True

    def add(self, node: Node) -> None:
        """Add ``node`` to the table and to the ring."""
        self._by_name[node.name] = node
        self._by_address.setdefault(node.address, {})[node.name] = None
        if node.name not in self._in_ring:
            self._in_ring[node.name] = None
            self._ring.insert(self._random.randint(0, len(self._ring)), node.name)

    def move(self, node: Node, ip: bytes, port: int) -> None:
        """Move ``node`` to another address."""
        self._leave_address(node)
        until = self._timers.now + self._config.gossip_to_the_dead
        node.former = Former(node.ip, node.port, node.incarnation, until)
        node.ip, node.port = ip, port
        self._by_address.setdefault(node.address, {})[node.name] = None

    def unlist(self, node: Node) -> None:
        """Hide it from operators; the failure detector may still remember that it is gone."""
        node.listed = False
        if node.name not in self._in_ring:
            self.remove(node)

    def remove(self, node: Node) -> None:
        """Remove it entirely."""
        del self._by_name[node.name]
        self._leave_address(node)
        if self._in_ring.pop(node.name, self) is not self:
            self._ring.remove(node.name)

    def others_alive(self) -> list[Node]:
        """Return the live nodes other than this one."""
        return [node for node in self if node.name != self.own_name and not node.gone]

    def told_in_person(self) -> list[Node]:
        """Return the members that a leaving node notifies directly: gossip may miss one, or come late."""
        return self.pick(MAX_TOLD_IN_PERSON, lambda node: not node.gone)

    def pick(self, count: int, accept: Callable[[Node], bool]) -> list[Node]:
        """Return up to ``count`` random others that ``accept`` accepts."""
        nodes = [node for node in self if node.name != self.own_name and accept(node)]
        return self._random.sample(nodes, min(count, len(nodes)))

    def is_long_gone(self, node: Node) -> bool:
        """Return whether ``node`` is dead for so long that it no longer gets gossip."""
        return node.gone and self._timers.now - node.changed_at > self._config.gossip_to_the_dead

    def next_to_probe(self) -> Node | None:
        """Return the next live node along the ring other than this one; ``None`` if there is none."""
        for _ in range(len(self._ring) + 1):
            if self._next >= len(self._ring):
                self._wrap()
            node = self._by_name[self._ring[self._next]]
            self._next += 1
            if node.name != self.own_name and not node.gone:
                return node
        return None

    def _wrap(self) -> None:
        """Drop nodes that are long gone, and reshuffle the ring."""
        for node in [node for node in self if node.name != self.own_name and self.is_long_gone(node)]:
            del self._in_ring[node.name]
            node.incarnation, node.former = 0, None
            if not node.listed:
                self.remove(node)
        self._ring = list(self._in_ring)
        self._random.shuffle(self._ring)
        self._next = 0

    def _leave_address(self, node: Node) -> None:
        names = self._by_address.get(node.address, {})
        names.pop(node.name, None)
        if not names:
            self._by_address.pop(node.address, None)
