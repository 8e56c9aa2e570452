"""User events: sent, told once, coalesced, replayed to those who missed them, within bounds."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from proglog.errors import InvalidRequestError
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import UserEventReceived
from proglog.gossip.lamport import ClockTimes
from proglog.gossip.serf import Serf
from proglog.gossip.serf_messages import SerfState
from proglog.gossip.user_events import MAX_KEPT_BYTES
from proglog.gossip.wire import SerfType
from proglog.testing.network import VirtualNetwork


def told(bench: Any) -> list[tuple[str, bytes, int]]:
    return [
        (each.name, each.payload, each.ltime) for each in bench.serf.events() if isinstance(each, UserEventReceived)
    ]


def receive(bench: Any, name: str, ltime: int, payload: bytes = b"", *, coalesce: bool = False) -> None:
    bench.send_serf(SerfType.USER_EVENT, Name=name, Payload=payload, LTime=ltime, CC=coalesce)


def state_of(bench: Any) -> SerfState:
    return SerfState.read(bench.serf.local_state())[0]


def test_an_event_from_here_is_reported_here_and_gossiped(bench: Any) -> None:
    bench.alive("a")
    bench.take_sent_serf()
    assert bench.serf.send_event("deploy", b"v1", bench.now) == 1
    assert bench.serf.send_event("deploy", b"v1", bench.now, coalesce=True) == 2
    assert told(bench) == [("deploy", b"v1", 1)]
    bench.run(2.0)
    assert told(bench) == [("deploy", b"v1", 2)]
    sent = [fields for kind, fields, _ in bench.take_sent_serf() if kind == SerfType.USER_EVENT]
    assert {(each.text("Name"), each.raw("Payload"), each.ltime("LTime"), each.flag("CC")) for each in sent} == {
        ("deploy", b"v1", 1, False),
        ("deploy", b"v1", 2, True),
    }


@pytest.mark.parametrize(("name", "payload"), [("", b"x"), ("x", b"y" * 512), ("n" * 500, b""), ("x" * 600, b"")])
def test_an_event_over_the_limit_is_refused_and_its_time_not_used(bench: Any, name: str, payload: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="user event"):
        bench.serf.send_event(name, payload, bench.now)
    assert bench.serf.send_event("small", b"", bench.now) == 1


def test_of_events_to_be_coalesced_only_the_newest_is_reported_after_a_second_of_quiet(bench: Any) -> None:
    for ltime in (3, 5, 4):
        receive(bench, "deploy", ltime, b"%d" % ltime, coalesce=True)
        bench.run(0.5)
    receive(bench, "other", 1, coalesce=True)
    assert told(bench) == []
    bench.run(1.01)
    assert told(bench) == [("other", b"", 1), ("deploy", b"5", 5)]


def test_coalescing_takes_three_seconds_at_most(bench: Any) -> None:
    for ltime in range(1, 8):
        receive(bench, "deploy", ltime, coalesce=True)
        bench.run(0.5)
    assert [ltime for _, _, ltime in told(bench)] == [6]


def test_events_of_one_time_and_name_are_all_told_though_coalesced(bench: Any) -> None:
    receive(bench, "deploy", 3, b"a", coalesce=True)
    receive(bench, "deploy", 3, b"b", coalesce=True)
    bench.run(1.1)
    assert [payload for _, payload, _ in told(bench)] == [b"a", b"b"]


def test_a_full_exchange_brings_the_events_that_were_missed(bench: Any, make_bench: Callable[..., Any]) -> None:
    receive(bench, "one", 7, b"x")
    receive(bench, "two", 7, b"y")
    receive(bench, "three", 9)
    other = make_bench()
    other.exchange(state=bench.serf.local_state())
    assert told(other) == [("one", b"x", 7), ("two", b"y", 7), ("three", b"", 9)]
    assert [event.name for event in state_of(other).events] == ["one", "two", "three"]


def test_events_older_than_512_times_are_not_kept(bench: Any) -> None:
    receive(bench, "old", 1)
    receive(bench, "new", 513)
    assert [event.name for event in state_of(bench).events] == ["new"]


def test_what_is_kept_of_events_is_bounded(bench: Any) -> None:
    for number in range(2000):
        receive(bench, f"event-{number}", 10 + number % 500, bytes(1000))
    kept = state_of(bench).events
    assert sum(len(event.payload) for event in kept) <= MAX_KEPT_BYTES
    assert len(kept) > 200


def cluster_with_an_event(**restarted: Any) -> list[str]:
    network = VirtualNetwork(seed=5)
    for name in ("a", "b"):
        network.add(name)
    network.join_all()
    network.nodes["a"].serf.send_event("before", b"", network.now)
    network.run(2.0)
    late = network.add("c", known=network.seed("a"))
    if restarted:
        late = Serf(
            name="c",
            address=network.nodes["c"].address,
            tags={},
            config=GossipConfig.lan(),
            keyring=None,
            random=Random(2),
            now=network.now,
            known=network.seed("a"),
            **restarted,
        )
        network.nodes["c"].serf = late
        network.nodes["c"].events.clear()
        late.start(network.now)
        network._pump(network.nodes["c"])
    network.run_until(network.all_see_all, 60)
    network.nodes["b"].serf.send_event("after", b"", network.now)
    network.run(3.0)
    return [event.name for _, event in network.nodes["c"].events if isinstance(event, UserEventReceived)]


def test_who_joins_is_not_told_of_what_happened_before() -> None:
    assert cluster_with_an_event() == ["after"]


def test_who_joins_and_asks_for_it_hears_what_happened_before() -> None:
    assert cluster_with_an_event(replay=True) == ["before", "after"]


def test_who_comes_back_hears_what_happened_meanwhile_and_not_again() -> None:
    assert cluster_with_an_event(clocks=ClockTimes(intents=1, events=1, queries=1)) == ["after"]


def test_clocks_of_an_earlier_life_are_what_it_was_given(bench: Any) -> None:
    receive(bench, "x", 41)
    assert bench.serf.clocks().events == 41
