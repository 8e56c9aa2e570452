"""Counters of gossip since the start: probe outcomes, suspicions, refutations, exchanges, flaps, events and queries."""

from collections.abc import Mapping
from dataclasses import dataclass

from proglog.gossip.lamport import ClockTimes

FLAP_SECONDS = 60.0


@dataclass(slots=True)
class Counters:
    """Counters that only grow."""

    probes_direct: int = 0
    """Rounds in which the member answered itself, in time."""
    probes_relayed: int = 0
    """Rounds in which others had to ask, or the answer came late."""
    probes_tcp: int = 0
    """Rounds in which only TCP got an answer: UDP to that member, or back, is broken."""
    probes_missed: int = 0
    """Rounds without any answer."""
    suspicions: int = 0
    """Members that became suspect, by this node's accusation or another's."""
    refutations: int = 0
    """Times that this node refuted a claim about itself."""
    conflicts: int = 0
    """Claims to the name of a member at another address."""
    malformed: int = 0
    """Messages that are malformed or not allowed."""
    exchanges: int = 0
    """Full exchanges that this node began or answered."""
    exchanges_failed: int = 0
    """Full exchanges that this node began in vain."""
    flaps: int = 0
    """Members that failed and came back within ``FLAP_SECONDS``."""
    user_events: int = 0
    """User events that were news, its own included."""
    queries: int = 0
    """Queries that were news, its own included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """The state of a node's gossip at one moment."""

    health_score: int
    """Its own health score: from 0, healthy, to ``awareness_max - 1``."""
    counters: Counters
    """Since the start."""
    queues: Mapping[str, int]
    """Messages that wait to be gossiped, by kind: ``members``, ``intents``, ``queries``, ``events``."""
    coordinate_resets: int
    """Times that its coordinate was reset."""
    clocks: ClockTimes
