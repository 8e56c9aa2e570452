"""Findings about the node that answered: its log, its disk, what is under way, its certificate and its conditions. Pure."""

from collections.abc import Iterator

from proglog.observe.event_findings import BY_STATUS_NAME, Lasting, Severity
from proglog.observe.facts import Facts
from proglog.observe.finding import Finding
from proglog.observe.plausible import free_share, implausible
from proglog.observe.words import bytes_words, duration_words
from proglog.wire.model import IndexState

_DAY_MS = 86_400_000
STUCK_MS, STUCK_CRITICAL_MS = 1_000, 10_000
"""From when on an operation that is under way is a finding, and from when on a critical one."""
_STUCK_DISK = "Check the device of its data directory: is it frozen, failing or overloaded?"
_STUCK_MEMBER = "Check that member and the network between the two: does it hang, is it overloaded, are packets lost?"
_APPENDS = "Appends wait behind it."
_BEHIND = {
    "read": "Readers and copies of this node's records wait behind it.",
    "full exchange": "Changes of members reach one of the two late.",
    "repair": "Records lost to damage stay lost here until another member gives them.",
}
_TRIED_AGAIN = "The agent retries, and this clears when it succeeds. Check its disk and its limits."
_PROBLEM_ADVICE = {"later-version": "Run this agent with the version of proglog that wrote the directory."}
_APART = (
    "Names and addresses must be unique in a cluster, one seed must answer, and gossip needs its port open for UDP and TCP,"
    " both ways. The agent retries."
)
_MEMBERSHIP_ADVICE = {
    "encryption": "Restart every agent with --encrypt-mode send, then every agent without the flag.",
    "health": "Check this machine's load and its network: until then it takes longer to find a failed member.",
}


def log_state(facts: Facts) -> Iterator[Finding]:
    """Yield that the log takes no appends."""
    advice = {
        "full": "Free space on its device, or set a retention limit: appends resume by themselves.",
        "read-only": "Check its device and remount it writable: appends resume by themselves.",
        "poisoned": "Restart the agent: it recovers what is durable. Check the disk.",
        "closed": "The agent is stopping.",
    }
    state, detail = facts.snapshot.log.state, facts.snapshot.log.state_detail
    if state in advice:
        node = facts.snapshot.node
        yield Finding(
            key=f"log-state/{node.name}",
            severity=Severity.CRITICAL,
            subject=node.name,
            cause=f"log is {state}" + (f": {detail}" if detail else ""),
            advice=advice[state],
            effect="This node appends nothing; durable records are still read and copied.",
            unready=True,
        )


def log_problems(facts: Facts) -> Iterator[Finding]:
    """Yield each problem of the log or its disk that leaves appends possible."""
    node = facts.snapshot.node.name
    for problem in facts.snapshot.log.problems:
        lasted = facts.age(problem.since_ms)
        yield Finding(
            key=f"log-problem/{node}/{problem.key}",
            severity=Severity.WARNING,
            subject=node,
            cause=f"{problem.detail}, for {duration_words(lasted / 1000)}",
            advice=_PROBLEM_ADVICE.get(problem.key, _TRIED_AGAIN),
            since_ms=lasted,
        )


def stuck(facts: Facts) -> Iterator[Finding]:
    """Yield each operation that has been under way for longer than it should.

    What waits for the node's own disk makes it unready. What waits for another member does not: one that hangs would
    otherwise make every other one unready.
    """
    node = facts.snapshot.node.name
    for operation in facts.snapshot.log.operations:
        lasted, bound = facts.age(operation.since_ms), max(operation.bound_ms, STUCK_MS)
        if lasted <= bound:
            continue
        critical, other = lasted > max(STUCK_CRITICAL_MS, 2 * bound), operation.waits_for
        what = operation.what + (f" (in its {operation.step})" if operation.step else "")
        yield Finding(
            key=f"stuck/{node}/{operation.what}" + (f"/{other}" if other else ""),
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            subject=node,
            cause=f"waits for {other or 'its disk'}: {what}, for {duration_words(lasted / 1000)}",
            advice=_STUCK_MEMBER if other else _STUCK_DISK,
            effect=_BEHIND.get(
                operation.what, f"What {node} asked {other} for does not arrive." if other else _APPENDS
            ),
            since_ms=lasted,
            unready=critical and not other,
        )


def membership(facts: Facts) -> Iterator[Finding]:
    """Yield why the node may not be in its cluster."""
    node = facts.snapshot.node
    for problem in node.membership_problems:
        yield Finding(
            key=f"membership/{node.name}/{problem.key}",
            severity=Severity.CRITICAL if problem.critical else Severity.WARNING,
            subject=node.name,
            cause=problem.detail,
            advice=_MEMBERSHIP_ADVICE.get(problem.key, _APART),
            effect="No other node may copy what is written here." if problem.critical else "",
            at_risk="Records acknowledged here in the meantime." if problem.critical else "",
            since_ms=facts.age(problem.since_ms),
            verb="members",
            unready=problem.unready,
        )


def damage(facts: Facts) -> Iterator[Finding]:
    """Yield the damaged ranges that nobody has accepted."""
    damaged = facts.snapshot.log.damaged
    if damaged:
        offsets = sum(part.end_offset - part.start_offset for part in damaged)
        first = damaged[0]
        yield Finding(
            key=f"log-damaged/{facts.snapshot.node.name}",
            severity=Severity.CRITICAL,
            subject=facts.snapshot.node.name,
            cause=f"cannot read {offsets:,} offsets from {first.start_offset:,} on: {first.detail}",
            advice="Copies are restored from peers that hold them. For what no peer holds: `proglog losses accept`.",
        )


def disk(facts: Facts) -> Iterator[Finding]:
    """Yield that the disk is nearly full."""
    log, limit = facts.snapshot.log, facts.limits.disk_free_ratio
    free = free_share(log)
    if free is not None and free < limit:
        yield Finding(
            key=f"disk-free/{facts.snapshot.node.name}",
            severity=Severity.CRITICAL if free < facts.limits.disk_free_ratio_critical else Severity.WARNING,
            subject=facts.snapshot.node.name,
            cause=f"disk has {free:.0%} free, {bytes_words(log.disk_free_bytes)}",
            advice="Free space or set a retention limit before appends are refused.",
        )


def certificate(facts: Facts) -> Iterator[Finding]:
    """Yield that the presented certificate is about to end, or has ended."""
    expires = facts.snapshot.node.certificate_expires_at_ms
    if expires is None:
        return
    left_ms, limit_ms = expires - facts.now_ms, facts.limits.certificate_days * _DAY_MS
    critical_ms = facts.limits.certificate_days_critical * _DAY_MS
    if left_ms < limit_ms:
        cause = f"certificate ends in {duration_words(left_ms / 1000)}" if left_ms > 0 else "certificate has ended"
        yield Finding(
            key=f"certificate/{facts.snapshot.node.name}",
            severity=Severity.CRITICAL if left_ms < critical_ms else Severity.WARNING,
            subject=facts.snapshot.node.name,
            cause=cause,
            advice="Issue a new one and restart the agent.",
        )


def nonsense(facts: Facts) -> Iterator[Finding]:
    """Yield what the node reports that cannot be."""
    node, named = facts.snapshot.node.name, implausible(facts.snapshot)
    if named:
        yield Finding(
            key=f"implausible/{node}",
            severity=Severity.WARNING,
            subject=node,
            cause=f"reports what cannot be: {'; '.join(named)}",
            advice="Is it the agent that it should be, and of this version? Compare with what the other members report.",
            effect="These values are not judged.",
        )


def policy(facts: Facts) -> Iterator[Finding]:
    """Yield that changed access rules were refused, and which ones stay in force."""
    node, held = facts.snapshot.node.name, facts.snapshot.node.policy
    if held is not None and held.refused:
        yield Finding(
            key=f"policy/{node}",
            severity=Severity.WARNING,
            subject=node,
            cause=f"refused changed access rules: {held.refused}",
            advice="Correct the file; the agent reloads it automatically.",
            effect=f"Generation {held.wanted} is wanted; generation {held.generation}, {held.rules:,} rules, has been in force"
            f" for {duration_words(facts.age(held.age_ms) / 1000)} and stays so; a restart would fail.",
            since_ms=facts.age(held.refused_ms),
        )


def indexes(facts: Facts) -> Iterator[Finding]:
    """Yield the segments without an index."""
    missing = [segment for segment in facts.snapshot.segments if segment.index_state is IndexState.MISSING]
    if missing:
        yield Finding(
            key="index-missing",
            verb="segments",
            severity=Severity.WARNING,
            subject=facts.snapshot.node.name,
            cause=f"{len(missing)} segment(s) without an index, from offset {missing[0].base_offset:,} on",
            advice="Reads scan these segments until the index is rebuilt at the next start.",
        )


def recovery(facts: Facts) -> Iterator[Finding]:
    """Yield what opening the log had to repair."""
    log, node = facts.snapshot.log, facts.snapshot.node
    if log.recovery:
        yield Finding(
            key=f"recovered/{facts.snapshot.node.name}",
            severity=Severity.INFO,
            subject=node.name,
            cause=f"repaired its log when it started: {log.recovery}",
            advice="Nothing to do: every acknowledged record is there.",
        )


def new_origin(facts: Facts) -> Iterator[Finding]:
    """Yield that the directory continues under a new origin."""
    node = facts.snapshot.node
    if node.origin_reason:
        yield Finding(
            key=f"new-origin/{node.name}",
            severity=Severity.INFO,
            subject=node.name,
            cause=f"began a new history: {node.origin_reason}",
            advice="Nothing to do if the directory was copied, or came back from a backup.",
        )


def conditions(facts: Facts) -> Iterator[Finding]:
    """Yield each event that is a finding of its own."""
    for condition in facts.snapshot.conditions:
        shown = BY_STATUS_NAME.get(condition.kind)
        if not isinstance(shown, Lasting):
            continue
        if shown.minutes is not None and facts.age(condition.last_ms) > shown.minutes * 60_000:
            continue
        times = f" ({condition.count:,} times)" if condition.count > 1 else ""
        detail = f": {condition.detail}" if condition.detail else ""
        yield Finding(
            key="/".join(filter(None, (condition.kind, condition.subject, condition.origin))),
            severity=shown.severity,
            subject=condition.subject,
            cause=f"{shown.cause}{times}{detail}",
            advice=shown.advice,
            effect=shown.effect,
            at_risk=shown.at_risk,
            since_ms=facts.age(condition.since_ms),
            verb=shown.verb,
        )
