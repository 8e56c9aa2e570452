"""Membership of the simulated cluster: it determines the streams.

Without gossip the adversary opens and breaks streams directly, in more ways than any membership would. With gossip the
real protocol does: probes detect crashes, returns and partitions, late or wrongly, and streams follow.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from proglog.gossip.config import GossipConfig
from proglog.gossip.events import MemberEvent, MemberEventKind
from proglog.testing.network import VirtualNetwork

HASTE = 10
"""Factor by which gossip is faster than on a LAN, so that runs of half a minute see failures."""
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
    """The interface between a cluster and its membership."""

    def started(self, name: str) -> None:
        """Handle a node that started."""
        ...

    def died(self, name: str) -> None:
        """Handle a node that stopped."""
        ...

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Let time pass, without traffic in some directions."""
        ...

    def sees(self, observer: str, name: str) -> bool:
        """Return whether a node considers another one alive."""
        ...


class Everybody:
    """Every node sees every other, always."""

    def started(self, name: str) -> None:
        """Do nothing: membership is fixed."""

    def died(self, name: str) -> None:
        """Do nothing: membership is fixed."""

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Do nothing."""

    def sees(self, observer: str, name: str) -> bool:
        """Return whether they are two."""
        return observer != name


class Gossip:
    """A real :class:`proglog.gossip.serf.Serf` at every node, on a network that drops and duplicates."""

    def __init__(self, seed: int) -> None:
        """Start without nodes; all randomness comes from ``seed``."""
        self._network = VirtualNetwork(seed=seed, config=CONFIG, loss=0.02, duplication=0.02)
        self._next_call = 0.0

    def started(self, name: str) -> None:
        """Join with all addresses as seeds: as a new node, or after a crash at the same address."""
        self._network.add(name)
        for other in self._network.nodes:
            if other != name:
                self._network.join(name, other)

    def died(self, name: str) -> None:
        """Stop abruptly."""
        if name in self._network.nodes:
            self._network.crash(name)

    def advance(self, now: float, cut: Iterable[tuple[str, str]]) -> None:
        """Let the nodes probe and gossip until ``now``, and call missing members, as agents do."""
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
        """Return whether ``observer`` considers ``name`` alive; suspects count."""
        return observer != name and self._network.status(observer, name) == "alive"

    def told(self, kind: MemberEventKind) -> int:
        """Return how many events of ``kind`` the running nodes emitted."""
        return sum(
            isinstance(event, MemberEvent) and event.kind is kind
            for node in self._network.nodes.values()
            for _, event in node.events
        )
