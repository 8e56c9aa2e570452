"""Findings about the cluster as a node sees it: its members, the streams to and from them, lag and copies. Pure."""

from collections.abc import Iterator

from proglog.observe import copy_findings
from proglog.observe import lag as lags
from proglog.observe.copies_view import verdict
from proglog.observe.event_findings import Severity
from proglog.observe.facts import Facts
from proglog.observe.finding import Finding
from proglog.observe.lag import LagTotal
from proglog.observe.words import duration_words, lag_words, origin_id
from proglog.types import counted
from proglog.wire.model import Copies, MemberStatus, PeerState

UNCOPIED_MS, UNCOPIED_CRITICAL_MS = 15_000, 60_000
"""From when on a peer that is alive and does not copy from the node is a finding, and from when on a critical one."""
FAILING_MS = 5_000
"""From when on a stream that is opened again and again without bringing anything is a finding while it is open."""


def members(facts: Facts) -> Iterator[Finding]:
    """Yield each member that failed."""
    copies = facts.snapshot.copies
    for member in facts.snapshot.members:
        if member.status is MemberStatus.FAILED:
            yield Finding(
                key=f"member-failed/{member.name}",
                severity=Severity.CRITICAL,
                subject=member.name,
                cause=f"failed {duration_words(facts.age(member.status_since_ms) / 1000)} ago",
                since_ms=facts.age(member.status_since_ms),
                advice="Restart it: it rejoins and catches up. If it is gone for good, nothing that others hold is lost.",
                effect=f"Until it is back: {verdict(copies)}." if copies.holders else "",
                at_risk=_only_on(member.name, copies),
                verb="members",
            )


def _only_on(name: str, copies: Copies) -> str:
    """Return what would be lost with a member that is gone, or with one more."""
    alone = sum(each.records for each in copies.stranded if name in each.names)
    if alone:
        return f"{counted(alone, 'record')} that no living member has."
    last = sum(each.records for each in copies.counts if each.copies == 1)
    return f"{counted(last, 'record')} that only one living member has." if last else ""


def too_few(facts: Facts) -> Iterator[Finding]:
    """Yield that fewer members are alive than expected."""
    alive = sum(member.status is MemberStatus.ALIVE for member in facts.snapshot.members)
    if alive < facts.limits.members_alive:
        yield Finding(
            key="members-alive",
            severity=Severity.CRITICAL,
            subject=facts.snapshot.node.name,
            cause=f"sees {alive} members alive; expected {facts.limits.members_alive}",
            advice="Start the missing members, or join them to this cluster.",
            verb="members",
        )


def streams(facts: Facts) -> Iterator[Finding]:
    """Yield each living peer that cannot be copied from."""
    failed = {member.name for member in facts.snapshot.members if member.status is not MemberStatus.ALIVE}
    for peer in facts.snapshot.peers:
        failing = facts.age(peer.failing_ms) if peer.failing else 0
        if peer.name in failed or not (peer.state is PeerState.BACKING_OFF or failing > FAILING_MS):
            continue
        lasted = f", for {duration_words(failing / 1000)}" if failing > FAILING_MS else ""
        yield Finding(
            key=f"stream-down/{peer.name}",
            severity=Severity.CRITICAL if failing > facts.limits.lag_ms_critical else Severity.WARNING,
            subject=peer.name,
            cause=f"cannot be copied from: {peer.error or peer.failure or 'no reason given'}{lasted}",
            advice="The agent retries. Check the peer's RPC address and certificates.",
            effect="Its new records do not arrive here, unless another peer has them.",
            since_ms=failing if peer.failing else -1,
            at=peer.rpc_addr,
        )


def lag(facts: Facts) -> Iterator[Finding]:
    """Yield each origin in which the node trails the peer it is fetched from."""
    here = facts.snapshot.node.name
    for peer in facts.snapshot.peers:
        for origin in peer.origins:
            if not (origin.source and origin.lag_records):
                continue
            key, behind = f"lag/{peer.name}/{origin.origin.hex()}", lags.of_origin(origin)
            severity = facts.lag_severity(key, behind)
            if severity is not None:
                yield Finding(
                    key=key,
                    severity=severity,
                    subject=here,
                    cause=lag_words(behind, origin.node_name or origin_id(origin.origin)),
                    since_ms=facts.age(behind.age_ms),
                    advice=f"It copies from {peer.name}. Not shrinking: check disk and network of both.",
                    effect="Consumers of this node do not get them yet.",
                    verb="lag",
                )


def no_source(facts: Facts) -> Iterator[Finding]:
    """Yield each origin in which the node trails and that no peer is asked for."""
    rows = [origin for peer in facts.snapshot.peers for origin in peer.origins]
    sourced = {origin.origin for origin in rows if origin.source}
    behind: dict[bytes, LagTotal] = {}
    names: dict[bytes, str] = {}
    for origin in rows:
        if origin.origin not in (*sourced, facts.snapshot.node.origin) and origin.lag_records:
            total, before = lags.of_origin(origin), behind.get(origin.origin)
            if before is None or (total.records, total.age_ms) > (before.records, before.age_ms):
                behind[origin.origin] = total
            names[origin.origin] = origin.node_name or origin_id(origin.origin)
    for each, total in behind.items():
        key = f"no-source/{each.hex()}"
        severity = facts.lag_severity(key, total)
        if severity is not None:
            yield Finding(
                key=key,
                severity=severity,
                subject=facts.snapshot.node.name,
                cause=f"{lag_words(total, names[each])}, and no peer is asked for them: each was set aside",
                advice="The agent retries these sources. Check the disks of the peers that have it, and their logs for damage.",
                effect="This node is not a whole copy.",
                since_ms=facts.age(total.age_ms),
                verb="lag",
            )


def not_copied(facts: Facts) -> Iterator[Finding]:
    """Yield each living member that should copy from the node and does not."""
    here = facts.snapshot.node.name
    for follower in facts.snapshot.followers:
        lasted = facts.age(follower.since_ms)
        if follower.connected or lasted < UNCOPIED_MS:
            continue
        lacks = follower.lag_records
        yield Finding(
            key=f"not-copied/{follower.name}",
            severity=Severity.CRITICAL if lacks and lasted > UNCOPIED_CRITICAL_MS else Severity.WARNING,
            subject=follower.name,
            cause=f"is alive and does not copy from {here}, for {duration_words(lasted / 1000)}",
            advice=f"Check its findings: it may not reach {here} at the RPC address that {here} advertises.",
            effect=f"What is written at {here} does not reach it.",
            at_risk=f"{counted(lacks, 'record')} of {here}'s own that it lacks." if lacks else "",
            since_ms=lasted,
            at=facts.rpc_addr(follower.name),
        )


def peer_lag(facts: Facts) -> Iterator[Finding]:
    """Yield each follower that trails the node."""
    here = facts.snapshot.node.name
    followers = {each.name: each for each in facts.snapshot.followers}
    for peer in facts.snapshot.peers:
        follower = followers.get(peer.name)
        if follower is None:
            continue
        behind = LagTotal(records=follower.lag_records, age_ms=follower.lag_ms)
        key = f"peer-lag/{peer.name}"
        severity = facts.lag_severity(key, behind)
        if peer.state is PeerState.STREAMING and severity is not None:
            yield Finding(
                key=key,
                severity=severity,
                subject=peer.name,
                cause=lag_words(behind, here),
                advice="Check that member's own dashboard: is it streaming, is its disk busy?",
                effect=f"The newest records of {here} have a copy less.",
                verb="lag",
                at=facts.rpc_addr(peer.name),
            )


def copies(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the number of copies of the records."""
    for fact in copy_findings.judge(facts.snapshot.copies, facts.age(0)):
        yield Finding(subject="the cluster", verb="copies", **fact._asdict())
