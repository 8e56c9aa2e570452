"""Who sees whom: what decides which streams there are.

By itself the adversary opens and breaks streams, in more ways than any membership would. With gossip it does so through
the real one: nodes that crash, return and are cut off are noticed by probes, late or wrongly, and streams follow.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from proglog.gossip.config import GossipConfig
from proglog.gossip.events import MemberEvent, MemberEventKind
from proglog.testing.network import VirtualNetwork

HASTE = 10
"""Everything in gossip is so many times as fast as on a LAN: a life of half a minute is to have failures in it."""
_LAN = GossipConfig.lan()
CONFIG = replace(
    _LAN,
    probe_interval=_LAN.probe_interval / HASTE,
    probe_timeout=_LAN.probe_timeout / HASTE,
    gossip_interval=_LAN.gossip_interval / HASTE,
    push_pull_interval=_LAN.push_pull_interval / HASTE,
    reconnect_interval=_LAN.reconnect_interval / HASTE,
    gossip_to_the_dead=_LAN.gossip_to_the_dead / HASTE,
    tcp_timeout=_LAN.tcp_timeout / HASTE,
)
_JOIN_RETRY = 0.2
"""Seconds between two tries of a node that sees nobody."""


class Membership(Protocol):
    """What a cluster asks and tells."""

    def started(self, name: str) -> None:
        """A node runs."""
        ...

    def died(self, name: str) -> None:
        """It does not, any more."""
        ...

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Let time pass, with nothing going through in some directions."""
        ...

    def sees(self, observer: str, name: str) -> bool:
        """Return whether a node takes another one for alive."""
        ...


class Everybody:
    """Everybody sees everybody, all the time."""

    def started(self, name: str) -> None:
        """Nobody has to be told."""

    def died(self, name: str) -> None:
        """Nobody has to be told."""

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Time changes nothing."""

    def sees(self, observer: str, name: str) -> bool:
        """Return whether they are two."""
        return observer != name


class Gossip:
    """A real :class:`proglog.gossip.serf.Serf` at every node, on a network that loses and repeats."""

    def __init__(self, seed: int) -> None:
        """Start without nodes; all chance comes from ``seed``."""
        self._network = VirtualNetwork(seed=seed, config=CONFIG, loss=0.02, duplication=0.02)
        self._next_join = 0.0

    def started(self, name: str) -> None:
        """Take part, knowing nobody: as somebody new, or after a crash at the same address."""
        self._network.add(name)
        self._join(name)

    def died(self, name: str) -> None:
        """End without a word."""
        if name in self._network.nodes:
            self._network.crash(name)

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Let the nodes probe and gossip until ``now``; who sees nobody calls on those it may know."""
        network = self._network
        network.heal()
        for source, target in cut:
            network.cut([source], [target], one_way=True)
        while network.now < now:
            network.run(min(now, max(self._next_join, network.now)) - network.now)
            if network.now >= self._next_join:
                self._next_join = network.now + _JOIN_RETRY
                for name in network.running():
                    if not any(self.sees(name, other) for other in network.nodes):
                        self._join(name)

    def sees(self, observer: str, name: str) -> bool:
        """Return whether ``observer`` has ``name`` for alive; suspects are."""
        return observer != name and self._network.status(observer, name) == "alive"

    def told(self, kind: MemberEventKind) -> int:
        """Return how often a node that still runs said so of another."""
        return sum(
            isinstance(event, MemberEvent) and event.kind is kind
            for node in self._network.nodes.values()
            for _, event in node.events
        )

    def _join(self, name: str) -> None:
        for other in self._network.nodes:
            if other != name:
                self._network.join(name, other)
