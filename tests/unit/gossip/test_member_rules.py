"""Who may take part: allowed networks, and valid names."""

from collections.abc import Callable
from typing import Any

import pytest

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member_rules import MemberRules, is_strict_name, parse_networks
from proglog.gossip.wire import Type, encode

FLAG = "--gossip-allow"


def rules(*networks: str, strict_names: bool = False) -> MemberRules:
    return MemberRules(parse_networks(networks, FLAG), strict_names=strict_names)


@pytest.mark.parametrize(
    ("networks", "host", "allowed"),
    [
        ((), "203.0.113.1", True),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8", "192.168.1.0/24"), "192.168.1.7", True),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("10.0.0.0/8",), "::1", False),
        (("fd00::/8",), "fd00::7", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("10.0.0.7",), "10.0.0.7", True),
        (("10.0.0.7",), "10.0.0.8", False),
        (("10.0.0.0/8",), "unknown", False),
    ],
)
def test_members_may_be_in_allowed_networks_only(networks: tuple[str, ...], host: str, allowed: bool) -> None:
    assert rules(*networks).allows(host) is allowed


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "everywhere", ""])
def test_what_is_no_network_is_an_error_of_the_flag(text: str) -> None:
    with pytest.raises(ConfigError, match=FLAG):
        parse_networks([text], FLAG)


@pytest.mark.parametrize("name", ["a", "node-1.example.com", "N" * 128])
def test_letters_digits_dashes_and_dots_make_a_strict_name(name: str) -> None:
    assert is_strict_name(name)


@pytest.mark.parametrize("name", ["", "a_b", "a b", "größe", "N" * 129, "a\n", "a/b"])
def test_other_names_are_not_strict(name: str) -> None:
    assert not is_strict_name(name)
    with pytest.raises(MalformedMessageError, match="not valid here"):
        rules(strict_names=True).check(name, "10.0.0.1")


def test_traffic_from_elsewhere_is_dropped_and_counted(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(rules=rules("10.0.0.0/24"))
    ping = encode(Type.PING, {"SeqNo": 7, "Node": "me", "SourceNode": "x" * 64})
    bench.datagram(ping, ("10.0.1.1", 7946))
    assert bench.serf.datagrams_to_send() == []
    assert bench.serf.vitals().counters.malformed == 1

    bench.datagram(ping, ("10.0.0.99", 7946))
    assert len(bench.serf.datagrams_to_send()) == 1


def test_a_member_passed_on_from_elsewhere_is_not_accepted(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(rules=rules("10.0.0.0/24"))
    bench.alive("a")
    bench.alive("b", Addr=bytes((10, 0, 1, 2)))
    assert bench.names() == ["a", "me"]


def test_a_member_does_not_move_to_an_address_that_is_not_allowed(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(rules=rules("10.0.0.0/24"))
    bench.alive("a")
    bench.dead("a", "b")
    bench.alive("a", incarnation=2, Addr=bytes((10, 0, 1, 2)))
    assert bench.status("a") == "failed"
    bench.alive("a", incarnation=2, Addr=bytes((10, 0, 0, 2)))
    assert bench.status("a") == "alive"


def test_a_bad_name_in_a_full_exchange_costs_only_itself(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(rules=rules(strict_names=True))
    record = {"Addr": bytes((10, 0, 0, 9)), "Port": 7946, "Meta": b"", "Incarnation": 1, "State": 0, "Vsn": b""}
    bench.exchange({"Name": "bad_name", **record}, {"Name": "good-name", **record})
    bench.run(0.1)
    assert bench.names() == ["good-name", "me"]
