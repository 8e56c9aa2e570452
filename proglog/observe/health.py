"""The model of health: facts in, findings out.

A snapshot holds the facts. A finding names its subject, the cause, since when, the effect, what is at risk and the
remedy. ``check``, ``status``, the ready line, the dashboard, the metrics and the gRPC health service read only findings,
so they never disagree.

Each rule is a function from the facts to findings, in one table. Limits have hysteresis: a finding that is raised stays
until its value falls below ``clear_ratio`` of the limit, so a lag that hovers around a limit does not blink. Pure: the
caller brings the snapshot, the time and what was raised before. Durations are the agent's, by its monotonic clock.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from proglog.errors import ConfigError
from proglog.observe import copy_findings, lag
from proglog.observe.event_findings import BY_STATUS_NAME, Lasting, Severity
from proglog.observe.lag import LagTotal, Trend
from proglog.observe.words import bytes_words, duration_words, lag_words, origin_id, records_words
from proglog.wire.model import ClusterSnapshot, IndexState, MemberStatus, PeerState

__all__ = ["RULES", "Finding", "Limits", "Severity", "copy_words", "findings", "own_findings", "ready", "worst"]

_DAY_MS = 86_400_000

INCOMPLETE = ("no-source", "log-damaged", "replication-gap", "replication-forked")
"""Rules whose findings say that records are missing, though no source may have more to give."""

STUCK_MS, STUCK_CRITICAL_MS = 1_000, 10_000
"""From when on an operation that is under way is a finding, and from when on a critical one."""
UNCOPIED_MS, UNCOPIED_CRITICAL_MS = 15_000, 60_000
"""The same for a peer that is alive and does not copy from the node."""
IN_FLIGHT_MS = 2_000
"""Younger lag is in flight and no finding, however many records it is: a fast cluster has thousands in flight."""
FAILING_MS = 5_000
"""From when on a stream that is opened again and again without bringing anything is a finding while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that needs attention."""

    key: str
    """Which rule and which subject: the same finding has the same key in every snapshot."""
    severity: Severity
    subject: str
    """Member, origin or directory that it is about. Foreign text."""
    cause: str
    """What is wrong, to be read after the subject. May hold foreign text."""
    advice: str
    """What to do, or what will happen by itself. May hold foreign text."""
    effect: str = ""
    """What follows from it now; empty: nothing beyond the cause."""
    at_risk: str = ""
    """What may be lost; empty: nothing."""
    since_ms: int = -1
    """How long it has lasted, milliseconds; -1: not known."""
    verb: str = "status"
    """The verb of the command line that shows more."""
    at: str = ""
    """The agent to run it against, HOST:PORT; empty: the one that reported. Foreign text."""
    unready: bool = False
    """Whether the node should get no writes: the health service says NOT_SERVING."""

    @property
    def rule(self) -> str:
        """Which rule it came from."""
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on a value needs attention."""

    lag_records: int = 10_000
    lag_records_critical: int = 1_000_000
    lag_ms: int = 10_000
    lag_ms_critical: int = 300_000
    disk_free_ratio: float = 0.10
    """Free share of the log's device."""
    disk_free_ratio_critical: float = 0.05
    certificate_days: float = 14
    """Before a certificate ends."""
    certificate_days_critical: float = 2
    members_alive: int = 0
    """Fewer than these are critical; 0: any number is right."""
    clear_ratio: float = 0.8
    """A raised lag finding clears below this share of its limit."""

    def __post_init__(self) -> None:
        pairs = {"lag_records": 1, "lag_ms": 1, "disk_free_ratio": -1, "certificate_days": -1}
        for name, direction in pairs.items():
            warning, critical = getattr(self, name), getattr(self, f"{name}_critical")
            if warning < 0:
                raise ConfigError(f"{name} is {warning}; expected 0 or more")
            if (critical - warning) * direction < 0:
                side = "at least" if direction > 0 else "at most"
                raise ConfigError(f"{name}_critical is {critical}; expected {side} the warning's {warning}")
        if self.members_alive < 0:
            raise ConfigError(f"members_alive is {self.members_alive}; expected 0 or more")
        if not 0 < self.clear_ratio <= 1:
            raise ConfigError(f"clear_ratio is {self.clear_ratio}; expected more than 0 and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What the rules look at."""

    snapshot: ClusterSnapshot
    now_ms: int
    limits: Limits
    raised: frozenset[str]

    def over(self, key: str, value: float, limit: float) -> bool:
        """Return whether ``value`` is over ``limit``, or still too close to it."""
        return value > (limit * self.limits.clear_ratio if key in self.raised else limit)

    def lag_severity(self, key: str, behind: LagTotal) -> Severity | None:
        """Return how bad a lag is; ``None``: it needs no attention. One that shrinks is never critical."""
        limits = self.limits
        too_many = self.over(key, behind.records, limits.lag_records)
        if (
            behind.records <= 0
            or behind.age_ms < IN_FLIGHT_MS
            or not (too_many or self.over(key, behind.age_ms, limits.lag_ms))
        ):
            return None
        far = behind.records > limits.lag_records_critical or behind.age_ms > limits.lag_ms_critical
        return Severity.CRITICAL if far and behind.trend is not Trend.SHRINKING else Severity.WARNING

    def age(self, ms: int) -> int:
        """Return how long by now what had lasted for ``ms`` when the snapshot was taken."""
        return ms + max(0, self.now_ms - self.snapshot.taken_at_ms)

    def rpc_addr(self, name: str) -> str:
        """Return where a member's agent answers; empty when that is not known."""
        return next((member.rpc_addr for member in self.snapshot.members if member.name == name), "")


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
    """Return how far a node's copies reach: *in step* only where nothing is known to be missing."""
    behind = lag.of_node(snapshot)
    if not behind.records and any(each.rule in INCOMPLETE for each in found):
        return "not a whole copy"
    return lag_words(behind)


def _judge(
    rules: Iterable["_Rule"],
    snapshot: ClusterSnapshot,
    now_ms: int | None,
    limits: Limits | None,
    raised: frozenset[str],
) -> tuple[Finding, ...]:
    at = snapshot.taken_at_ms if now_ms is None else now_ms
    scene = _Scene(snapshot=snapshot, now_ms=at, limits=limits or Limits(), raised=raised)
    found = [each for rule in rules for each in rule(scene)]
    return tuple(sorted(found, key=lambda each: (-each.severity, each.key)))


def _log_state(scene: _Scene) -> Iterator[Finding]:
    advice = {
        "full": "Free space on its device, or set a retention limit: appends resume by themselves.",
        "read-only": "Check its device and remount it writable: appends resume by themselves.",
        "poisoned": "Restart the agent: it recovers what is durable. Check the disk.",
        "closed": "The agent is stopping.",
    }
    state, detail = scene.snapshot.log.state, scene.snapshot.log.state_detail
    if state in advice:
        node = scene.snapshot.node
        yield Finding(
            key=f"log-state/{node.name}",
            severity=Severity.CRITICAL,
            subject=node.name,
            cause=f"log is {state}" + (f": {detail}" if detail else ""),
            advice=advice[state],
            effect="This node appends nothing; durable records are still read and copied.",
            unready=True,
        )


_TRIED_AGAIN = "The agent retries, and this clears when it succeeds. Check its disk and its limits."
_PROBLEM_ADVICE = {"later-version": "Run this agent with the version of proglog that wrote the directory."}


def _log_problems(scene: _Scene) -> Iterator[Finding]:
    node = scene.snapshot.node.name
    for problem in scene.snapshot.log.problems:
        lasted = scene.age(problem.since_ms)
        yield Finding(
            key=f"log-problem/{node}/{problem.key}",
            severity=Severity.WARNING,
            subject=node,
            cause=f"{problem.detail}, for {duration_words(lasted / 1000)}",
            advice=_PROBLEM_ADVICE.get(problem.key, _TRIED_AGAIN),
            since_ms=lasted,
        )


def _membership(scene: _Scene) -> Iterator[Finding]:
    node = scene.snapshot.node
    for problem in node.membership_problems:
        yield Finding(
            key=f"membership/{node.name}/{problem.key}",
            severity=Severity.CRITICAL if problem.critical else Severity.WARNING,
            subject=node.name,
            cause=problem.detail,
            advice=_HALF_SEALED if problem.key == "encryption" else _APART,
            effect="No other node may copy what is written here." if problem.critical else "",
            at_risk="Records acknowledged here in the meantime." if problem.critical else "",
            since_ms=scene.age(problem.since_ms),
            verb="members",
            unready=problem.unready,
        )


_APART = (
    "Names and addresses must be unique in a cluster, one seed must answer, and gossip needs its port open for UDP and TCP,"
    " both ways. The agent retries."
)
_HALF_SEALED = "Restart every agent with --encrypt-mode send, then every agent without the flag."


def _damage(scene: _Scene) -> Iterator[Finding]:
    damaged = scene.snapshot.log.damaged
    if damaged:
        offsets = sum(part.end_offset - part.start_offset for part in damaged)
        first = damaged[0]
        yield Finding(
            key=f"log-damaged/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL,
            subject=scene.snapshot.node.name,
            cause=f"cannot read {offsets:,} offsets from {first.start_offset:,} on: {first.detail}",
            advice="Copies are restored from peers that hold them. For what no peer holds: `proglog losses accept`.",
        )


def _disk(scene: _Scene) -> Iterator[Finding]:
    log, limit = scene.snapshot.log, scene.limits.disk_free_ratio
    free = log.disk_free_bytes / log.disk_total_bytes if log.disk_total_bytes else 1.0
    if free < limit:
        yield Finding(
            key=f"disk-free/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL if free < scene.limits.disk_free_ratio_critical else Severity.WARNING,
            subject=scene.snapshot.node.name,
            cause=f"disk has {free:.0%} free, {bytes_words(log.disk_free_bytes)}",
            advice="Free space or set a retention limit before appends are refused.",
        )


def _members(scene: _Scene) -> Iterator[Finding]:
    for member in scene.snapshot.members:
        if member.status is MemberStatus.FAILED:
            yield Finding(
                key=f"member-failed/{member.name}",
                severity=Severity.CRITICAL,
                subject=member.name,
                cause=f"failed {duration_words(scene.age(member.status_since_ms) / 1000)} ago",
                since_ms=scene.age(member.status_since_ms),
                advice="Restart it: it rejoins and catches up. If it is gone for good, nothing that others hold is lost.",
                verb="members",
            )


def _too_few(scene: _Scene) -> Iterator[Finding]:
    alive = sum(member.status is MemberStatus.ALIVE for member in scene.snapshot.members)
    if alive < scene.limits.members_alive:
        yield Finding(
            key="members-alive",
            severity=Severity.CRITICAL,
            subject=scene.snapshot.node.name,
            cause=f"sees {alive} members alive; expected {scene.limits.members_alive}",
            advice="Start the missing members, or join them to this cluster.",
            verb="members",
        )


def _streams(scene: _Scene) -> Iterator[Finding]:
    failed = {member.name for member in scene.snapshot.members if member.status is not MemberStatus.ALIVE}
    for peer in scene.snapshot.peers:
        failing = scene.age(peer.failing_ms) if peer.failing else 0
        if peer.name in failed or not (peer.state is PeerState.BACKING_OFF or failing > FAILING_MS):
            continue
        lasted = f", for {duration_words(failing / 1000)}" if failing > FAILING_MS else ""
        yield Finding(
            key=f"stream-down/{peer.name}",
            severity=Severity.CRITICAL if failing > scene.limits.lag_ms_critical else Severity.WARNING,
            subject=peer.name,
            cause=f"cannot be copied from: {peer.error or peer.failure or 'no reason given'}{lasted}",
            advice="The agent retries. Check the peer's RPC address and certificates.",
            effect="Its new records do not arrive here, unless another peer has them.",
            since_ms=failing if peer.failing else -1,
            at=peer.rpc_addr,
        )


def _lag(scene: _Scene) -> Iterator[Finding]:
    here = scene.snapshot.node.name
    for peer in scene.snapshot.peers:
        for origin in peer.origins:
            if not (origin.source and origin.lag_records):
                continue
            key, behind = f"lag/{peer.name}/{origin.origin.hex()}", lag.of_origin(origin)
            severity = scene.lag_severity(key, behind)
            if severity is not None:
                yield Finding(
                    key=key,
                    severity=severity,
                    subject=here,
                    cause=lag_words(behind, origin.node_name or origin_id(origin.origin)),
                    since_ms=scene.age(behind.age_ms),
                    advice=f"It copies from {peer.name}. Not shrinking: check disk and network of both.",
                    verb="lag",
                )


def _no_source(scene: _Scene) -> Iterator[Finding]:
    rows = [origin for peer in scene.snapshot.peers for origin in peer.origins]
    sourced = {origin.origin for origin in rows if origin.source}
    behind: dict[bytes, LagTotal] = {}
    names: dict[bytes, str] = {}
    for origin in rows:
        if origin.origin not in (*sourced, scene.snapshot.node.origin) and origin.lag_records:
            total, before = lag.of_origin(origin), behind.get(origin.origin)
            if before is None or (total.records, total.age_ms) > (before.records, before.age_ms):
                behind[origin.origin] = total
            names[origin.origin] = origin.node_name or origin_id(origin.origin)
    for each, total in behind.items():
        key = f"no-source/{each.hex()}"
        severity = scene.lag_severity(key, total)
        if severity is not None:
            yield Finding(
                key=key,
                severity=severity,
                subject=scene.snapshot.node.name,
                cause=f"{lag_words(total, names[each])}, and no peer is asked for them: each was set aside",
                advice="The agent retries these sources. Check the disks of the peers that have it, and their logs for damage.",
                effect="This node is not a whole copy.",
                since_ms=scene.age(total.age_ms),
                verb="lag",
            )


def _not_copied(scene: _Scene) -> Iterator[Finding]:
    here = scene.snapshot.node.name
    for follower in scene.snapshot.followers:
        lasted = scene.age(follower.since_ms)
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
            at_risk=f"{records_words(lacks)} of {here}'s own that it lacks." if lacks else "",
            since_ms=lasted,
            at=scene.rpc_addr(follower.name),
        )


def _stuck(scene: _Scene) -> Iterator[Finding]:
    node = scene.snapshot.node.name
    for operation in scene.snapshot.log.operations:
        lasted = scene.age(operation.since_ms)
        if lasted > STUCK_MS:
            critical = lasted > STUCK_CRITICAL_MS
            yield Finding(
                key=f"stuck/{node}/{operation.what}",
                severity=Severity.CRITICAL if critical else Severity.WARNING,
                subject=node,
                cause=f"waits for its disk: {operation.what}, for {duration_words(lasted / 1000)}",
                advice="Check the device of its data directory: is it frozen, failing or overloaded?",
                effect="Appends wait behind it.",
                since_ms=lasted,
                unready=critical,
            )


def _conditions(scene: _Scene) -> Iterator[Finding]:
    """Events that are findings of their own."""
    for condition in scene.snapshot.conditions:
        shown = BY_STATUS_NAME.get(condition.kind)
        if not isinstance(shown, Lasting):
            continue
        if shown.minutes is not None and scene.age(condition.last_ms) > shown.minutes * 60_000:
            continue
        times = f" ({condition.count:,} times)" if condition.count > 1 else ""
        detail = f": {condition.detail}" if condition.detail else ""
        yield Finding(
            key=f"{condition.kind}/{condition.subject}",
            severity=shown.severity,
            subject=condition.subject,
            cause=f"{shown.cause}{times}{detail}",
            advice=shown.advice,
            effect=shown.effect,
            at_risk=shown.at_risk,
            since_ms=scene.age(condition.since_ms),
            verb=shown.verb,
        )


def _copies(scene: _Scene) -> Iterator[Finding]:
    """How many copies there are of every record."""
    for fact in copy_findings.judge(scene.snapshot.copies, scene.age(0)):
        yield Finding(subject="the cluster", verb="copies", **fact._asdict())


def _peer_lag(scene: _Scene) -> Iterator[Finding]:
    here = scene.snapshot.node.name
    followers = {each.name: each for each in scene.snapshot.followers}
    for peer in scene.snapshot.peers:
        follower = followers.get(peer.name)
        if follower is None:
            continue
        behind = LagTotal(records=follower.lag_records, age_ms=follower.lag_ms)
        key = f"peer-lag/{peer.name}"
        severity = scene.lag_severity(key, behind)
        if peer.state is PeerState.STREAMING and severity is not None:
            yield Finding(
                key=key,
                severity=severity,
                subject=peer.name,
                cause=lag_words(behind, here),
                advice="Check that member's own dashboard: is it streaming, is its disk busy?",
                verb="lag",
                at=scene.rpc_addr(peer.name),
            )


def _certificate(scene: _Scene) -> Iterator[Finding]:
    expires = scene.snapshot.node.certificate_expires_at_ms
    if expires is None:
        return
    left_ms, limit_ms = expires - scene.now_ms, scene.limits.certificate_days * _DAY_MS
    critical_ms = scene.limits.certificate_days_critical * _DAY_MS
    if left_ms < limit_ms:
        cause = f"certificate ends in {duration_words(left_ms / 1000)}" if left_ms > 0 else "certificate has ended"
        yield Finding(
            key=f"certificate/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL if left_ms < critical_ms else Severity.WARNING,
            subject=scene.snapshot.node.name,
            cause=cause,
            advice="Issue a new one and restart the agent.",
        )


def _indexes(scene: _Scene) -> Iterator[Finding]:
    missing = [segment for segment in scene.snapshot.segments if segment.index_state is IndexState.MISSING]
    if missing:
        yield Finding(
            key="index-missing",
            verb="segments",
            severity=Severity.WARNING,
            subject=scene.snapshot.node.name,
            cause=f"{len(missing)} segment(s) without an index, from offset {missing[0].base_offset:,} on",
            advice="Reads scan these segments until the index is rebuilt at the next start.",
        )


def _recovery(scene: _Scene) -> Iterator[Finding]:
    log, node = scene.snapshot.log, scene.snapshot.node
    if log.recovery:
        yield Finding(
            key=f"recovered/{scene.snapshot.node.name}",
            severity=Severity.INFO,
            subject=node.name,
            cause=f"repaired its log when it started: {log.recovery}",
            advice="Nothing to do: every acknowledged record is there.",
        )


def _new_origin(scene: _Scene) -> Iterator[Finding]:
    node = scene.snapshot.node
    if node.origin_reason:
        yield Finding(
            key=f"new-origin/{node.name}",
            severity=Severity.INFO,
            subject=node.name,
            cause=f"began a new history: {node.origin_reason}",
            advice="Nothing to do if the directory was copied, or came back from a backup.",
        )


_Rule = Callable[[_Scene], Iterator[Finding]]

RULES: dict[str, _Rule] = {
    "log-state": _log_state,
    "log-problem": _log_problems,
    "stuck": _stuck,
    "membership": _membership,
    "log-damaged": _damage,
    "disk-free": _disk,
    "member-failed": _members,
    "members-alive": _too_few,
    "stream-down": _streams,
    "no-source": _no_source,
    "lag": _lag,
    "not-copied": _not_copied,
    "peer-lag": _peer_lag,
    "certificate": _certificate,
    "index-missing": _indexes,
    "recovered": _recovery,
    "new-origin": _new_origin,
    "conditions": _conditions,
    "copies": _copies,
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
    "conditions",
)
