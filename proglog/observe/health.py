"""The model of health: facts in, findings out.

A snapshot holds the facts. A finding names its subject, the cause, since when, the effect, what is at risk and the
remedy. ``check``, ``status``, the ready line, the dashboard, the metrics and the gRPC health service read only findings,
so they never disagree.

Each rule is a function from the facts to findings, in one table. Limits have hysteresis: a finding that is raised stays
until its value falls below ``clear_ratio`` of the limit, so a lag that hovers around a limit does not blink. Pure: the
caller brings the snapshot, the time and what was raised before. Durations are the agent's, by its monotonic clock.
"""

from collections.abc import Callable, Iterable, Iterator

from proglog.observe import cluster_rules, lag, node_rules
from proglog.observe.event_findings import Severity
from proglog.observe.facts import Facts, Limits
from proglog.observe.finding import Finding
from proglog.observe.words import lag_words
from proglog.wire.model import ClusterSnapshot, MemberStatus

__all__ = ["RULES", "Finding", "Limits", "Severity", "copy_words", "findings", "own_findings", "ready", "worst"]

INCOMPLETE = ("no-source", "log-damaged", "replication-forked")
"""Rules whose findings say that records are missing, though no source may have more to give."""
_ALONE = "/alone"
"""Ends the key of the finding that no other member has answered."""


def findings(
    snapshot: ClusterSnapshot,
    now_ms: int | None = None,
    *,
    limits: Limits | None = None,
    raised: frozenset[str] = frozenset(),
) -> tuple[Finding, ...]:
    """Return what needs attention, the worst first.

    Args:
        snapshot: What an agent said.
        now_ms: The agent's clock now; ``None``: when the snapshot was taken.
        limits: From where on a value needs attention.
        raised: Keys of the findings raised before, for the hysteresis.
    """
    return _judge(RULES.values(), snapshot, now_ms, limits, raised)


def own_findings(
    snapshot: ClusterSnapshot, now_ms: int | None = None, *, limits: Limits | None = None
) -> tuple[Finding, ...]:
    """Return what an agent's word about itself says, and nothing about others; arguments as :func:`findings`."""
    return _judge((RULES[name] for name in _OWN), snapshot, now_ms, limits, frozenset())


def worst(found: Iterable[Finding]) -> Severity:
    """Return the worst severity there is."""
    return max((each.severity for each in found), default=Severity.OK)


def ready(found: Iterable[Finding]) -> bool:
    """Return whether a node should get writes."""
    return not any(each.unready for each in found)


def copy_words(snapshot: ClusterSnapshot, found: Iterable[Finding]) -> str:
    """Return how far a node's copies reach: *in step* only where nothing is known to be missing, and all were asked."""
    behind, rules = lag.of_node(snapshot), {each.rule for each in found}
    others = [member for member in snapshot.members if not member.local]
    unheard = others and all(member.status is not MemberStatus.ALIVE for member in others)
    if not behind.records and rules.intersection(INCOMPLETE):
        return "not a whole copy"
    if not behind.records and (unheard or "stream-down" in rules or any(each.key.endswith(_ALONE) for each in found)):
        return "not known to be in step"
    return lag_words(behind)


def _judge(
    rules: Iterable["_Rule"],
    snapshot: ClusterSnapshot,
    now_ms: int | None,
    limits: Limits | None,
    raised: frozenset[str],
) -> tuple[Finding, ...]:
    at = snapshot.taken_at_ms if now_ms is None else now_ms
    facts = Facts(snapshot=snapshot, now_ms=at, limits=limits or Limits(), raised=raised)
    found = [each for rule in rules for each in rule(facts)]
    return tuple(sorted(found, key=lambda each: (-each.severity, each.key)))


_Rule = Callable[[Facts], Iterator[Finding]]

RULES: dict[str, _Rule] = {
    "log-state": node_rules.log_state,
    "log-problem": node_rules.log_problems,
    "stuck": node_rules.stuck,
    "membership": node_rules.membership,
    "log-damaged": node_rules.damage,
    "disk-free": node_rules.disk,
    "member-failed": cluster_rules.members,
    "members-alive": cluster_rules.too_few,
    "stream-down": cluster_rules.streams,
    "no-source": cluster_rules.no_source,
    "lag": cluster_rules.lag,
    "not-copied": cluster_rules.not_copied,
    "peer-lag": cluster_rules.peer_lag,
    "certificate": node_rules.certificate,
    "policy": node_rules.policy,
    "implausible": node_rules.nonsense,
    "index-missing": node_rules.indexes,
    "recovered": node_rules.recovery,
    "new-origin": node_rules.new_origin,
    "conditions": node_rules.conditions,
    "copies": cluster_rules.copies,
}
"""By the name that the keys of its findings begin with; those of conditions begin with the event's."""

_OWN = (
    "log-state",
    "log-problem",
    "stuck",
    "membership",
    "log-damaged",
    "disk-free",
    "not-copied",
    "certificate",
    "policy",
    "implausible",
    "conditions",
)
