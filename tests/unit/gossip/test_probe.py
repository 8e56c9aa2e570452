"""One round of the failure detector, message by message."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proglog.gossip.config import GossipConfig
from proglog.gossip.framing import StreamReader, push_pull, unpack
from proglog.gossip.probe import MAX_FORWARDED
from proglog.gossip.wire import Fields, Type, encode


def probed(make_bench: Callable[..., Any], *names: str) -> tuple[Any, Fields, str]:
    """A node in the middle of a round: its bench, the ping it sent, and whom it asked."""
    bench = make_bench()
    for name in names:
        bench.alive(name)
    for _ in range(200):
        bench.run(0.01)
        pings = [fields for type_, fields, _ in bench.take_sent() if type_ == Type.PING]
        if pings:
            return bench, pings[0], pings[0].text("Node")
    raise AssertionError("nobody was probed within two seconds")


def score(bench: Any) -> int:
    return bench.serf._swim.awareness.score


def test_an_ack_in_time_is_a_round_trip_and_good_for_the_own_health(make_bench: Callable[..., Any]) -> None:
    bench, ping, target = probed(make_bench, "a")
    bench.serf._swim.awareness.apply(3)
    bench.now += 0.1
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo"), Payload=None)
    assert score(bench) == 2
    (rtt,) = [member.rtt_ms for member in bench.serf.members() if member.name == target]
    assert 100 <= rtt <= 115


def test_others_are_asked_under_the_same_number_and_tcp_is_tried(make_bench: Callable[..., Any]) -> None:
    bench, ping, target = probed(make_bench, *"abcde")
    bench.serf.streams_to_open()
    bench.run(0.55)
    asked = [(fields, to) for type_, fields, to in bench.take_sent() if type_ == Type.INDIRECT_PING]
    assert len({to for _, to in asked}) == 3
    target_address = bench.serf._swim.nodes.get(target).address
    assert target_address not in {to for _, to in asked}
    for fields, _ in asked:
        assert (fields.uint("SeqNo"), fields.text("Node"), fields.flag("Nack")) == (ping.uint("SeqNo"), target, True)
    (stream,) = bench.serf.streams_to_open()
    assert (stream.address, stream.data[0]) == (target_address, Type.PING)
    assert stream.timeout <= 0.5


def test_an_ack_through_others_keeps_the_target_alive_without_a_round_trip(make_bench: Callable[..., Any]) -> None:
    bench, ping, target = probed(make_bench, *"abc")
    bench.run(0.7)
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo"), Payload=None)
    bench.run(0.35)
    assert bench.state(target) == "alive 1"
    assert [member.rtt_ms for member in bench.serf.members() if member.name == target] == [None]


@pytest.mark.parametrize(("nacks", "health"), [(0, 2), (1, 1), (2, 0)])
def test_without_any_ack_the_target_is_suspected_and_missing_nacks_are_the_own_fault(
    make_bench: Callable[..., Any], nacks: int, health: int
) -> None:
    bench, ping, target = probed(make_bench, *"abc")
    bench.run(0.7)
    for number in range(nacks):
        nack = encode(Type.NACK, {"SeqNo": ping.uint("SeqNo")})
        for _ in range(6):  # a network may double it: it is one helper all the same
            bench.datagram(nack, (f"10.0.0.{number + 2}", 7946))
    bench.run(0.31)
    assert bench.state(target) == "suspect 1"
    assert score(bench) == health


def test_an_answer_over_tcp_alone_keeps_the_target_alive_and_is_reported(make_bench: Callable[..., Any]) -> None:
    bench, ping, target = probed(make_bench, "a")
    bench.run(0.55)
    (stream,) = bench.serf.streams_to_open()
    reply = StreamReader(None).feed(encode(Type.ACK, {"SeqNo": ping.uint("SeqNo"), "Payload": None}))
    bench.serf.stream_answered(stream.id, reply, bench.now)
    bench.run(0.46)
    assert bench.state(target) == "alive 1"
    assert any("over TCP" in reason for reason in bench.ignored())


def test_one_that_knows_no_pings_over_tcp_is_not_sent_one(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    for name in "ab":
        bench.alive(name, Vsn=bytes((1, 2, 2, 2, 5, 5)))
    bench.serf.streams_to_open()
    bench.run(30.0)
    assert [stream for stream in bench.serf.streams_to_open() if stream.data[0] == Type.PING] == []
    assert not any(bench.state(name).startswith("alive") for name in "ab")


def test_an_ack_of_another_round_counts_for_nothing(make_bench: Callable[..., Any]) -> None:
    bench, ping, target = probed(make_bench, "a")
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo") + 1, Payload=None)
    bench.run(1.01)
    assert bench.state(target) == "suspect 1"


def test_a_suspect_is_pinged_together_with_the_accusation(make_bench: Callable[..., Any]) -> None:
    bench, _, target = probed(make_bench, "a")
    bench.run(1.01)
    bench.take_sent()
    bench.run(2.0)
    sent = [(type_, to) for type_, _, to in bench.take_sent()]
    at = next(index for index, (type_, _) in enumerate(sent) if type_ == Type.PING)
    assert sent[at + 1] == (Type.SUSPECT, bench.serf._swim.nodes.get(target).address)


def test_a_suspect_that_answers_is_not_declared_dead_by_the_one_it_answers(make_bench: Callable[..., Any]) -> None:
    bench, _, target = probed(make_bench, *"abc")
    bench.suspect(target, "c" if target != "c" else "b")
    answers = 0
    for _ in range(600):  # longer than the longest suspicion: its refutation never comes, its answers do
        bench.run(0.1)
        for type_, fields, _ in bench.take_sent():
            if type_ == Type.PING and fields.text("Node") == target:
                bench.send(Type.ACK, SeqNo=fields.uint("SeqNo"), Payload=None)
                answers += 1
    assert answers >= 10
    assert bench.state(target) == "suspect 1"
    bench.run(60)
    assert not bench.state(target).startswith(("suspect", "alive"))


def test_a_suspect_is_pinged_for_others_together_with_the_accusation(bench: Any) -> None:
    for name in "abc":
        bench.alive(name)
    bench.suspect("b", "c")
    bench.take_sent()
    target = {"Target": bytes((10, 0, 0, 3)), "Port": 7946, "Node": "b"}
    bench.send(Type.INDIRECT_PING, SeqNo=40, Nack=True, SourceAddr=bytes((10, 0, 0, 2)), SourcePort=7946, **target)
    sent = [(type_, fields.text("Node"), to) for type_, fields, to in bench.take_sent() if type_ != Type.ALIVE]
    assert sent[:2] == [(Type.PING, "b", ("10.0.0.3", 7946)), (Type.SUSPECT, "b", ("10.0.0.3", 7946))]


def test_an_accused_node_tells_its_accuser_and_everyone_it_meets_until_no_suspicion_can_run(bench: Any) -> None:
    for name in "abcde":
        bench.alive(name)
    bench.run(5.0)
    bench.take_sent()
    bench.suspect("me", "c")
    ((type_, refutation, to),) = bench.take_sent()
    assert (type_, refutation.uint("Incarnation"), to) == (Type.ALIVE, 2, ("10.0.0.4", 7946))

    def met_with_it(seconds: float) -> tuple[int, int]:
        """Pings and answers to members in that time, and how many of them brought the announcement."""
        met = brought = 0
        for _ in range(int(seconds)):
            bench.send(Type.PING, SeqNo=9, Node="me", SourceAddr=bytes((10, 0, 0, 2)), SourcePort=7946)
            bench.run(1.0)
            for data, _ in bench.serf.datagrams_to_send():
                parts = unpack(data, None)
                if parts[0][0] in (Type.PING, Type.ACK):
                    met += 1
                    brought += any(part[0] == Type.ALIVE and b"me" in part for part in parts[1:])
        return met, brought

    bench.run(3.0)  # gossip has sent it as often as it does
    bench.take_sent()
    met, brought = met_with_it(18.0)
    assert met == brought >= 18
    bench.run(8.0)
    bench.take_sent()
    met, brought = met_with_it(10.0)
    assert met >= 10
    assert brought == 0


def test_forged_accusations_do_not_make_a_node_flood_the_one_they_name(bench: Any) -> None:
    bench.alive("a")
    bench.take_sent()
    for incarnation in range(1, 200):
        bench.suspect("me", "a", incarnation)
    assert len(bench.take_sent()) == 1


def test_a_sick_node_gives_others_more_time(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.alive("a")
    bench.serf._swim.awareness.apply(3)
    bench.run(3.9)
    assert bench.state("a") == "alive 1"
    bench.run(1.2)
    assert bench.state("a").startswith(("suspect", "dead"))


def test_every_member_is_probed_once_a_round(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    for name in "abcde":
        bench.alive(name)
    targets: list[str] = []
    while len(targets) < 10:
        bench.run(0.1)
        for type_, fields, _ in bench.take_sent():
            if type_ == Type.PING:
                targets.append(fields.text("Node"))
                bench.send(Type.ACK, SeqNo=fields.uint("SeqNo"), Payload=None)
    assert sorted(targets[:5]) == sorted(targets[5:]) == list("abcde")


def test_pings_for_others_are_bounded(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.alive("b")
    bench.take_sent()
    for number in range(MAX_FORWARDED + 50):
        bench.send(Type.INDIRECT_PING, SeqNo=number, Target=bytes((10, 0, 0, 3)), Port=7946, Node="b", Nack=False)
    assert len([type_ for type_, _, _ in bench.take_sent() if type_ == Type.PING]) == MAX_FORWARDED


def test_who_refutes_during_a_round_is_not_accused_under_its_new_incarnation(make_bench: Callable[..., Any]) -> None:
    bench, _, target = probed(make_bench, "a")
    bench.run(0.7)
    bench.alive(target, 2)
    bench.run(0.4)
    assert bench.state(target) == "alive 2"


def test_after_a_failed_round_the_next_begins_at_the_next_tick(make_bench: Callable[..., Any]) -> None:
    bench, _, _ = probed(make_bench, "a", "b")
    bench.take_sent()
    bench.run(1.05)
    assert [type_ for type_, _, _ in bench.take_sent() if type_ == Type.PING] != []


def test_a_helper_says_that_it_got_no_answer_before_the_askers_round_ends(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.alive("a")
    bench.alive("b")
    bench.take_sent()
    request = {"Target": bytes((10, 0, 0, 3)), "Port": 7946, "Node": "b", "Nack": True}
    bench.send(Type.INDIRECT_PING, SeqNo=40, **request)
    bench.run(0.45)
    assert [fields.uint("SeqNo") for type_, fields, _ in bench.take_sent() if type_ == Type.NACK] == [40]


def test_a_helper_is_asked_for_one_that_it_knows_to_be_dead_and_that_is_no_nonsense(bench: Any) -> None:
    bench.alive("a")
    bench.alive("b")
    bench.dead("b", "a")
    bench.serf.events()
    bench.send(Type.INDIRECT_PING, SeqNo=40, Target=bytes((10, 0, 0, 3)), Port=7946, Node="b", Nack=True)
    assert bench.ignored() == []
    bench.send(Type.INDIRECT_PING, SeqNo=41, Target=bytes((10, 0, 0, 99)), Port=7946, Node="z", Nack=True)
    assert bench.ignored() == ["an indirect ping of an address at which no member is known"]


def test_a_full_exchange_that_fails_is_remembered_until_one_goes_well(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(config=replace(GossipConfig.lan(), push_pull_interval=0.1))
    bench.alive("a")
    bench.run(0.25)
    streams = bench.serf.streams_to_open()
    assert len(streams) >= 2
    for stream in streams[1:]:
        bench.serf.stream_failed(stream.id, "timed out", bench.now)
    (a,) = [each for each in bench.serf.members() if each.name == "a"]
    assert (a.exchanges_failed, a.exchange_error) == (len(streams) - 1, "timed out")
    reply = StreamReader(None).feed(push_pull(join=False, nodes=[], state=b""))
    bench.serf.stream_answered(streams[0].id, reply, bench.now)
    (a,) = [each for each in bench.serf.members() if each.name == "a"]
    assert (a.exchanges_failed, a.exchange_error) == (0, "")
