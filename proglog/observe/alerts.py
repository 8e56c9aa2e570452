"""What needs attention in a snapshot, and why: the rules of the dashboard and of scripted checks.

Each rule is a function from a snapshot to alerts; :func:`evaluate` runs them all. Limits have hysteresis: an alert
that is raised stays until its value falls below ``clear_ratio`` of the limit, so a lag that hovers around a limit does
not blink. Pure: the caller brings the snapshot, the time and what was raised before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from proglog.errors import ConfigError
from proglog.observe import lag
from proglog.observe.lag import LagTotal, Trend
from proglog.observe.words import bytes_words, duration_words, lag_words, origin_id
from proglog.wire.model import ClusterSnapshot, Member, MemberStatus, PeerState

_DAY_MS = 86_400_000


class Severity(IntEnum):
    """How bad; the worst sorts last."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that needs attention."""

    key: str
    """Which rule and which subject: the same alert has the same key in every snapshot."""
    severity: Severity
    subject: str
    """Member, origin or directory that it is about. Foreign text."""
    what: str
    """What is wrong, to be read after the subject. May hold foreign text."""
    advice: str
    """What to do, or what will happen by itself. May hold foreign text."""
    verb: str = "status"
    """The verb of the command line that shows more."""
    at: str = ""
    """The agent to ask with it, HOST:PORT; empty: the one that told. Foreign text."""


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
    """A raised lag alert clears below this share of its limit."""

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
        """Returns whether ``value`` is over ``limit``, or still too close to it."""
        return value > (limit * self.limits.clear_ratio if key in self.raised else limit)

    def lag_severity(self, key: str, behind: LagTotal) -> Severity | None:
        """Returns how bad a lag is; ``None``: it needs no attention. One that shrinks is never critical."""
        limits = self.limits
        too_many = self.over(key, behind.records, limits.lag_records)
        if behind.records <= 0 or not (too_many or self.over(key, behind.age_ms, limits.lag_ms)):
            return None
        far = behind.records > limits.lag_records_critical or behind.age_ms > limits.lag_ms_critical
        return Severity.CRITICAL if far and behind.trend is not Trend.SHRINKING else Severity.WARNING

    def rpc_addr(self, name: str) -> str:
        """Returns where a member's agent answers; empty when that is not known."""
        return next((member.rpc_addr for member in self.snapshot.members if member.name == name), "")


def evaluate(
    snapshot: ClusterSnapshot,
    now_ms: int | None = None,
    *,
    limits: Limits | None = None,
    raised: frozenset[str] = frozenset(),
) -> tuple[Alert, ...]:
    """Returns what needs attention, the worst first.

    Args:
        snapshot: What an agent said.
        now_ms: The agent's clock now; ``None``: when the snapshot was taken.
        limits: From where on a value needs attention.
        raised: Keys of the alerts that stood before, for the hysteresis.
    """
    scene = _Scene(
        snapshot=snapshot,
        now_ms=snapshot.taken_at_ms if now_ms is None else now_ms,
        limits=limits or Limits(),
        raised=raised,
    )
    found = [alert for rule in _RULES for alert in rule(scene)]
    return tuple(sorted(found, key=lambda alert: (-alert.severity, alert.key)))


def _log_state(scene: _Scene) -> Iterator[Alert]:
    advice = {
        "full": "Free space on its device, or set a retention limit: appends resume by themselves.",
        "read-only": "Look at its device, mount it to be written: appends resume by themselves.",
        "poisoned": "Restart the agent: it recovers what is durable. Check the disk.",
        "closed": "The agent is stopping.",
    }
    state, detail = scene.snapshot.log.state, scene.snapshot.log.state_detail
    if state in advice:
        node = scene.snapshot.node
        yield Alert(
            key=f"log-state/{node.name}",
            severity=Severity.CRITICAL,
            subject=node.name,
            what=f"log is {state}" + (f": {detail}" if detail else ""),
            advice=advice[state],
        )


def _log_problems(scene: _Scene) -> Iterator[Alert]:
    node = scene.snapshot.node.name
    for problem in scene.snapshot.log.problems:
        lasted = problem.since_ms + scene.now_ms - scene.snapshot.taken_at_ms
        yield Alert(
            key=f"log-problem/{node}/{problem.key}",
            severity=Severity.WARNING,
            subject=node,
            what=f"{problem.detail}, for {duration_words(lasted / 1000)}",
            advice="It is tried again by itself, and this goes away when it succeeds. Look at its disk and its limits.",
        )


def _membership(scene: _Scene) -> Iterator[Alert]:
    node = scene.snapshot.node
    for problem in node.membership_problems:
        yield Alert(
            key=f"membership/{node.name}/{problem.key}",
            severity=Severity.CRITICAL if problem.critical else Severity.WARNING,
            subject=node.name,
            what=problem.detail,
            advice="Names and addresses of a cluster are each unique, and one seed has to answer. It is tried again by itself.",
            verb="members",
        )


def _damage(scene: _Scene) -> Iterator[Alert]:
    damaged = scene.snapshot.log.damaged
    if damaged:
        offsets = sum(part.end_offset - part.start_offset for part in damaged)
        first = damaged[0]
        yield Alert(
            key=f"log-damaged/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL,
            subject=scene.snapshot.node.name,
            what=f"cannot read {offsets:,} offsets from {first.start_offset:,} on: {first.detail}",
            advice="Copies are refilled from peers that hold them; otherwise stop it and run `proglog doctor` on its directory.",
        )


def _disk(scene: _Scene) -> Iterator[Alert]:
    log, limit = scene.snapshot.log, scene.limits.disk_free_ratio
    free = log.disk_free_bytes / log.disk_total_bytes if log.disk_total_bytes else 1.0
    if free < limit:
        yield Alert(
            key=f"disk-free/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL if free < scene.limits.disk_free_ratio_critical else Severity.WARNING,
            subject=scene.snapshot.node.name,
            what=f"disk has {free:.0%} free, {bytes_words(log.disk_free_bytes)}",
            advice="Free space or set a retention limit before appends are refused.",
        )


def _members(scene: _Scene) -> Iterator[Alert]:
    for member in scene.snapshot.members:
        if member.status is MemberStatus.FAILED:
            yield Alert(
                key=f"member-failed/{member.name}",
                severity=Severity.CRITICAL,
                subject=member.name,
                what=f"failed {duration_words(_status_ms(member, scene) / 1000)} ago",
                advice="Restart it: it rejoins and catches up by itself. Gone for good: nothing is lost that others hold.",
                verb="members",
            )


def _too_few(scene: _Scene) -> Iterator[Alert]:
    alive = sum(member.status is MemberStatus.ALIVE for member in scene.snapshot.members)
    if alive < scene.limits.members_alive:
        yield Alert(
            key="members-alive",
            severity=Severity.CRITICAL,
            subject=scene.snapshot.node.name,
            what=f"sees {alive} members alive; expected {scene.limits.members_alive}",
            advice="Start those that are missing, or join them to this cluster.",
            verb="members",
        )


def _status_ms(member: Member, scene: _Scene) -> int:
    """Returns how long a member has had its status by now."""
    return member.status_since_ms + scene.now_ms - scene.snapshot.taken_at_ms


def _streams(scene: _Scene) -> Iterator[Alert]:
    failed = {member.name for member in scene.snapshot.members if member.status is not MemberStatus.ALIVE}
    for peer in scene.snapshot.peers:
        if peer.state is PeerState.BACKING_OFF and peer.name not in failed:
            yield Alert(
                key=f"stream-down/{peer.name}",
                severity=Severity.WARNING,
                subject=peer.name,
                what=f"cannot be copied from: {peer.error or 'no reason given'}",
                advice="It is tried again by itself. Check its RPC address and certificates.",
                at=peer.rpc_addr,
            )


def _lag(scene: _Scene) -> Iterator[Alert]:
    here = scene.snapshot.node.name
    for peer in scene.snapshot.peers:
        for origin in peer.origins:
            if not (origin.source and origin.lag_records):
                continue
            key, behind = f"lag/{peer.name}/{origin.origin.hex()}", lag.of_origin(origin)
            severity = scene.lag_severity(key, behind)
            if severity is not None:
                yield Alert(
                    key=key,
                    severity=severity,
                    subject=here,
                    what=lag_words(behind, origin.node_name or origin_id(origin.origin)),
                    advice=f"It copies from {peer.name}. Not shrinking: check disk and network of both.",
                    verb="lag",
                )


def _peer_lag(scene: _Scene) -> Iterator[Alert]:
    here = scene.snapshot.node.name
    for peer in scene.snapshot.peers:
        behind = LagTotal(records=sum(origin.peer_lag_records for origin in peer.origins))
        key = f"peer-lag/{peer.name}"
        severity = scene.lag_severity(key, behind)
        if peer.state is PeerState.STREAMING and severity is not None:
            yield Alert(
                key=key,
                severity=severity,
                subject=peer.name,
                what=lag_words(behind, here),
                advice="Look at that member's own dashboard: is it streaming, is its disk busy?",
                verb="lag",
                at=scene.rpc_addr(peer.name),
            )


def _certificate(scene: _Scene) -> Iterator[Alert]:
    expires = scene.snapshot.node.certificate_expires_at_ms
    left_ms, limit_ms = expires - scene.now_ms, scene.limits.certificate_days * _DAY_MS
    critical_ms = scene.limits.certificate_days_critical * _DAY_MS
    if expires and left_ms < limit_ms:
        what = f"certificate ends in {duration_words(left_ms / 1000)}" if left_ms > 0 else "certificate has ended"
        yield Alert(
            key=f"certificate/{scene.snapshot.node.name}",
            severity=Severity.CRITICAL if left_ms < critical_ms else Severity.WARNING,
            subject=scene.snapshot.node.name,
            what=what,
            advice="Issue a new one and restart the agent.",
        )


def _indexes(scene: _Scene) -> Iterator[Alert]:
    missing = [segment for segment in scene.snapshot.segments if segment.index == "missing"]
    if missing:
        yield Alert(
            key="index-missing",
            verb="segments",
            severity=Severity.WARNING,
            subject=scene.snapshot.node.name,
            what=f"{len(missing)} segment(s) without an index, from offset {missing[0].base_offset:,} on",
            advice="Reads scan these segments until the index is rebuilt at the next start.",
        )


def _recovery(scene: _Scene) -> Iterator[Alert]:
    log, node = scene.snapshot.log, scene.snapshot.node
    if log.recovery:
        yield Alert(
            key=f"recovered/{scene.snapshot.node.name}",
            severity=Severity.INFO,
            subject=node.name,
            what=f"repaired its log when it started: {log.recovery}",
            advice="Nothing to do: what was acknowledged is there.",
        )


def evaluate_own(
    snapshot: ClusterSnapshot, now_ms: int | None = None, *, limits: Limits | None = None
) -> tuple[Alert, ...]:
    """Returns what an agent's word about itself says: its log, damage, disk, certificate; arguments as :func:`evaluate`."""
    at = snapshot.taken_at_ms if now_ms is None else now_ms
    scene = _Scene(snapshot=snapshot, now_ms=at, limits=limits or Limits(), raised=frozenset())
    return tuple(alert for rule in _OWN_RULES for alert in rule(scene))


def _new_origin(scene: _Scene) -> Iterator[Alert]:
    node = scene.snapshot.node
    if node.origin_reason:
        yield Alert(
            key=f"new-origin/{node.name}",
            severity=Severity.INFO,
            subject=node.name,
            what=f"began a new history: {node.origin_reason}",
            advice="Nothing to do if the directory was copied, or came back from a backup.",
        )


_OWN_RULES: tuple[Callable[[_Scene], Iterator[Alert]], ...] = (
    _log_state,
    _log_problems,
    _membership,
    _damage,
    _disk,
    _certificate,
)
_RULES: tuple[Callable[[_Scene], Iterator[Alert]], ...] = (
    _log_state,
    _log_problems,
    _membership,
    _damage,
    _disk,
    _members,
    _too_few,
    _streams,
    _lag,
    _peer_lag,
    _certificate,
    _indexes,
    _recovery,
    _new_origin,
)
