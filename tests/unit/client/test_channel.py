"""What a failed call means to its caller: agents that are not there, and such that never say a word."""

import socket

import pytest

from proglog.client import connect
from proglog.errors import UnavailableError


async def test_somebody_who_accepts_and_says_nothing_is_out_of_reach_and_wants_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addr = f"127.0.0.1:{mute.getsockname()[1]}"
        async with connect(addr, timeout=6) as client:
            with pytest.raises(UnavailableError, match=f"cannot reach {addr}"):
                await client.status()


async def test_a_port_without_a_server_is_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
    async with connect(addr, timeout=2) as client:
        with pytest.raises(UnavailableError, match=f"cannot reach {addr}: connection refused"):
            await client.status()
