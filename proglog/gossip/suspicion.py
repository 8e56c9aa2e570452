"""The time that a suspect has to refute: the more nodes confirm, the shorter.

::

    timeout = max(shortest, longest - (longest - shortest) * log(c + 1) / log(k + 1))      c of k confirmations

Source: Lifeguard, section 4.2; memberlist ``suspicion.go``.
"""

import math

from proglog.gossip.config import GossipConfig


class Suspicion:
    """One running suspicion. The first accuser started it; every *other* one confirms, up to ``expected``."""

    def __init__(self, config: GossipConfig, *, nodes: int, accuser: str) -> None:
        """Start it in a cluster of ``nodes`` known nodes."""
        self.shortest = config.suspicion_mult * max(1.0, math.log10(max(1, nodes))) * config.probe_interval
        self.longest = config.suspicion_max_mult * self.shortest
        expected = config.suspicion_mult - 2
        self.expected = 0 if nodes - 2 < expected else expected
        self._accusers = [accuser]

    @property
    def confirmations(self) -> int:
        """Accusers after the first."""
        return len(self._accusers) - 1

    @property
    def accusers(self) -> tuple[str, ...]:
        """The accusers, the first one first."""
        return tuple(self._accusers)

    @property
    def timeout(self) -> float:
        """Seconds from the start until the suspect is declared dead."""
        if self.expected <= 0:
            return self.shortest
        share = math.log(self.confirmations + 1) / math.log(self.expected + 1)
        seconds = self.longest - (self.longest - self.shortest) * share
        return max(self.shortest, math.floor(seconds * 1000) / 1000)

    def confirm(self, accuser: str) -> bool:
        """Count ``accuser``; return whether it was news."""
        if self.confirmations >= self.expected or accuser in self._accusers:
            return False
        self._accusers.append(accuser)
        return True
