"""What a node makes of answers that do not come, of claims to names, and of gossip that goes through in part."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from proglog.agent.membership_watch import CONFLICT_SECONDS, MAX_CLAIMS, UDP_ROUNDS, UNWELL_SECONDS, MembershipWatch
from proglog.gossip.config import GossipConfig
from proglog.gossip.member import Member, Status
from proglog.gossip.serf import Serf


def serf(*others: Member) -> Serf:
    made = Serf(
        name="me",
        address=("10.0.0.1", 7946),
        tags={},
        config=GossipConfig.lan(),
        keyring=None,
        random=Random(1),
        now=0.0,
    )
    made.start(0.0)
    own = made.members()
    made.members = lambda: [*own, *others]  # type: ignore[method-assign]
    return made


def member(name: str, **changes: Any) -> Member:
    made = Serf(
        name=name,
        address=("10.0.0.2", 7946),
        tags={},
        config=GossipConfig.lan(),
        keyring=None,
        random=Random(1),
        now=0.0,
    )
    made.start(0.0)
    return replace(made.members()[0], **changes)


@pytest.fixture
def watch() -> MembershipWatch:
    return MembershipWatch(node_name="me", remembered=(), started_at=0.0)


def told(watch: MembershipWatch, serf: Serf, now: float) -> list[tuple[str, str, int]]:
    return [(each.key, each.detail, each.since_ms) for each in watch.problems(serf, now)]


def test_udp_that_fails_round_after_round_is_a_problem_from_then_on(watch: MembershipWatch) -> None:
    busy = serf(member("a", udp_missed=UDP_ROUNDS - 1))
    assert told(watch, busy, 10.0) == []
    blocked = serf(member("a", udp_missed=UDP_ROUNDS), member("b", udp_missed=9), member("c"))
    for now in (20.0, 22.0):
        assert told(watch, blocked, now) == [
            ("udp", "hears nothing over UDP from a, b, only over TCP: is UDP blocked?", int((now - 20) * 1000))
        ]
    assert told(watch, busy, 30.0) == []
    gone = serf(member("a", udp_missed=9, status=Status.FAILED))
    assert told(watch, gone, 40.0) == []


@pytest.mark.parametrize(
    ("failed", "error", "said"),
    [(1, "timed out", False), (2, "timed out", True), (1, "refused: no key opens it", True), (0, "", False)],
)
def test_full_exchanges_that_fail_again_or_are_refused_are_a_problem(
    watch: MembershipWatch, failed: int, error: str, said: bool
) -> None:
    found = told(watch, serf(member("a", exchanges_failed=failed, exchange_error=error)), 10.0)
    detail = f"cannot exchange all that is known with a: {error}"
    assert found == ([("exchange/a", detail, 0)] if said else [])


def test_a_node_that_is_unwell_for_long_says_so_until_it_is_well(watch: MembershipWatch) -> None:
    me = serf()
    watch.health_changed(unwell=True, now=100.0)
    assert watch.problems(me, 100.0 + UNWELL_SECONDS - 1) == []

    (problem,) = watch.problems(me, 100.0 + UNWELL_SECONDS)
    assert (problem.key, problem.critical, problem.since_ms) == ("health", False, 1000 * UNWELL_SECONDS)
    assert "misses answers of the other members" in problem.detail

    watch.health_changed(unwell=False, now=120.0)
    assert watch.problems(me, 200.0) == []


def test_old_claims_make_room_for_new_ones(watch: MembershipWatch) -> None:
    assert [watch.claimed("a", f"10.0.0.9:{port}", 0.0) for port in range(MAX_CLAIMS)] == [True] * MAX_CLAIMS
    assert not watch.claimed("a", "10.0.0.9:0", 1.0)  # known
    assert not watch.claimed("b", "10.0.0.9:1", 1.0)  # no room
    assert watch.claimed("b", "10.0.0.9:1", CONFLICT_SECONDS + 2)
    assert watch.claimed("a", "10.0.0.9:0", CONFLICT_SECONDS + 2)  # it was over, and is news again
