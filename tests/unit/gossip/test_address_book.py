"""Whom this node calls, when, and what it remembers."""

import itertools
from typing import Any

import pytest

from proglog.gossip.address_book import MAX_REMEMBERED, KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import CallFinished

HOUR = 3600.0


def known(bench: Any, *addresses: KnownAddress) -> Any:
    """The book of a node that starts with ``addresses``."""
    bench.serf._book.start(addresses, bench.serf._calls.call_due)
    return bench.serf._book


def address(number: int, **fields: Any) -> KnownAddress:
    return KnownAddress(host=f"10.0.1.{number}", port=7946, **fields)


def calls(bench: Any, seconds: float) -> list[tuple[float, str]]:
    """Let time pass in which nobody answers; return who was called when."""
    began, made = bench.now, []
    for _ in range(int(seconds * 10)):
        bench.run(0.1)
        for stream in bench.serf.streams_to_open():
            made.append((round(bench.now - began, 1), stream.address[0]))
            bench.serf.stream_failed(stream.id, "nobody answers", bench.now)
    return made


def test_a_seed_that_does_not_answer_is_called_again_and_again_more_and_more_rarely(bench: Any) -> None:
    known(bench, address(1, given=True))
    times = [at for at, _ in calls(bench, 40)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] <= 0.2
    assert 0.3 <= gaps[0] <= 0.7
    assert all(6.0 <= gap <= 10.0 for gap in gaps[5:])
    failures = [event.failures for event in bench.serf.events() if isinstance(event, CallFinished)]
    assert failures == list(range(1, len(times) + 1))


def test_each_address_has_a_schedule_of_its_own(bench: Any) -> None:
    known(bench, address(1, given=True), address(2, given=True))
    bench.run(0.05)
    first, second = bench.serf.streams_to_open()
    assert {first.address[0], second.address[0]} == {"10.0.1.1", "10.0.1.2"}
    bench.serf.stream_failed(second.id, "refused", bench.now)  # the first hangs
    bench.run(1.0)
    assert [stream.address for stream in bench.serf.streams_to_open()] == [second.address]


def test_this_node_itself_is_not_called(bench: Any) -> None:
    known(bench, KnownAddress(host="10.0.0.1", port=7946, given=True))
    assert calls(bench, 5) == []
    assert bench.serf.unanswered() == []


@pytest.mark.parametrize("how", ["failed", "left"])
def test_where_a_member_was_is_called_until_somebody_is_alive_there(bench: Any, how: str) -> None:
    bench.alive("a")
    bench.dead("a", "a" if how == "left" else "b")
    assert "10.0.0.2" in {host for _, host in calls(bench, 20)}
    bench.alive("a", 2)
    assert bench.serf._book._entries == {}


def test_who_was_removed_by_an_operator_is_called_no_more(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.force_leave("a", prune=False)
    assert calls(bench, 30) == []


def test_of_many_remembered_addresses_those_seen_last_are_kept_and_the_living_before_all(bench: Any) -> None:
    book = known(bench, *[address(number, name=f"old{number}", unseen=number * 60.0) for number in range(1, 100)])
    for name in "abc":
        bench.alive(name)
    remembered = book.known()
    assert len(remembered) == MAX_REMEMBERED
    assert {each.name for each in remembered[:3]} == {"a", "b", "c"}
    assert [each.name for each in remembered[3:6]] == ["old1", "old2", "old3"]


def test_a_large_cluster_is_not_called_down(make_bench: Any) -> None:
    """Each of a hundred nodes calls where one failed once in some 800 s: together once in 8 s."""
    bench = make_bench(config=GossipConfig(probe_interval=HOUR, gossip_interval=HOUR, push_pull_interval=HOUR))
    for number in range(100):
        bench.alive(f"n{number}", Addr=bytes((10, 0, 2, number)))
    bench.dead("n0", "n1")
    assert len(calls(bench, HOUR)) == pytest.approx(HOUR / 800, abs=2)
