"""The nine rules of replication as switches: a simulation that does not fail without one does not test it."""

from dataclasses import dataclass, field

from proglog.replication.planner import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which rules hold. Numbers as in docs/concepts/replication.md."""

    sequences_survive_copying: bool = True
    """1. A copy keeps its identity. Without: the original's copies of copies."""
    durable_only: bool = True
    """2. Only what is synced is served and told."""
    honest_disks: bool = True
    """2 rests on it: what is synced stays."""
    new_origins: bool = True
    """3. A directory that was rolled back or cloned goes on under a new origin."""
    gaps_are_told: bool = True
    """4. After a hole every other source is asked; only then a gap is written down. Without: holes are passed over."""
    absent_are_waited_for: bool = True
    """4. A gap is written only when no member that is away may hold what is missing."""
    derived_positions: bool = True
    """5. What a node has is read from its log. Without: a cursor, saved when data comes in."""
    durable_floors: bool = True
    """5. What retention removed is recorded before it goes."""
    relay: bool = True
    """6. Every node serves every origin it holds."""
    patience: Patience = field(default_factory=Patience)
    """4 and 6. When a source is given up, and when a gap is written."""
    chains: bool = True
    """7. Batches carry the checksum of their origin's history, and it is compared."""
    durable_reports: bool = True
    """8. Followers report what is durable. Without: what came in."""
    push: bool = True
    """9. What becomes durable is pushed. Without: a source answers a want once."""


class Violation(AssertionError):  # noqa: N818 - it is no error of the program, but what the simulation looks for
    """An invariant does not hold."""
