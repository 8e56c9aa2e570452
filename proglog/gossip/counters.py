"""What the failure detector has counted since the start: how probes went, who was accused."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Grow only."""

    probes_direct: int = 0
    """Rounds in which the member answered itself, in time."""
    probes_relayed: int = 0
    """Rounds in which others had to ask, or the answer came late."""
    probes_tcp: int = 0
    """Rounds in which only TCP got an answer: UDP to that member, or back, is broken."""
    probes_missed: int = 0
    """Rounds without any answer."""
    suspicions: int = 0
    """Members that became suspect, whoever accused them."""
    refutations: int = 0
    """Times that this node had to contradict what was said of it."""
    conflicts: int = 0
    """Claims to the name of a member at another address."""
    malformed: int = 0
    """Messages that make no sense, or are not allowed."""
