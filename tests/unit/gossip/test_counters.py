"""What the failure detector counts and tells: how probes went, who was accused, what had to be refuted."""

from typing import Any

import pytest

from proglog.gossip.counters import FLAP_SECONDS, Counters
from proglog.gossip.events import MemberSuspected, SuspicionRefuted
from proglog.gossip.framing import StreamReader
from proglog.gossip.wire import SerfType, Type, encode


def counters(bench: Any) -> Counters:
    return bench.serf.vitals().counters


def next_ping(bench: Any) -> int:
    """Let time pass to the next probe; return the number of its ping."""
    bench.take_sent()
    for _ in range(100):
        bench.run(0.1)
        for kind, fields, _to in bench.take_sent():
            if kind == Type.PING:
                return int(fields.uint("SeqNo"))
    raise AssertionError("no probe in ten seconds")


def test_a_probe_is_counted_by_how_it_was_answered(bench: Any) -> None:
    bench.alive("a")
    bench.send(Type.ACK, SeqNo=next_ping(bench), Payload=None)
    assert (counters(bench).probes_direct, counters(bench).probes_relayed) == (1, 0)

    number = next_ping(bench)
    bench.run(0.6)
    bench.send(Type.ACK, SeqNo=number, Payload=None)
    assert (counters(bench).probes_direct, counters(bench).probes_relayed) == (1, 1)

    number = next_ping(bench)
    bench.serf.streams_to_open()
    bench.run(0.6)
    (stream,) = bench.serf.streams_to_open()
    answer = StreamReader(None).feed(encode(Type.ACK, {"SeqNo": number, "Payload": None}))
    bench.serf.stream_answered(stream.id, answer, bench.now)
    bench.run(1.0)
    assert (counters(bench).probes_tcp, counters(bench).probes_missed) == (1, 0)
    (member,) = [each for each in bench.serf.members() if each.name == "a"]
    assert member.udp_missed == 1

    next_ping(bench)
    bench.run(3.0)
    assert counters(bench).probes_missed >= 1
    assert bench.serf.vitals().health_score >= 1


def test_a_suspicion_and_a_refutation_are_reported_and_counted(bench: Any) -> None:
    bench.alive("a")
    bench.suspect("a", "b")
    bench.suspect("a", "c")
    bench.suspect("me", "b")
    told = bench.serf.events()
    assert [each for each in told if isinstance(each, MemberSuspected)] == [MemberSuspected(name="a", accuser="b")]
    assert [each for each in told if isinstance(each, SuspicionRefuted)] == [SuspicionRefuted(incarnation=2)]
    assert (counters(bench).suspicions, counters(bench).refutations) == (1, 1)
    assert bench.state("a") == "suspect 1"


def test_conflicts_malformed_messages_and_what_waits_are_counted(bench: Any) -> None:
    bench.alive("a")
    bench.alive("a", 2, Addr=bytes((10, 0, 0, 77)))
    bench.datagram(b"\xff\xff")
    assert (counters(bench).conflicts, counters(bench).malformed) == (1, 1)
    bench.serf.send_event("x", b"", bench.now)
    assert bench.serf.vitals().queues["events"] == 1
    assert bench.serf.vitals().queues["members"] >= 1


def test_exchanges_are_counted_by_how_they_ended(bench: Any) -> None:
    bench.alive("a")
    bench.exchange()
    bench.serf.join(("10.0.0.2", 7946), bench.now)
    (call,) = bench.serf.streams_to_open()
    bench.serf.stream_failed(call.id, "nobody answers", bench.now)

    assert (counters(bench).exchanges, counters(bench).exchanges_failed) == (1, 1)


@pytest.mark.parametrize(("away", "flaps"), [(FLAP_SECONDS - 1, 1), (FLAP_SECONDS + 1, 0)])
def test_a_member_that_fails_and_soon_returns_is_a_flap(bench: Any, away: float, flaps: int) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.now += away
    bench.alive("a", incarnation=2)

    assert counters(bench).flaps == flaps


def test_a_new_member_and_one_that_left_are_no_flaps(bench: Any) -> None:
    bench.alive("a")
    bench.send_serf(SerfType.LEAVE, LTime=3, Node="a")
    bench.dead("a", "a")
    bench.alive("a", incarnation=2)

    assert counters(bench).flaps == 0


def test_events_and_queries_are_counted_once(bench: Any) -> None:
    for _ in range(3):
        bench.send_serf(SerfType.USER_EVENT, LTime=3, Name="deploy", Payload=b"", CC=False)
        bench.send_serf(SerfType.QUERY, LTime=3, ID=7, Addr=bytes((10, 0, 0, 9)), Port=7946, Name="q", Payload=b"")
    bench.serf.send_event("own", b"", bench.now)

    assert (counters(bench).user_events, counters(bench).queries) == (2, 1)
