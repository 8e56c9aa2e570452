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
        self._next_call = 0.0

    def started(self, name: str) -> None:
        """Take part, with all addresses for seeds: as somebody new, or after a crash at the same address."""
        self._network.add(name)
        for other in self._network.nodes:
            if other != name:
                self._network.join(name, other)

    def died(self, name: str) -> None:
        """End without a word."""
        if name in self._network.nodes:
            self._network.crash(name)

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Let the nodes probe and gossip until ``now``, and call on those of whom they have not heard, as agents do."""
        network = self._network
        network.heal()
        for source, target in cut:
            network.cut([source], [target], one_way=True)
        while network.now < now:
            network.run(min(now, max(self._next_call, network.now)) - network.now)
            if network.now >= self._next_call:
                self._next_call = network.now + CONFIG.reconnect_interval
                for name in network.running():
                    unheard_of = [other for other in network.nodes if not network.status(name, other)]
                    if unheard_of:
                        network.join(name, network.random.choice(unheard_of))

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
