"""The followers of this node and their progress: the half of replication that only the source sees."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from proglog.addr import rpc_addr_of
from proglog.gossip.member import Member, Status
from proglog.replication.lag import LagMeter, records_behind
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.server.commit_log import LogView
from proglog.server.followers import Followers
from proglog.telemetry.latency import LatencyWindow
from proglog.types import OriginId
from proglog.wire.model import FollowerStatus


@dataclass(slots=True)
class _Watched:
    connected: bool
    since: float
    meter: LagMeter = field(default_factory=LagMeter)


class FollowerWatch:
    """Looks at the followers now and then; how long something has lasted is as exact as the looks are frequent."""

    def __init__(
        self, log: LogView, followers: Followers, *, name: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without followers.

        Args:
            log: What is copied.
            followers: Whose streams are open, and what they report.
            name: Of this node.
            monotonic: Seconds; the clock of the members' ``since``.
        """
        self._log = log
        self._followers = followers
        self._name = name
        self._monotonic = monotonic
        self._origin: OriginId | None = None
        self._watched: dict[str, _Watched] = {}

    @property
    def ack_latency(self) -> LatencyWindow:
        """How long batches waited for their copies lately."""
        return self._followers.ack_latency

    def look(self, members: Iterable[Member]) -> tuple[FollowerStatus, ...]:
        """Return how each member that should copy from this node does so: all that live and serve."""
        now, own = self._monotonic(), self._own()
        expected = [
            each
            for each in members
            if each.name != self._name and each.status is Status.ALIVE and rpc_addr_of(each.tags)
        ]
        self._watched = {each.name: self._look_at(each, own, now) for each in expected}
        return tuple(self._status(name, each, own, now) for name, each in self._watched.items())

    def _own(self) -> Progress:
        """Return how far this node's own origin reaches; under a new one, lags begin anew."""
        if self._log.origin != self._origin:
            self._origin = self._log.origin
            for each in self._watched.values():
                each.meter = LagMeter()
        origin = self._log.origin
        return self._log.progress(origin) or Progress(origin, FIRST_SEQUENCE)

    def _look_at(self, member: Member, own: Progress, now: float) -> _Watched:
        connected = self._followers.connected(member.name)
        watched = self._watched.get(member.name) or _Watched(connected, member.since)
        if watched.connected != connected:
            watched.connected, watched.since = connected, now
        watched.meter.there(own, self._held(member.name), now)
        return watched

    def _held(self, name: str) -> Progress | None:
        return self._followers.position_of(name, self._log.origin)

    def _status(self, name: str, watched: _Watched, own: Progress, now: float) -> FollowerStatus:
        lag = watched.meter.read(now)
        return FollowerStatus(
            name=name,
            connected=watched.connected,
            since_ms=max(0, int((now - watched.since) * 1000)),
            lag_records=records_behind(self._held(name), own),
            lag_ms=int(lag.seconds * 1000),
        )
