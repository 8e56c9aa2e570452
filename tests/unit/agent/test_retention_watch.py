"""A follower that retention is about to overtake is reported before it does, and not where it cannot."""

from typing import Any

from proglog.addr import RPC_ADDR_TAG
from proglog.agent.retention_watch import RetentionWatch
from proglog.gossip.member import Member, Status
from proglog.log.config import LogConfig
from proglog.replication.progress import Progress
from proglog.server.followers import Followers
from proglog.types import OriginId, SequenceNumber

ORIGIN = OriginId(b"o" * 16)


class World:
    """A log of 1,000 records and 100,000 bytes of which follower b has so many, and what was said."""

    def __init__(self, **config: Any) -> None:
        self.origin = ORIGIN
        self.followers = Followers()
        self.told: list[tuple[str, str, str]] = []
        self.status, self.since, self.stored = Status.ALIVE, 0.0, 200_000
        self.watch = RetentionWatch(
            name="a",
            log=self,  # type: ignore[arg-type]
            config=LogConfig(**config),
            stored_bytes=lambda: self.stored,
            followers=self.followers,
            members=self.members,
            emit=lambda kind, subject="", detail="", **_: self.told.append((kind.name, subject, detail)),  # type: ignore[arg-type]
            monotonic=lambda: 1000.0,
        )

    def origins(self) -> dict[OriginId, Progress]:
        return {ORIGIN: Progress(ORIGIN, SequenceNumber(1001), bytes=100_000)}

    def members(self) -> list[Member]:
        tags = {RPC_ADDR_TAG: "10.0.0.2:8400"}
        return [
            Member(
                name=name,
                addr="10.0.0.2",
                port=1,
                tags=tags,
                status=self.status,
                incarnation=1,
                status_ltime=0,
                rtt_ms=None,
                since=self.since,
            )
            for name in ("a", "b", "never-heard")
        ]

    def has(self, records: int) -> list[tuple[str, str, str]]:
        """Let b have so many, look, and return what was said."""
        position = Progress(ORIGIN, SequenceNumber(1 + records), bytes=100 * records)
        self.followers.report(self.followers.begin("b"), [position])
        self.told.clear()
        self.watch.look()
        return list(self.told)


def test_a_follower_that_lacks_most_of_what_is_kept_is_reported_once_and_when_it_is_out_of_reach() -> None:
    world = World(retention_bytes=200_000)
    assert world.has(900) == []
    assert world.has(100) == [("retention_near", "b", "900 records, 90 kB; 200 kB are kept")]
    assert world.has(150) == []
    assert world.has(900) == [("retention_clear", "b", "")]


def test_a_log_that_is_far_from_its_limit_or_has_none_removes_nothing() -> None:
    assert World(retention_bytes=1_000_000).has(0) == []
    assert World().has(0) == []


def test_a_member_that_is_away_for_nearly_the_age_that_is_kept_is_reported() -> None:
    world = World(retention_age=1000.0)
    assert world.has(100) == []
    world.status, world.since = Status.FAILED, 150.0
    assert world.has(100) == [
        ("retention_near", "b", "900 records, 90 kB; it failed 14 min 10 s ago, and 16 min 40 s are kept")
    ]
    world.status = Status.LEFT
    assert world.has(100) == [("retention_clear", "b", "")]
