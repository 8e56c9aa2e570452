"""The nine rules of replication as switches: a simulation that passes without a rule does not test it."""

from dataclasses import dataclass, field

from proglog.replication.plan import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The active rules, numbered as in docs/concepts/replication.md."""

    sequences_survive_copying: bool = True
    """1. A copy keeps its identity. Without: copies are copied as new records."""
    durable_only: bool = True
    """2. Only synced data is served and reported."""
    honest_disks: bool = True
    """2 depends on it: synced data survives."""
    new_origins: bool = True
    """3. A rolled back or cloned directory switches to a new origin."""
    gaps_are_reported: bool = True
    """4. At a hole every other source is asked before a gap is recorded. Without: holes are skipped."""
    absent_are_waited_for: bool = True
    """4. A gap is recorded only when no absent member may hold the missing records."""
    gaps_heal: bool = True
    """4. What turns up later than a gap is restored. Without: a gap is for good."""
    derived_positions: bool = True
    """5. A node's progress is read from its log. Without: a cursor, saved when data arrives."""
    durable_floors: bool = True
    """5. What retention removes is recorded first."""
    relay: bool = True
    """6. Every node serves every origin it holds."""
    patience: Patience = field(default_factory=Patience)
    """4 and 6. The timeouts for giving up a source and for recording a gap."""
    chains: bool = True
    """7. Batches carry the checksum of their origin's history, and receivers compare it."""
    durable_reports: bool = True
    """8. Followers report durable progress. Without: received data."""
    push: bool = True
    """9. Data is pushed once durable. Without: a source answers a want once."""


class Violation(AssertionError):  # noqa: N818 - it is no error of the program, but what the simulation looks for
    """An invariant does not hold."""
