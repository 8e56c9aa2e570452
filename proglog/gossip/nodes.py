"""The nodes that are known, and the ring along which they are probed.

A new node takes a random place in the ring, and each round has another order: every node is probed once a round, so that
a failure is noticed within a bounded time, and neighbours do not stay neighbours. At the end of a round, nodes that are
gone for so long that everybody has heard it are forgotten.

Source: SWIM, section 4.3; memberlist ``state.go`` (``resetNodes``).
"""

from collections.abc import Callable, Iterator
from random import Random

from proglog.gossip.config import GossipConfig, retransmit_limit
from proglog.gossip.member import Node
from proglog.gossip.timers import Timers

MAX_TOLD_IN_PERSON = 64


class Nodes:
    """One node's table of all nodes, itself included."""

    def __init__(self, own_name: str, config: GossipConfig, random: Random, timers: Timers) -> None:
        """Start empty."""
        self.own_name = own_name
        self._config = config
        self._random = random
        self._timers = timers
        self._by_name: dict[str, Node] = {}
        self._ring: list[str] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._by_name.values())

    @property
    def own(self) -> Node:
        """This node."""
        return self._by_name[self.own_name]

    @property
    def is_full(self) -> bool:
        """Whether one more would be one too many."""
        return len(self._by_name) >= self._config.max_nodes

    @property
    def transmit_limit(self) -> int:
        """How often a message is sent among so many."""
        return retransmit_limit(self._config.retransmit_mult, len(self._by_name))

    def get(self, name: str) -> Node | None:
        """Return the node of that name, if it is known."""
        return self._by_name.get(name)

    def add(self, node: Node) -> None:
        """Know ``node`` from now on, and probe it."""
        self._by_name[node.name] = node
        self._ring.insert(self._random.randint(0, len(self._ring)), node.name)

    def others_alive(self) -> list[Node]:
        """Return the nodes that are not this one, and not gone."""
        return [node for node in self if node.name != self.own_name and not node.gone]

    def told_in_person(self) -> list[Node]:
        """Return the members that a leaving node tells itself: gossip alone may miss one, or come late."""
        return self.pick(MAX_TOLD_IN_PERSON, lambda node: not node.gone)

    def pick(self, count: int, accept: Callable[[Node], bool]) -> list[Node]:
        """Return up to ``count`` random others that ``accept`` likes."""
        nodes = [node for node in self if node.name != self.own_name and accept(node)]
        return self._random.sample(nodes, min(count, len(nodes)))

    def is_long_gone(self, node: Node) -> bool:
        """Return whether ``node`` is dead for so long that nobody has to tell it any more."""
        return node.gone and self._timers.now - node.changed_at > self._config.gossip_to_the_dead

    def next_to_probe(self) -> Node | None:
        """Return the next along the ring that is not this one, and not gone; ``None``: there is none."""
        for _ in range(len(self._ring) + 1):
            if self._next >= len(self._ring):
                self._wrap()
            node = self._by_name[self._ring[self._next]]
            self._next += 1
            if node.name != self.own_name and not node.gone:
                return node
        return None

    def _wrap(self) -> None:
        """Forget those long gone, and go round in another order."""
        for name in [node.name for node in self if node.name != self.own_name and self.is_long_gone(node)]:
            del self._by_name[name]
            self._ring.remove(name)
        self._random.shuffle(self._ring)
        self._next = 0
