"""What needs attention in a snapshot, and why: the rules of the dashboard and of scripted checks.

Each rule is a function from a snapshot to alerts; :func:`evaluate` runs them all. Limits have hysteresis: an alert
that is raised stays until its value falls below ``clear_ratio`` of the limit, so a lag that hovers around a limit does
not blink. Pure: the caller brings the snapshot, the time and what was raised before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from proglog.client.model import ClusterSnapshot, Member, MemberStatus, PeerState
from proglog.client.words import bytes_words, duration_words, lag_words, origin_id
from proglog.errors import ConfigError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on a value needs attention."""

    lag_records: int = 10_000
    lag_ms: int = 10_000
    disk_free_ratio: float = 0.10
    """Free share of the log's device; half of it is critical."""
    certificate_days: int = 14
    """Before a certificate ends; a seventh of it is critical."""
    clear_ratio: float = 0.8
    """A raised lag alert clears below this share of its limit."""

    def __post_init__(self) -> None:
        for name in ("lag_records", "lag_ms", "disk_free_ratio", "certificate_days"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
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
        "poisoned": "Restart the agent: it recovers what is durable. Check the disk.",
        "closed": "The agent is stopping.",
    }
    state = scene.snapshot.log.state
    if state in advice:
        node = scene.snapshot.node
        yield Alert(
            key="log-state", severity=Severity.CRITICAL, subject=node.name, what=f"log is {state}", advice=advice[state]
        )


def _damage(scene: _Scene) -> Iterator[Alert]:
    damaged = scene.snapshot.log.damaged
    if damaged:
        offsets = sum(part.end_offset - part.start_offset for part in damaged)
        first = damaged[0]
        yield Alert(
            key="log-damaged",
            severity=Severity.CRITICAL,
            subject=scene.snapshot.node.name,
            what=f"cannot read {offsets:,} offsets from {first.start_offset:,} on: {first.detail}",
            advice="Copies are refilled from peers that hold them; otherwise run `proglog doctor` on the directory.",
        )


def _disk(scene: _Scene) -> Iterator[Alert]:
    log, limit = scene.snapshot.log, scene.limits.disk_free_ratio
    free = log.disk_free_bytes / log.disk_total_bytes if log.disk_total_bytes else 1.0
    if free < limit:
        yield Alert(
            key="disk-free",
            severity=Severity.CRITICAL if free < limit / 2 else Severity.WARNING,
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
            )


def _lag(scene: _Scene) -> Iterator[Alert]:
    here = scene.snapshot.node.name
    for peer in scene.snapshot.peers:
        for origin in peer.origins:
            key = f"lag/{peer.name}/{origin.origin.hex()}"
            if (
                origin.source
                and origin.lag_records > 0
                and (
                    scene.over(key, origin.lag_records, scene.limits.lag_records)
                    or scene.over(key, origin.lag_ms, scene.limits.lag_ms)
                )
            ):
                owner = origin.node_name or origin_id(origin.origin)
                yield Alert(
                    key=key,
                    severity=Severity.WARNING,
                    subject=here,
                    what=f"{lag_words(origin.lag_records, origin.lag_bytes, origin.lag_ms)} of {owner}",
                    advice=f"It copies from {peer.name}. Not shrinking: check disk and network of both.",
                )


def _peer_lag(scene: _Scene) -> Iterator[Alert]:
    for peer in scene.snapshot.peers:
        behind = sum(origin.peer_lag_records for origin in peer.origins)
        key = f"peer-lag/{peer.name}"
        if peer.state is PeerState.STREAMING and scene.over(key, behind, scene.limits.lag_records):
            yield Alert(
                key=key,
                severity=Severity.WARNING,
                subject=peer.name,
                what=f"{lag_words(behind)} of what {scene.snapshot.node.name} holds",
                advice="Look at that member's own dashboard: is it streaming, is its disk busy?",
            )


def _certificate(scene: _Scene) -> Iterator[Alert]:
    expires = scene.snapshot.node.certificate_expires_at_ms
    left_ms, limit_ms = expires - scene.now_ms, scene.limits.certificate_days * _DAY_MS
    if expires and left_ms < limit_ms:
        what = f"certificate ends in {duration_words(left_ms / 1000)}" if left_ms > 0 else "certificate has ended"
        yield Alert(
            key="certificate",
            severity=Severity.CRITICAL if left_ms < limit_ms / 7 else Severity.WARNING,
            subject=scene.snapshot.node.name,
            what=what,
            advice="Issue a new one and restart the agent.",
        )


def _indexes(scene: _Scene) -> Iterator[Alert]:
    missing = [segment for segment in scene.snapshot.segments if segment.index == "missing"]
    if missing:
        yield Alert(
            key="index-missing",
            severity=Severity.WARNING,
            subject=scene.snapshot.node.name,
            what=f"{len(missing)} segment(s) without an index, from offset {missing[0].base_offset:,} on",
            advice="Reads scan these segments until the index is rebuilt at the next start.",
        )


def _recovery(scene: _Scene) -> Iterator[Alert]:
    log, node = scene.snapshot.log, scene.snapshot.node
    if log.recovery:
        yield Alert(
            key="recovered",
            severity=Severity.INFO,
            subject=node.name,
            what=f"repaired its log when it started: {log.recovery}",
            advice="Nothing to do: what was acknowledged is there.",
        )


_RULES: tuple[Callable[[_Scene], Iterator[Alert]], ...] = (
    _log_state,
    _damage,
    _disk,
    _members,
    _streams,
    _lag,
    _peer_lag,
    _certificate,
    _indexes,
    _recovery,
)
