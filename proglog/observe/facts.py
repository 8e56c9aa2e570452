"""What the rules of health look at: the facts, the moment, and the limits."""

from dataclasses import dataclass, field

from proglog.errors import ConfigError
from proglog.observe.event_findings import Severity
from proglog.observe.lag import LagTotal, Trend
from proglog.wire.model import ClusterSnapshot

IN_FLIGHT_MS = 2_000
"""Younger lag is in flight and no finding, however many records it is: a fast cluster has thousands in flight."""


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
class Facts:
    """What the rules look at."""

    snapshot: ClusterSnapshot
    now_ms: int
    limits: Limits
    raised: frozenset[str]
    _rpc_addrs: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._rpc_addrs.update((member.name, member.rpc_addr) for member in reversed(self.snapshot.members))

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
        return self._rpc_addrs.get(name, "")
