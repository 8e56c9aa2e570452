"""What a failed call means to its caller: agents that are not there, and such that never say a word."""

import socket

import grpc
import grpc.aio
import pytest

from proglog.client import connect
from proglog.client.channel import error_of
from proglog.errors import ConfigError, UnavailableError


async def test_somebody_who_accepts_and_says_nothing_is_out_of_reach_and_wants_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addr = f"127.0.0.1:{mute.getsockname()[1]}"
        async with connect(addr, timeout=6) as client:
            with pytest.raises(
                UnavailableError, match=f"cannot reach {addr}: the connection is taken, and nothing is said"
            ):
                await client.status()


def test_a_socket_in_place_of_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^agent 'unix:/run/proglog.sock': expected HOST:PORT"):
        connect("unix:/run/proglog.sock")


async def test_a_port_without_a_server_is_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
    async with connect(addr, timeout=2) as client:
        with pytest.raises(UnavailableError, match=f"cannot reach {addr}: connection refused"):
            await client.status()


async def test_a_name_that_nobody_has_is_no_such_host() -> None:
    async with connect("nobody.invalid:8400", timeout=10) as client:
        with pytest.raises(UnavailableError, match=r"cannot reach nobody\.invalid:8400: no such host$"):
            await client.status()


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:1: No route to host",
            "cannot reach a:1: No route to host",
        ),
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: Connection timed out",
            "cannot reach a:1: Connection timed out",
        ),
        ("something else altogether", "cannot reach a:1: something else altogether"),
    ],
)
def test_what_grpc_says_is_told_without_its_own_words_around_it(details: str, told: str) -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details
    )
    assert str(error_of(failed, "a:1", None)) == told
