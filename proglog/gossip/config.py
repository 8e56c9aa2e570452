"""Every setting of the protocol, with the names and defaults of memberlist's and Serf's configuration.

The timings that follow from them, for ``n`` known nodes::

    one probe              probe_interval * (health + 1)                          a sick node gives others more time
    suspicion, shortest    suspicion_mult * max(1, log10(n)) * probe_interval     lan, n <= 10:  4 s
    suspicion, longest     suspicion_max_mult * shortest                          lan, n <= 10: 24 s
    sends of one message   retransmit_mult * ceil(log10(n + 1))                   lan, n <= 9:   4
    full exchange every    push_pull_interval * (ceil(log2(n) - 5) + 1), n > 32   lan, n <= 32: 30 s

Timers never travel: nodes with different profiles form one cluster, and each judges by its own.

Source: memberlist ``config.go`` (``DefaultLANConfig`` and friends), serf ``config.go``.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

from proglog.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipConfig:
    """Timing and limits. Durations in seconds."""

    tcp_timeout: float = 10.0
    """Time limit of one stream, from connecting to the last byte of the reply."""
    indirect_checks: int = 3
    """Helpers that ping a node that did not answer."""
    retransmit_mult: int = 4
    """Sends of one message, as a multiple of the logarithm of the cluster's size."""
    suspicion_mult: int = 4
    """Shortest suspicion, as a multiple of the probe interval."""
    suspicion_max_mult: int = 6
    """Longest suspicion (without confirmations), as a multiple of the shortest."""
    push_pull_interval: float = 30.0
    """Interval of full exchanges with a random member."""
    probe_interval: float = 1.0
    """Interval of probes."""
    probe_timeout: float = 0.5
    """Longest round trip before helpers are asked."""
    awareness_max: int = 8
    """Upper bound of the health score, exclusive."""
    gossip_interval: float = 0.2
    """Interval of gossip rounds."""
    gossip_nodes: int = 3
    """Random members that one gossip round sends to."""
    gossip_to_the_dead: float = 30.0
    """How long a dead node still gets gossip, so that it can refute."""
    packet_bytes: int = 1400
    """Size up to which a datagram is filled."""
    max_nodes: int = 10_000
    """Most names in the table: a bound on memory."""
    broadcast_timeout: float = 0.6
    """Time limit of each of the two leave announcements (Serf: 5; here stopping is quick)."""
    leave_propagate_delay: float = 1.0
    """How long a node that left keeps answering pings, so that it isn't reported as failed."""
    reap_interval: float = 15.0
    """Interval of searches for members to forget."""
    recent_intent_timeout: float = 300.0
    """How long an intent about an unknown member waits for that member."""
    reconnect_interval: float = 8.0
    """Interval of calls to an address without a live member (Serf: 30; here a partition heals within ten seconds)."""
    reconnect_timeout: float = 86_400.0
    """A member failed for longer is forgotten, as is an address not given that had no live member for longer."""
    tombstone_timeout: float = 86_400.0
    """A member that left longer ago is forgotten."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"gossip {field.name} is {value}: expected a positive number")
        if self.probe_timeout >= self.probe_interval:
            raise ConfigError(
                f"gossip probe_timeout must be below probe_interval: {self.probe_timeout} against {self.probe_interval}"
            )

    @classmethod
    def profile(cls, name: str) -> Self:
        """Return the profile called ``lan``, ``wan`` or ``local``."""
        profiles = {"lan": cls.lan, "wan": cls.wan, "local": cls.local}
        return profiles[name]()

    @classmethod
    def lan(cls) -> Self:
        """Return the profile for one data centre, the default."""
        return cls()

    @classmethod
    def wan(cls) -> Self:
        """Return the profile for high latency: slower to accuse."""
        return cls(
            tcp_timeout=30.0,
            suspicion_mult=6,
            push_pull_interval=60.0,
            probe_interval=5.0,
            probe_timeout=3.0,
            gossip_interval=0.5,
            gossip_nodes=4,
            gossip_to_the_dead=60.0,
        )

    @classmethod
    def local(cls) -> Self:
        """Return the profile for loopback: quicker, but each message is sent less often, and gossip may miss a node."""
        return cls(
            tcp_timeout=1.0,
            indirect_checks=1,
            retransmit_mult=2,
            suspicion_mult=3,
            push_pull_interval=15.0,
            probe_timeout=0.2,
            gossip_interval=0.1,
            gossip_to_the_dead=15.0,
        )


def retransmit_limit(mult: int, nodes: int) -> int:
    """Return how often one message is sent in a cluster of ``nodes``."""
    return mult * math.ceil(math.log10(nodes + 1))


def push_pull_period(interval: float, nodes: int) -> float:
    """Return the seconds between full exchanges, stretched beyond 32 nodes to bound the whole cluster's load."""
    return interval if nodes <= 32 else interval * (math.ceil(math.log2(nodes) - 5) + 1)
