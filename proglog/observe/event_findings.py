"""Which finding shows an event: every event of level warning and above has one, or a reason to have none.

A state that lasts is judged by a rule of :mod:`proglog.observe.health`, from the state itself. An event without such a
state is a condition of its node: until another event ends it, or for as long as is written here. ``docs/reference/
events.md`` has this table.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proglog.telemetry.emit import EventKind  # importing it brings structlog: 20 ms at each start of a verb


class Severity(IntEnum):
    """How bad; the worst sorts last."""

    OK = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """The state that the event began or ended is a fact of its own."""

    rule: str
    """Of :mod:`proglog.observe.health`."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """No finding shows it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """The event is a finding of its own."""

    severity: Severity
    cause: str
    """What is wrong, to be read after the subject; the event's detail follows."""
    advice: str
    effect: str = ""
    at_risk: str = ""
    verb: str = "status"
    minutes: float | None = None
    """After the last of its kind; ``None``: until an event ends it, or the agent does."""
    kept: bool = False
    """Whether the data directory remembers it: then the next life of the agent says it, too."""


_ENDING = Exempt("The agent ends: nobody can ask it. Its exit code says so, and its members see it leave or fail.")
_HOUR = 60.0
_BUG = "Report it with the lines of telemetry that name it."

EVENT_FINDINGS: dict[str, Shown | Exempt | Lasting] = {
    "agent_stop_step_failed": _ENDING,
    "task_failed": _ENDING,
    "leave_timed_out": _ENDING,
    "log_recovered": Shown("recovered"),
    "log_full": Shown("log-state"),
    "log_read_only": Shown("log-state"),
    "log_poisoned": Shown("log-state"),
    "log_problem": Shown("log-problem"),
    "log_damaged": Shown("log-damaged"),
    "range_refill_failed": Shown("log-damaged"),
    "damage_unseen": Shown("log-damaged"),
    "own_origin_ahead": Shown("new-origin"),
    "origin_cloned": Shown("new-origin"),
    "peer_check_incomplete": Lasting(
        severity=Severity.INFO,
        cause="started without a word from every member it knew",
        advice="Nothing to do, unless its directory came from a backup: then look at what its members say.",
        effect="A restored directory is found when the missing member comes back.",
        minutes=_HOUR,
    ),
    "replication_error": Shown("stream-down"),
    "replication_source_set_aside": Shown("no-source"),
    "replication_forked": Lasting(
        severity=Severity.CRITICAL,
        cause="and this node hold two histories of one origin",
        advice="Keep both directories. Export what only one of them has with `proglog consume`, and produce it again.",
        effect="No more of that origin is copied here.",
        at_risk="Acknowledged records that one side has and the other will never get.",
        verb="lag",
        kept=True,
    ),
    "replication_waits": Lasting(
        severity=Severity.CRITICAL,
        cause="is away, and may hold records that nobody else has",
        advice="Bring it back. If it is gone for good, remove it with `proglog force-leave --prune`: then this node goes on"
        " after a gap.",
        effect="No more of that origin is copied here meanwhile.",
        at_risk="These records, if that member does not come back.",
        verb="lag",
    ),
    "replication_gap": Lasting(
        severity=Severity.WARNING,
        cause="and this node differ by a gap that was accepted here",
        advice="A node that has those records came too late: wipe this copy to fetch them from it. To accept the loss, stop"
        " the agent and remove the file `conditions` from its directory.",
        effect="This node is not a whole copy, though no lag is left.",
        at_risk="The records of the gap: no node that could be reached had them.",
        verb="lag",
        kept=True,
    ),
    "replication_trimmed": Lasting(
        severity=Severity.INFO,
        cause="was the source when this copy began after what retention had removed",
        advice="Nothing to do, unless a member that is away keeps more.",
        verb="lag",
    ),
    "member_failed": Shown("member-failed"),
    "member_name_conflict": Shown("membership"),
    "name_contested": Shown("membership"),
    "name_lost": Shown("membership"),
    "member_handler_failed": Lasting(
        severity=Severity.WARNING, cause="changed, and reacting to that met a bug", advice=_BUG, minutes=_HOUR
    ),
    "known_members_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot keep the addresses of its members",
        advice="Check its data directory, and give it seeds.",
        effect="Its next start needs seeds to find the cluster.",
        minutes=_HOUR,
    ),
    "keyring_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot keep the gossip keys that the cluster changed",
        advice="Check its data directory, or put the keys into --encrypt-file.",
        effect="Its next start may have keys that the cluster no longer uses.",
        minutes=_HOUR,
    ),
    "event_handler_failed": Lasting(
        severity=Severity.WARNING,
        cause="failed as a script for events",
        advice="Run it by hand with the variables of docs/guides/membership.md; telemetry has what it said.",
        minutes=_HOUR,
    ),
    "conditions_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot keep what is known to be missing in it",
        advice="Check its data directory.",
        effect="A restart may hide forks and gaps.",
        minutes=_HOUR,
    ),
    "join_failed": Shown("membership"),
    "gossip_step_failed": Lasting(
        severity=Severity.WARNING, cause="met a bug in its gossip", advice=_BUG, minutes=_HOUR
    ),
    "gossip_malformed": Lasting(
        severity=Severity.WARNING,
        cause="gets gossip that makes no sense",
        advice="Look for a member with another gossip key, or a program that calls the wrong port.",
        effect="Whoever sends it is not heard.",
        verb="members",
        minutes=3.0,
    ),
    "telemetry_dropped": Lasting(
        severity=Severity.WARNING,
        cause="dropped lines of telemetry that nobody read",
        advice="Have something read its stderr.",
        minutes=10.0,
    ),
    "rpc_failed": Lasting(
        severity=Severity.WARNING, cause="met a bug in a call", advice=_BUG, effect="That call failed.", minutes=_HOUR
    ),
    "policy_rejected": Lasting(
        severity=Severity.WARNING,
        cause="refused changed access rules",
        advice="Correct the file: it is read again by itself.",
        effect="The rules before them are in force; a restart would fail.",
    ),
    "clock_jumped": Lasting(
        severity=Severity.WARNING,
        cause="had its clock set",
        advice="Compare it with the clocks of the other members: is it right now, and is something keeping it so?",
        effect="Times of records, retention by age and the ends of certificates go by this clock.",
        minutes=_HOUR,
    ),
    "retention_near": Lasting(
        severity=Severity.WARNING,
        cause="has not copied what retention is about to remove here",
        advice="Have it catch up, or set a higher retention limit until it has.",
        effect="Its copy will have a gap.",
        at_risk="Those records, if no other node has them.",
        verb="lag",
    ),
    "certificate_aging": Lasting(
        severity=Severity.WARNING,
        cause="is about to end",
        advice="Issue another one and replace the file: it is read again at the next connection.",
    ),
    "certificate_ended": Lasting(
        severity=Severity.CRITICAL,
        cause="is of no use",
        advice="Issue another one and replace the file: it is read again at the next connection.",
        effect="No new connection that needs it is made; streams that are open go on.",
    ),
    "certificate_expires": Shown("certificate"),
    "certificate_rejected": Lasting(
        severity=Severity.WARNING,
        cause="refused changed TLS files",
        advice="Correct the files: they are read again at the next connection.",
        effect="The certificate before them is served until it ends; a restart would fail.",
    ),
}
"""By the event's name."""


def is_condition(kind: "EventKind") -> bool:
    """Return whether an event is a condition of its node from when it happens."""
    return isinstance(EVENT_FINDINGS.get(kind.name), Lasting)


def shown_by(kind: "EventKind") -> str:
    """Return the finding that shows an event, or why none does; for the page of events."""
    match EVENT_FINDINGS.get(kind.name):
        case Shown(rule):
            return f"`{rule}`"
        case Lasting() as lasting:
            span = "until it ends" if lasting.minutes is None else f"for {lasting.minutes:g} min"
            span = "kept over restarts" if lasting.kept else span
            return f"`{kind.status_name}`, {lasting.severity.name.lower()}, {span}"
        case Exempt(reason):
            return f"none: {reason}"
        case None:
            return ""


BY_STATUS_NAME = {name.replace("_", "-"): shown for name, shown in EVENT_FINDINGS.items()}
"""The same by the name that the status has."""
