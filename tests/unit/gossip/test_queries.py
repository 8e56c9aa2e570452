"""What this node answers to queries, and to whom."""

import base64
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from proglog.gossip.events import KeyringChanged
from proglog.gossip.framing import unpack
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import VERSIONS
from proglog.gossip.messages import AliveClaim
from proglog.gossip.serf_messages import MAX_DETOURS
from proglog.gossip.wire import Fields, SerfType, Type, decode, encode, split_map

ASKER = AliveClaim(name="z", ip=bytes((10, 0, 0, 50)), port=7000, meta=b"", versions=VERSIONS, incarnation=1)
KEY, NEXT = bytes(32), bytes(range(32))


def ask(bench: Any, name: str, payload: bytes = b"", **fields: Any) -> list[Fields]:
    """Send a query; return the responses that went straight back."""
    if bench.serf._swim.nodes.get("z") is None:  # the asker is a member
        bench.serf._swim.beliefs.take_alive(ASKER)
    bench.take_sent_serf()
    query = {
        "LTime": 1,
        "ID": 77,
        "Addr": bytes((10, 0, 0, 50)),
        "Port": 7000,
        "SourceNode": "z",
        "Filters": None,
        "Flags": 0,
        "RelayFactor": 0,
        "Timeout": 10**9,
        "Name": name,
        "Payload": payload,
    } | fields
    message = bytes((Type.USER,)) + encode(SerfType.QUERY, query)
    if bench.keyring is not None:
        message = bench.keyring.seal(message, nonce=bytes(12))
    bench.datagram(message)
    sent = bench.take_sent_serf()
    return [answer for type_, answer, to in sent if type_ == SerfType.QUERY_RESPONSE and to == ("10.0.0.50", 7000)]


def names_filter(*names: str) -> bytes:
    return b"\x00" + msgpack.packb([name.encode() for name in names], use_bin_type=False)


def tag_filter(tag: str, expression: str) -> bytes:
    return b"\x01" + msgpack.packb({"Tag": tag, "Expr": expression}, use_bin_type=False)


def answer_of(responses: list[Fields]) -> Fields:
    (response,) = responses
    return decode(response.raw("Payload")[1:])


def test_a_query_that_wants_one_is_acknowledged(bench: Any) -> None:
    (ack,) = ask(bench, "_serf_ping", Flags=1)
    assert (ack.uint("ID"), ack.uint("LTime"), ack.uint("Flags"), ack.text("From")) == (77, 1, 1, "me")


def test_a_query_is_answered_once(bench: Any) -> None:
    assert len(ask(bench, "anything", Flags=1)) == 1
    assert ask(bench, "anything", Flags=1) == []


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        ([names_filter("me", "a")], True),
        ([names_filter("a")], False),
        ([tag_filter("role", "^te.t$")], True),
        ([tag_filter("role", "es")], True),
        ([tag_filter("role", "^es")], False),
        ([tag_filter("missing", "^$")], True),
        ([names_filter("me"), tag_filter("role", "other")], False),
        ([tag_filter("role", "(t+)+x")], False),
        ([tag_filter("role", ".*e.*t")], True),
        ([tag_filter("role", "(?i)^TEST$")], True),
        ([tag_filter("role", r"^(t)es\1$")], False),
        ([tag_filter("role", "(")], False),
        ([b"\x09what"], False),
        ([b"\x00\x92\xa1"], False),
        ([b""], False),
        ([5], False),
    ],
)
def test_filters_say_whom_a_query_is_for(bench: Any, filters: list[Any], meant: bool) -> None:
    assert bool(ask(bench, "anything", Flags=1, Filters=filters)) is meant


def test_a_query_is_passed_on_even_when_it_is_for_others(bench: Any) -> None:
    bench.alive("a")
    ask(bench, "anything", Filters=[names_filter("a")])
    bench.run(0.3)
    assert SerfType.QUERY in [type_ for type_, _, _ in bench.take_sent_serf()]


def test_a_query_that_is_not_to_be_passed_on_is_not(bench: Any) -> None:
    bench.alive("a")
    ask(bench, "anything", Flags=2)
    bench.run(0.3)
    assert SerfType.QUERY not in [type_ for type_, _, _ in bench.take_sent_serf()]


def test_a_conflict_is_voted_on_with_what_is_known_of_the_name(bench: Any) -> None:
    bench.alive("a")
    record = answer_of(ask(bench, "_serf_conflict", b"a"))
    assert (record.raw("Addr"), record.uint("Port"), record.uint("Status")) == (bytes((10, 0, 0, 2)), 7946, 1)
    assert [record.uint(f"Protocol{which}") for which in ("Min", "Max", "Cur")] == [1, 5, 2]


def test_a_conflict_about_an_unknown_name_is_answered_with_nil(bench: Any) -> None:
    (response,) = ask(bench, "_serf_conflict", b"a")
    assert response.raw("Payload") == b"\x06\xc0"


def test_a_conflict_about_this_node_is_not_voted_on(bench: Any) -> None:
    assert ask(bench, "_serf_conflict", b"me") == []


def test_without_encryption_key_queries_are_answered_with_a_refusal(bench: Any) -> None:
    answer = answer_of(ask(bench, "_serf_list-keys", b"\x07\x81\xa3Key\xa0"))
    assert (answer.flag("Result"), answer.text("Message")) == (
        False,
        "No keyring: encryption is not enabled on this node",
    )


def test_a_key_is_installed_used_and_the_old_one_removed(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(keyring=Keyring((KEY,)))

    def rotate(operation: str, key: bytes, number: int) -> Fields:
        request = encode(SerfType.KEY_REQUEST, {"Key": key})
        return answer_of(ask(bench, f"_serf_{operation}", request, ID=number))

    assert rotate("install-key", NEXT, 1).flag("Result")
    assert rotate("use-key", NEXT, 2).flag("Result")
    assert rotate("remove-key", KEY, 3).flag("Result")
    listed = rotate("list-keys", b"", 4)
    assert [listed.text("PrimaryKey"), *listed.each("Keys")] == [
        base64.b64encode(NEXT).decode(),
        base64.b64encode(NEXT),
    ]
    assert [event.operation for event in bench.serf.events() if isinstance(event, KeyringChanged)] == [
        "install-key",
        "use-key",
        "remove-key",
    ]


@pytest.mark.parametrize(
    ("operation", "key"), [("install-key", b"short"), ("use-key", NEXT), ("remove-key", KEY), ("install-key", b"")]
)
def test_a_key_operation_that_cannot_be_is_refused_with_a_reason(
    make_bench: Callable[..., Any], operation: str, key: bytes
) -> None:
    bench = make_bench(keyring=Keyring((KEY,)))
    answer = answer_of(ask(bench, f"_serf_{operation}", encode(SerfType.KEY_REQUEST, {"Key": key})))
    assert not answer.flag("Result")
    assert answer.text("Message")
    assert bench.keyring.keys == (KEY,)


def test_an_answer_takes_the_detours_that_the_query_wants(bench: Any) -> None:
    for name in "abc":
        bench.alive(name)
    ask(bench, "anything")  # settles the clock; the next one is news
    bench.serf.datagrams_to_send()
    query = {"LTime": 2, "ID": 9, "Addr": bytes((10, 0, 0, 50)), "Port": 7000, "SourceNode": "z", "Flags": 1}
    bench.send_serf(SerfType.QUERY, **query, RelayFactor=2, Name="x", Payload=None)
    relayed = [
        (message, to)
        for data, to in bench.serf.datagrams_to_send()
        for message in unpack(data, None)
        if message[:2] == bytes((Type.USER, SerfType.RELAY))
    ]
    assert len({to for _, to in relayed}) == 2
    head, response = split_map(relayed[0][0][2:])
    assert Fields(head.map("DestAddr")).uint("Port") == 7000
    assert head.text("DestName") == "z"
    assert response[0] == SerfType.QUERY_RESPONSE


def test_a_response_on_a_detour_is_passed_to_its_destination(bench: Any) -> None:
    go1 = AliveClaim(name="go1", ip=bytes((127, 0, 77, 1)), port=19946, meta=b"", versions=VERSIONS, incarnation=1)
    bench.serf._swim.beliefs.take_alive(go1)
    relay = bytes.fromhex(
        "080982a8446573744164647283a24950a47f004d01a4506f7274cd4deaa45a6f6e65a0a8446573744e616d65a3676f31"
        "0585a5466c61677301a446726f6da3676f32a24944ce38a3c9afa54c54696d6501a75061796c6f6164c0"
    )
    bench.serf.datagrams_to_send()
    bench.datagram(relay)
    assert bench.serf.datagrams_to_send() == [
        (
            bytes.fromhex("080585a5466c61677301a446726f6da3676f32a24944ce38a3c9afa54c54696d6501a75061796c6f6164c0"),
            ("127.0.77.1", 19946),
        )
    ]


def test_only_responses_are_relayed(bench: Any) -> None:
    head = encode(SerfType.RELAY, {"DestAddr": {"IP": bytes(4), "Port": 1, "Zone": ""}, "DestName": "x"})
    bench.serf.datagrams_to_send()
    bench.datagram(bytes((Type.USER,)) + head + encode(SerfType.JOIN, {"LTime": 1, "Node": "x"}))
    assert bench.serf.datagrams_to_send() == []


def test_a_filter_takes_linear_time_whatever_it_says(bench: Any) -> None:
    began = time.perf_counter()
    expression = r"^(.|\S|[^x]|[^y]|[^z]|[^w]|[^v]|[^u]|[^t])*x$"
    assert ask(bench, "anything", Flags=1, Filters=[tag_filter("role", expression)]) == []
    assert time.perf_counter() - began < 1.0  # a backtracking engine needs years
    assert ask(bench, "anything", Flags=1, ID=78, Filters=[tag_filter("role", "st")]) != []


def test_a_filter_that_is_not_understood_is_counted_and_its_query_passed_on(bench: Any) -> None:
    bench.alive("a")
    assert ask(bench, "anything", Flags=1, Filters=[tag_filter("role", "(?=x)")]) == []
    assert any("RE2 does not understand" in reason for reason in bench.ignored())
    bench.run(0.3)
    assert SerfType.QUERY in [type_ for type_, _, _ in bench.take_sent_serf()]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("x", {"Filters": [b""]}),
        ("x", {"Filters": [None]}),
        ("x", {"Filters": [b"\x01\xc1"]}),
        ("x", {"Filters": [b"\x09what"]}),
        ("x", {"Addr": b"abc"}),
        ("_serf_install-key", {"Payload": b""}),
        ("_serf_use-key", {"Payload": b"\x08\x80"}),
        ("_serf_remove-key", {"Payload": b"\x07\xc1"}),
    ],
)
def test_a_query_that_would_end_a_stock_agent_is_not_passed_on(bench: Any, name: str, fields: dict[str, Any]) -> None:
    bench.alive("a")
    ask(bench, name, **fields)
    bench.run(1.0)
    assert SerfType.QUERY not in [type_ for type_, _, _ in bench.take_sent_serf()]


def test_what_is_passed_on_is_encoded_anew(bench: Any) -> None:
    bench.alive("a")
    bench.take_sent_serf()
    query = {"LTime": 1, "ID": 7, "Addr": bytes((10, 0, 0, 50)), "Port": 7000, "Name": "x", "Unknown": b"y" * 50}
    message = bytes((Type.USER,)) + encode(SerfType.QUERY, query | {"Filters": [names_filter("b") + b"tail"]})
    bench.datagram(message + b"after the map")
    bench.run(0.3)
    sent = [fields.content for type_, fields, _ in bench.take_sent_serf() if type_ == SerfType.QUERY]
    assert sent
    assert all(b"Unknown" not in fields and fields[b"Filters"] == [names_filter("b")] for fields in sent)


def test_nobody_but_a_member_is_answered(bench: Any) -> None:
    bench.alive("a")
    assert ask(bench, "anything", Flags=1, Addr=bytes((10, 0, 0, 77)), RelayFactor=50) == []
    assert [to for _, to in bench.serf.datagrams_to_send() if to == ("10.0.0.77", 7000)] == []


def test_an_answer_takes_five_detours_at_most(bench: Any) -> None:
    for name in "abcdefgh":
        bench.alive(name)
    query = {"LTime": 2, "ID": 9, "Addr": bytes((10, 0, 0, 2)), "Port": 7946, "SourceNode": "a", "Flags": 1}
    bench.serf.datagrams_to_send()
    bench.send_serf(SerfType.QUERY, **query, RelayFactor=7, Name="x", Payload=None)
    relayed = [to for data, to in bench.serf.datagrams_to_send() for m in unpack(data, None) if m[1] == SerfType.RELAY]
    assert len(relayed) == MAX_DETOURS
