"""The membership state machine, row by row."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from kit.patience import LEAST, patience
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import JoinFinished, NameConflict
from proglog.gossip.framing import StreamReader, pack, push_pull
from proglog.gossip.member import VERSIONS
from proglog.gossip.serf_messages import SerfState
from proglog.gossip.sync import MERGED_AT_ONCE
from proglog.gossip.wire import Type, decode, encode, encode_map, encode_tags
from tests.unit.gossip.conftest import Bench


def record(name: str, ip: bytes, state: int, incarnation: int = 1, versions: bytes = VERSIONS) -> dict[str, object]:
    return {
        "Name": name,
        "Addr": ip,
        "Port": 7946,
        "Meta": b"",
        "Incarnation": incarnation,
        "State": state,
        "Vsn": versions,
    }


A_IP, B_IP = bytes((10, 0, 0, 2)), bytes((10, 0, 0, 3))


def test_an_unknown_name_joins(bench: Any) -> None:
    bench.events()
    bench.alive("a")
    assert bench.state("a") == "alive 1"
    assert bench.events() == ["member-join a"]


def test_a_claim_without_incarnation_is_nobody(bench: Any) -> None:
    bench.alive("a", 0)
    assert bench.state("a") == ""


def test_an_alive_claim_needs_a_higher_incarnation(bench: Any) -> None:
    bench.alive("a", 2)
    bench.suspect("a", "b", 2)
    bench.alive("a", 2)
    assert bench.state("a") == "suspect 2"
    bench.alive("a", 3)
    assert bench.state("a") == "alive 3"


@pytest.mark.parametrize(
    "versions", [bytes((1, 5, 2)), bytes((0, 5, 2, 2, 5, 5)), bytes((5, 1, 2, 2, 5, 5)), bytes((1, 5, 2, 3, 5, 2))]
)
def test_versions_that_make_no_sense_are_not_taken_in(bench: Any, versions: bytes) -> None:
    bench.alive("a", Vsn=versions)
    assert bench.state("a") == ""


def test_new_tags_are_an_update(bench: Any) -> None:
    bench.alive("a")
    bench.events()
    bench.alive("a", 2, Meta=b"\xff\x81\xa1k\xa1v")
    assert bench.events() == ["member-update a"]
    assert {member.name: member.tags for member in bench.serf.members()}["a"] == {"k": "v"}


def test_an_alive_name_at_another_address_is_a_conflict(bench: Any) -> None:
    bench.alive("a")
    bench.serf.events()
    bench.alive("a", 9, Addr=bytes((10, 9, 9, 9)))
    assert bench.serf.events() == [NameConflict(name="a", address=("10.9.9.9", 7946), local=False)]
    assert bench.state("a") == "alive 1"


def test_a_dead_name_returns_at_another_address_at_once(bench: Any) -> None:
    bench.alive("a", 7)
    bench.dead("a", "b", 7)
    bench.events()
    bench.alive("a", 1, Addr=bytes((10, 9, 9, 9)))
    assert bench.state("a") == "alive 1"
    assert bench.events() == ["member-join a"]


def test_a_name_claimed_elsewhere_while_it_seems_to_live_moves_when_it_is_found_dead(bench: Any) -> None:
    bench.alive("a", 7)
    bench.alive("a", 1, Addr=bytes((10, 9, 9, 9)))
    assert bench.state("a") == "alive 7"
    bench.events()
    bench.dead("a", "b", 7)
    assert bench.state("a") == "alive 1"
    assert bench.serf._swim.nodes.get("a").address == ("10.9.9.9", 7946)
    assert bench.events() == ["member-failed a", "member-join a"]


def test_what_is_said_of_the_address_that_a_node_had_before_is_old_news(bench: Any) -> None:
    bench.alive("a", 7)
    bench.dead("a", "b", 7)
    bench.alive("a", 1, Addr=bytes((10, 9, 9, 9)))
    bench.serf.events()
    bench.alive("a", 6)
    bench.dead("a", "b")
    bench.alive("a", 7)
    assert bench.state("a") == "dead 1"
    assert [event for event in bench.serf.events() if isinstance(event, NameConflict)] == []


def test_a_name_that_left_may_return_at_another_address_with_any_incarnation(bench: Any) -> None:
    bench.alive("a", 7)
    bench.dead("a", "a", 7)
    bench.alive("a", 1, Addr=bytes((10, 9, 9, 9)))
    assert bench.state("a") == "alive 1"


def test_the_own_name_at_another_address_is_a_conflict_of_this_node(bench: Any) -> None:
    bench.serf.events()
    bench.alive("me", 9, Addr=bytes((10, 9, 9, 9)))
    (conflict,) = [event for event in bench.serf.events() if isinstance(event, NameConflict)]
    assert conflict == NameConflict(name="me", address=("10.9.9.9", 7946), local=True)


@pytest.mark.parametrize("kind", ["alive", "suspect", "dead"])
def test_what_is_wrongly_said_about_this_node_is_refuted_with_a_higher_incarnation(bench: Any, kind: str) -> None:
    bench.alive("a")
    {
        "alive": lambda: bench.alive("me", 5, Meta=b"of another life"),
        "suspect": lambda: bench.suspect("me", "a", 5),
        "dead": lambda: bench.dead("me", "a", 5),
    }[kind]()
    assert bench.state("me") == "alive 6"
    bench.run(0.3)
    claims = [fields for type_, fields, _ in bench.take_sent() if type_ == Type.ALIVE and fields.text("Node") == "me"]
    assert {claim.uint("Incarnation") for claim in claims} == {6}
    assert bench.serf._swim.awareness.score == 1


def test_what_is_said_rightly_about_this_node_is_left_alone(bench: Any) -> None:
    own = bench.serf._swim.nodes.own
    bench.alive("me", own.incarnation, Meta=own.meta)
    assert bench.state("me") == "alive 1"


def test_old_claims_about_this_node_are_left_alone(bench: Any) -> None:
    bench.suspect("me", "a", 5)
    bench.alive("me", 3, Meta=b"of another life")
    assert bench.state("me") == "alive 6"


def test_a_suspicion_of_an_older_incarnation_is_dropped(bench: Any) -> None:
    bench.alive("a", 3)
    bench.suspect("a", "b", 2)
    assert bench.state("a") == "alive 3"


def test_a_suspicion_of_an_unknown_name_is_dropped(bench: Any) -> None:
    bench.suspect("a", "b")
    bench.dead("a", "b")
    assert bench.state("a") == ""


def test_a_suspect_that_nobody_hears_of_is_dead_after_the_longest_suspicion(bench: Any) -> None:
    for name in "abc":
        bench.alive(name)
    bench.suspect("a", "me")  # so that this node's own probes do not confirm it
    bench.run(23.0)
    assert bench.state("a") == "suspect 1"
    bench.run(1.5)
    assert bench.state("a") == "dead 1"


def test_two_confirmations_bring_the_shortest_suspicion(bench: Any) -> None:
    for name in "abcd":
        bench.alive(name)
    bench.suspect("a", "b")
    bench.suspect("a", "b")
    bench.suspect("a", "c")
    bench.run(3.5)
    bench.suspect("a", "d")
    assert bench.state("a") == "suspect 1"
    bench.run(0.6)
    assert bench.state("a") == "dead 1"


def test_a_suspect_that_refutes_is_alive(bench: Any) -> None:
    bench.alive("a")
    bench.suspect("a", "b")
    bench.alive("a", 2)
    assert bench.state("a") == "alive 2"


def test_a_death_that_the_node_announces_itself_is_a_departure(bench: Any) -> None:
    bench.alive("a")
    bench.alive("b")
    bench.dead("a", "a")
    bench.dead("b", "a")
    assert (bench.state("a"), bench.state("b")) == ("left 1", "dead 1")


def test_a_dead_node_returns_with_a_higher_incarnation_and_not_with_the_same(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.alive("a")
    assert bench.state("a") == "dead 1"
    bench.events()
    bench.alive("a", 2)
    assert bench.events() == ["member-join a"]


def test_a_third_partys_dead_in_an_exchange_is_a_suspicion(bench: Any) -> None:
    bench.alive("a")
    bench.alive("b")
    bench.exchange(record("a", A_IP, 2), record("b", B_IP, 1))
    assert (bench.state("a"), bench.state("b")) == ("suspect 1", "suspect 1")


def test_alive_and_left_in_an_exchange_are_taken_as_they_are(bench: Any) -> None:
    bench.alive("b")
    bench.exchange(record("a", A_IP, 0, 4), record("b", B_IP, 3))
    assert (bench.state("a"), bench.state("b")) == ("alive 4", "left 1")


def test_a_port_of_zero_is_the_own_port(bench: Any) -> None:
    bench.exchange(record("a", A_IP, 0) | {"Port": 0})
    assert bench.serf._swim.nodes.get("a").address == ("10.0.0.2", 7946)


@pytest.mark.parametrize(
    "bad",
    [
        {"Name": "x" * 600},
        {"Meta": b"x" * 601},
        {"Vsn": bytes((1, 5, 2, 2, 5, 1))},
        {"Vsn": bytes((1, 5, 2))},
        {"Addr": b"abc"},
        {"Incarnation": 2**32 - 1},
        {"Port": "x"},
        {"State": 9},
        {"Name": ""},
    ],
)
def test_a_record_beyond_a_limit_costs_itself_alone(bench: Any, bad: dict[str, Any]) -> None:
    reply = bench.exchange(record("b", B_IP, 0) | bad, record("a", A_IP, 0))
    assert reply is not None
    assert (bench.state("a"), bench.state("b")) == ("alive 1", "")
    assert len(bench.ignored()) == 1


def test_a_large_exchange_is_merged_some_records_at_a_time(bench: Any) -> None:
    records = [record(f"n{number}", bytes((10, 1, number >> 8, number & 255)), 0) for number in range(2000)]
    bench.exchange(*records)
    assert len(bench.serf.members()) == 1 + MERGED_AT_ONCE
    bench.serf.handle_timer(bench.now)
    assert len(bench.serf.members()) == 1 + 2 * MERGED_AT_ONCE
    for _ in range(10):
        bench.serf.handle_timer(bench.now)
    assert len(bench.serf.members()) == 2001


def test_an_exchange_with_ten_thousand_nodes_takes_no_fifty_milliseconds_at_a_time() -> None:
    names = [f"node-{number}.example" for number in range(9999)]
    tags = encode_tags({"rpc_addr": "10.1.200.200:8400", "zone": "north"})
    nodes = [
        record(name, bytes((10, 1, number >> 8, number & 255)), 0) | {"Meta": tags} for number, name in enumerate(names)
    ]
    state = SerfState(ltime=20_000, status_ltimes=dict(zip(names, range(1, 10_000), strict=True)))
    data = push_pull(join=True, nodes=[encode_map(node) for node in nodes], state=state.encode())

    def longest_step() -> float:
        """Feed it to a node twice, as news and as what it knows; return the longest step's processor seconds."""
        bench, longest = Bench(), 0.0

        def step(act: Callable[[], object]) -> None:
            nonlocal longest
            began = time.process_time()
            act()
            longest = max(longest, time.process_time() - began)

        for _ in range(2):
            message = StreamReader(None).feed(data)  # the driver does this in a thread
            assert message is not None
            step(lambda message=message: bench.serf.answer_stream(message, bench.now))  # type: ignore[misc]
            for _ in range(45):
                step(lambda: bench.serf.handle_timer(bench.now))
                step(bench.serf.events)
                step(bench.serf.known_addresses)
        assert len(bench.serf.members()) == 10_000
        return longest

    assert min(longest_step() for _ in range(2)) < patience(0.05 / LEAST)


def test_the_reply_to_an_exchange_holds_every_node_with_the_fixed_versions(bench: Any) -> None:
    bench.alive("a")
    reply = StreamReader(None).feed(bench.exchange())
    assert {fields.text("Name"): fields.uint("State") for fields in reply.nodes} == {"me": 0, "a": 0}
    assert {fields.raw("Vsn") for fields in reply.nodes} == {bytes.fromhex("010502020505")}
    assert reply.state[0] == 2


def test_a_ping_is_answered_to_its_source_with_a_coordinate(bench: Any) -> None:
    bench.alive("a", Port=1234)
    bench.take_sent()
    bench.send(Type.PING, SeqNo=7, Node="me", SourceAddr=A_IP, SourcePort=1234, SourceNode="a")
    ((type_, ack, address),) = [sent for sent in bench.take_sent() if sent[0] == Type.ACK]
    assert (type_, ack.uint("SeqNo"), address) == (Type.ACK, 7, ("10.0.0.2", 1234))
    assert len(decode(ack.raw("Payload")[1:]).each("Vec")) == 8


def test_a_ping_without_a_source_is_answered_to_the_sender(bench: Any) -> None:
    bench.send(Type.PING, SeqNo=7, Node="", SourceNode="a")
    assert [address for type_, _, address in bench.take_sent() if type_ == Type.ACK] == [("10.0.0.99", 7946)]


def test_a_strangers_ping_is_answered_to_where_it_came_from_and_without_gossip(bench: Any) -> None:
    bench.alive("a")
    bench.send(Type.PING, SeqNo=7, Node="me", SourceAddr=bytes((10, 7, 7, 7)), SourcePort=53)
    assert [(type_, to) for type_, _, to in bench.take_sent()] == [(Type.ACK, ("10.0.0.99", 7946))]


def test_a_strangers_answer_is_no_longer_than_its_ping(bench: Any) -> None:
    bench.send(Type.PING, SeqNo=7)
    assert bench.take_sent() == []
    bench.send(Type.PING, SeqNo=7, Node="me", SourceNode="x")
    ((_, ack, _),) = bench.take_sent()
    assert ack.raw("Payload") == b""


def test_a_datagram_full_of_pings_gets_one_answer(bench: Any) -> None:
    ping = encode(Type.PING, {"SeqNo": 7, "Node": "me"})
    bench.datagram(pack([ping] * 200, crc=False, keyring=None, nonce=b""))
    assert len(bench.serf.datagrams_to_send()) == 1


def test_a_node_helps_to_ping_members_and_nobody_else(bench: Any) -> None:
    request = {"Target": bytes((10, 7, 7, 7)), "Port": 53, "Node": "b", "Nack": True}
    bench.send(Type.INDIRECT_PING, SeqNo=40, **request, SourceAddr=A_IP, SourcePort=7946)
    bench.run(1.0)
    assert bench.take_sent() == []


def test_a_ping_for_somebody_else_is_not_answered(bench: Any) -> None:
    bench.send(Type.PING, SeqNo=7, Node="a")
    assert bench.take_sent() == []


def test_a_ping_over_tcp_is_answered_without_a_payload(bench: Any) -> None:
    request = StreamReader(None).feed(encode(Type.PING, {"SeqNo": 5, "Node": "me"}))
    assert bench.serf.answer_stream(request, bench.now) == bytes.fromhex("0282a75061796c6f6164c0a55365714e6f05")


def test_an_indirect_ping_is_passed_on_and_its_ack_passed_back(bench: Any) -> None:
    for name in "ab":
        bench.alive(name)
    bench.take_sent()
    bench.send(
        Type.INDIRECT_PING, SeqNo=40, Target=B_IP, Port=7946, Node="b", Nack=True, SourceAddr=A_IP, SourcePort=7946
    )
    ((_, ping, address),) = bench.take_sent()
    assert address == ("10.0.0.3", 7946)
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo"), Payload=None)
    sent = [(type_, fields.uint("SeqNo"), address) for type_, fields, address in bench.take_sent()]
    assert (Type.ACK, 40, ("10.0.0.2", 7946)) in sent


@pytest.mark.parametrize("wanted", [True, False])
def test_an_indirect_ping_without_an_ack_ends_with_a_nack_if_one_is_wanted(bench: Any, wanted: bool) -> None:
    bench.alive("b")
    bench.take_sent()
    bench.send(
        Type.INDIRECT_PING, SeqNo=40, Target=B_IP, Port=7946, Node="b", Nack=wanted, SourceAddr=A_IP, SourcePort=1
    )
    bench.run(0.6)
    nacks = [fields.uint("SeqNo") for type_, fields, _ in bench.take_sent() if type_ == Type.NACK]
    assert nacks == ([40] if wanted else [])


def test_a_dead_node_is_forgotten_when_everybody_had_time_to_hear_of_it(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.run(28)
    assert bench.state("a") == "dead 1"
    bench.run(10)
    assert bench.state("a") == ""
    assert bench.status("a") == "failed"


def test_there_is_a_bound_on_names(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(config=GossipConfig(max_nodes=3))
    for name in "abc":
        bench.alive(name)
    assert (bench.state("b"), bench.state("c")) == ("alive 1", "")
    assert any("one node too many" in reason for reason in bench.ignored())


@pytest.mark.parametrize("say", ["alive", "suspect", "dead"])
def test_an_incarnation_that_nobody_counted_to_is_not_believed(bench: Any, say: str) -> None:
    bench.alive("a")
    tell = getattr(bench, say)
    for name in ("me", "a"):
        tell(name, 2**32 - 1) if say == "alive" else tell(name, "b", 2**32 - 1)
    assert (bench.state("me"), bench.state("a")) == ("alive 1", "alive 1")


def test_an_incarnation_at_the_end_of_its_range_stays_there(bench: Any) -> None:
    bench.serf._swim.nodes.own.incarnation = 2**32 - 1
    bench.set_tags({"x": "y"})
    assert bench.state("me") == f"alive {2**32 - 1}"


def test_time_that_this_process_did_not_run_accuses_nobody(bench: Any) -> None:
    for name in "abcd":
        bench.alive(name)
    for accuser in "bcd":
        bench.suspect("a", accuser)
    bench.now += 3600
    bench.serf.handle_timer(bench.now)
    assert bench.state("a") == "suspect 1"
    bench.alive("a", 2)
    assert bench.state("a") == "alive 2"


def test_a_call_that_is_refused_at_length_ends_all_the_same(bench: Any) -> None:
    call = bench.serf.join(("10.0.0.2", 7946), bench.now)
    (stream,) = bench.serf.streams_to_open()
    refusal = StreamReader(None).feed(encode(Type.ERROR, {"Error": "no " * 3000}))
    bench.serf.stream_answered(stream.id, refusal, bench.now)
    (finished,) = [event for event in bench.serf.events() if isinstance(event, JoinFinished)]
    assert (finished.call_id, finished.error[:14], len(finished.error) < 400) == (call, "refused: no no", True)


def test_compressed_datagrams_are_looked_at_up_to_so_many_bytes_a_second(bench: Any) -> None:
    ping = bytes.fromhex("000181aa0102")  # some LZW; what it holds does not matter
    compressed = encode(Type.COMPRESS, {"Algo": 0, "Buf": ping + bytes(10_000)})
    for _ in range(100):
        bench.datagram(compressed)
    refused = [reason for reason in bench.ignored() if "decompress a second" in reason]
    assert len(refused) > 90
    bench.datagram(encode(Type.COMPRESS, {"Algo": 0, "Buf": bytes(60_000)}))
    assert any("in a datagram" in reason for reason in bench.ignored())
