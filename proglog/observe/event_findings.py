"""The finding for each event: every event of level warning and above has one, or a reason to have none.

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
    """Whether the data directory keeps it, so that the agent reports it again after a restart."""
    per_origin: bool = False
    """Whether a subject may have several, one for each origin."""


_ENDING = Exempt("The agent stops and cannot answer. Its exit code says so, and other members see it leave or fail.")
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
    "damage_repaired": Lasting(
        severity=Severity.WARNING,
        cause="had damage on its disk, and restored the records from other members",
        advice="Check that disk: what changed once changes again. Then end this: `proglog losses accept repaired --reason ...`.",
        effect="No record is lost.",
        at_risk="Records of which no other member has a copy, when the disk does it again.",
        verb="losses list",
        kept=True,
    ),
    "own_origin_ahead": Shown("new-origin"),
    "origin_cloned": Shown("new-origin"),
    "own_origin_claimed": Lasting(
        severity=Severity.CRITICAL,
        cause="says that this node's directory has a double, and cannot prove it",
        advice="If the directory was restored or copied, stop this node, remove the file `origin` from its directory and"
        " start it again. If it was not, that member is not what it should be: withdraw its certificate's rights.",
        effect="That member does not count as a copy of this node's records.",
        at_risk="If it is so: records that this node acknowledges and no other node takes.",
        verb="lag",
        minutes=10.0,
    ),
    "peer_check_incomplete": Lasting(
        severity=Severity.INFO,
        cause="started before every member it knew had answered",
        advice="Nothing to do, unless its directory came from a backup: then check what the other members report.",
        effect="A restored directory is detected only when the missing member comes back.",
        minutes=_HOUR,
    ),
    "replication_error": Shown("stream-down"),
    "replication_source_set_aside": Shown("no-source"),
    "replication_forked": Lasting(
        severity=Severity.CRITICAL,
        cause="and this node hold two histories of one origin",
        advice="Keep both directories. On the side whose records the other lacks, `proglog losses export ORIGIN:START:END`"
        " writes them and `proglog produce --format jsonl` appends them again. Then `proglog losses accept ORIGIN` on both sides.",
        effect="No more of that origin is copied here.",
        at_risk="Acknowledged records that one side has and the other will never get.",
        verb="lag",
        kept=True,
        per_origin=True,
    ),
    "fork_accepted": Lasting(
        severity=Severity.INFO,
        cause="and this node hold two histories of one origin; an operator accepted that",
        advice="Nothing to do.",
        verb="lag",
        kept=True,
        per_origin=True,
    ),
    "replication_waits": Lasting(
        severity=Severity.CRITICAL,
        cause="is away, and may hold records that no other node has",
        advice="Bring it back. If it is gone for good, remove it with `proglog force-leave --prune`: this node then continues"
        " after a gap, which heals should the records turn up.",
        effect="Until then this node copies no more of that origin.",
        at_risk="These records, if that member does not come back.",
        verb="lag",
    ),
    "replication_gap": Shown("log-damaged"),
    "replication_trimmed": Lasting(
        severity=Severity.INFO,
        cause="was the source when this copy began after records that retention had removed",
        advice="Nothing to do: from a member that keeps more, they are restored in place.",
        verb="lag",
    ),
    "member_failed": Shown("member-failed"),
    "member_name_conflict": Shown("membership"),
    "name_contested": Shown("membership"),
    "name_lost": Shown("membership"),
    "member_handler_failed": Lasting(
        severity=Severity.WARNING, cause="changed, and handling the change hit a bug", advice=_BUG, minutes=_HOUR
    ),
    "known_members_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot store the addresses of its members",
        advice="Check its data directory, and give it seeds.",
        effect="Its next start needs seeds to find the cluster.",
        minutes=_HOUR,
    ),
    "keyring_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot store the gossip keys that the cluster changed",
        advice="Check its data directory, or put the keys into --encrypt-file.",
        effect="Its next start may have keys that the cluster no longer uses.",
        minutes=_HOUR,
    ),
    "event_handler_failed": Lasting(
        severity=Severity.WARNING,
        cause="failed as an event script",
        advice="Run it by hand with the variables of docs/guides/membership.md; telemetry has its output.",
        minutes=_HOUR,
    ),
    "conditions_lost": Lasting(
        severity=Severity.WARNING,
        cause="cannot store which records it is known to miss",
        advice="Check its data directory.",
        effect="A restart may hide forks.",
        minutes=_HOUR,
    ),
    "join_failed": Shown("membership"),
    "gossip_step_failed": Lasting(
        severity=Severity.WARNING, cause="hit a bug in its gossip", advice=_BUG, minutes=_HOUR
    ),
    "gossip_malformed": Lasting(
        severity=Severity.WARNING,
        cause="receives malformed gossip",
        advice="Look for a member with another gossip key, or a program that calls the wrong port.",
        effect="The sender's messages are ignored.",
        verb="members",
        minutes=3.0,
    ),
    "telemetry_dropped": Lasting(
        severity=Severity.WARNING,
        cause="dropped lines of telemetry that no reader took",
        advice="Have a program read its stderr.",
        minutes=10.0,
    ),
    "rpc_failed": Lasting(
        severity=Severity.WARNING, cause="hit a bug in a call", advice=_BUG, effect="That call failed.", minutes=_HOUR
    ),
    "policy_rejected": Shown("policy"),
    "policy_failed": Lasting(
        severity=Severity.WARNING,
        cause="cannot evaluate one of its access rules",
        advice="Correct the matcher of the model, or the rule; the agent reloads the files automatically.",
        effect="What it should decide is denied.",
        minutes=_HOUR,
    ),
    "clock_jumped": Lasting(
        severity=Severity.WARNING,
        cause="had its clock set",
        advice="Compare it with the clocks of the other members: is it right now, and is it synchronized?",
        effect="Record times, retention by age and certificate expiry depend on this clock.",
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
        cause="is about to expire",
        advice="Issue another one and replace the file: it is read again at the next connection.",
    ),
    "certificate_ended": Lasting(
        severity=Severity.CRITICAL,
        cause="is no longer valid",
        advice="Issue another one and replace the file: it is read again at the next connection.",
        effect="New connections that need it fail; open streams continue.",
    ),
    "certificate_expires": Shown("certificate"),
    "certificate_rejected": Lasting(
        severity=Severity.WARNING,
        cause="refused changed TLS files",
        advice="Correct the files: they are read again at the next connection.",
        effect="The previous certificate is served until it expires; a restart would fail.",
    ),
}
"""By the event's name."""


def is_condition(kind: "EventKind") -> bool:
    """Return whether an event is a condition of its node from when it happens."""
    return isinstance(EVENT_FINDINGS.get(kind.name), Lasting)


def shown_by(kind: "EventKind") -> str:
    """Return the finding that shows an event, or why none does; for the reference of events."""
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
"""The same, by the event's name in the status."""
