"""What a failed call means to its caller: agents that are not there, and such that never say a word."""

import os
import socket
import subprocess
import sys
import threading

import grpc
import grpc.aio
import pytest

from proglog.client import connect
from proglog.client.channel import error_of
from proglog.errors import (
    ConfigError,
    DeadlineError,
    DrainingError,
    InternalError,
    InvalidRequestError,
    LogClosedError,
    LogFullError,
    LogPoisonedError,
    OverloadedError,
    PermissionDeniedError,
    ProglogError,
    UnauthenticatedError,
    UnavailableError,
    is_out_of_reach,
)
from proglog.security.devcerts import DevCerts
from proglog.wire.status import to_status


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
        ("failed to connect to all addresses; last error: UNKNOWN: nothing of ours", "cannot reach a:1"),
        ("ping timeout", "cannot reach a:1: it stopped answering"),
        ("Stream removed (RST_STREAM frame with error code 7)", "the connection to a:1 broke"),
    ],
)
def test_what_grpc_says_is_reported_without_its_own_words_around_it(details: str, told: str) -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details
    )
    assert str(error_of(failed, "a:1", None)) == told


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"])
def test_a_broken_transport_is_one_class_of_errors_whatever_grpc_calls_it(code: str) -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode[code], grpc.aio.Metadata(), grpc.aio.Metadata(), details="Internal error from Core"
    )
    error = error_of(failed, "a:1", None)

    assert is_out_of_reach(error)
    assert str(error) == "the connection to a:1 broke"


@pytest.mark.parametrize(
    "error",
    [
        InternalError("internal error 1"),
        LogPoisonedError("the disk failed"),
        UnavailableError("not ready: the log is being recovered"),
        DrainingError(),
        LogClosedError(),
        LogFullError("no space left for /log"),
        DeadlineError("durable here and on 0 of 2 other nodes after 1 s; the copies may still arrive"),
        OverloadedError("a request is larger than max_bytes allows"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_agent_says_is_kept_in_its_words(error: ProglogError) -> None:
    code, details, metadata = to_status(error)
    failed = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details=details)
    shown = error_of(failed, "a:1", None)

    assert (type(shown), str(shown)) == (type(error), str(error))


def test_details_of_another_program_are_the_transports() -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"\x12\x05proxy")),
        details="upstream connect error",
    )

    assert str(error_of(failed, "a:1", None)) == "the connection to a:1 broke"


@pytest.mark.parametrize("error", [UnavailableError("refused"), LogClosedError()])
def test_an_agent_that_cannot_be_reached_is_out_of_reach(error: ProglogError) -> None:
    assert is_out_of_reach(error)


@pytest.mark.parametrize(
    "error",
    [UnauthenticatedError("who"), PermissionDeniedError("mallory", "watch", "cluster"), InvalidRequestError("what")],
)
def test_an_agent_that_refuses_is_there(error: ProglogError) -> None:
    assert not is_out_of_reach(error)


def test_a_message_that_grpc_finds_too_large_is_not_called_overload() -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        details="SERVER: Received message larger than max (5000010 vs. 4259840)",
    )
    error = error_of(failed, "a:1", None)

    assert type(error) is InvalidRequestError
    assert str(error) == "the message is larger than a:1, or this client, takes"


QUIET = """
import asyncio, sys
from pathlib import Path
from proglog.client import ProglogError, TLSFiles, connect

async def main():
    cert, key, ca = map(Path, sys.argv[2:5])
    async with connect(sys.argv[1], tls=TLSFiles(cert_file=cert, key_file=key, ca_file=ca), timeout=0.5) as client:
        try:
            await client.positions()
        except ProglogError as exc:
            print(exc)

asyncio.run(main())
"""


def test_a_failed_handshake_writes_no_line_of_grpcs_to_stderr(dev_certs: DevCerts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(30)

        def answer() -> None:
            with plain.accept()[0] as taken:
                taken.sendall(b"no TLS here\r\n" * 10)

        answering = threading.Thread(target=answer)
        answering.start()
        tls = dev_certs.server
        ended = subprocess.run(
            [
                sys.executable, "-c", QUIET, f"127.0.0.1:{plain.getsockname()[1]}",
                str(tls.cert_file), str(tls.key_file), str(tls.ca_file),
            ],
            capture_output=True, text=True, timeout=60, check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("GRPC_")},
        )  # fmt: skip
        answering.join()

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "127.0.0.1" in ended.stdout
