"""Addresses: what is joined can be split, and what is no address is refused with a sentence."""

import pytest

from proglog.addr import is_loopback, join_addr, split_addr
from proglog.errors import ConfigError


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "node-a.example.com", "node_a", "::1", "2001:db8::7", "fe80::1%eth0"]
)
def test_an_address_that_was_joined_is_split_into_the_same_host_and_port(host: str) -> None:
    assert split_addr(join_addr(host, 8401), "--addr") == (host, 8401)


@pytest.mark.parametrize(
    ("addr", "split"),
    [
        ("node-a", ("node-a", 8401)),
        ("10.0.0.1", ("10.0.0.1", 8401)),
        ("10.0.0.1:7", ("10.0.0.1", 7)),
        ("::1", ("::1", 8401)),
        ("[::1]", ("::1", 8401)),
        ("[::1]:7", ("::1", 7)),
    ],
)
def test_where_a_port_may_be_missing_it_is_the_default(addr: str, split: tuple[str, int]) -> None:
    assert split_addr(addr, "--addr", default_port=8401) == split


@pytest.mark.parametrize("addr", ["", "[", "]", "[host]", "a b", "host:", ":7", "[::1", "x" * 300])
def test_a_default_port_makes_no_address_of_what_is_none(addr: str) -> None:
    with pytest.raises(ConfigError):
        split_addr(addr, "--addr", default_port=8401)


@pytest.mark.parametrize(
    "addr",
    ["", ":", "host", "host:", ":80", "host:65536", "host:99999999999999999999", "host:-1", "host:8o", "host:٣",
     "2001:db8::7:8401", "[::1]", "[::1:80", "::1]:80", "[]:80", "[host]:80", "[::g]:80", "[fe80::1%\x1b[2J]:80",
     "unix:/run/proglog.sock", "unix:///run/x:80", "dns:///host:80", "a/b:80", "a b:80", "a\n:80", "user@host:80",
     "\x1b[31m:80", "h" * 254 + ":80"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_its_source_and_an_example(addr: str) -> None:
    with pytest.raises(ConfigError, match=r"^--addr '.*expected HOST:PORT .* such as 127\.0\.0\.1:8401") as caught:
        split_addr(addr, "--addr")

    assert str(caught.value).isprintable()


def test_only_this_machine_reaches_a_loopback_address() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "")] == [False] * 5
