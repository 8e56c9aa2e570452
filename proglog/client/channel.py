"""A channel to an agent, and what its failures mean."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no stubs

from proglog.addr import split_addr
from proglog.errors import (
    ClosedError,
    DeadlineError,
    InvalidRequestError,
    OverloadedError,
    ProglogError,
    UnauthenticatedError,
    UnavailableError,
)
from proglog.record.batch import MAX_STORED_BATCH_BYTES
from proglog.security.tls import TLSFiles, channel_credentials
from proglog.wire.status import from_status, is_named

Message = TypeVar("Message")

OPTIONS = (
    # The default back-off grows to two minutes: a dashboard would look dead for as long, and is to be back in a second.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.min_reconnect_backoff_ms", 1500),  # in spite of its name: how long one try may take, TLS included
    # A connection into a black hole is noticed within ten seconds.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # a bandwidth probe that is lost holds keepalives up: by default a minute
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 2 * MAX_STORED_BATCH_BYTES),
    ("grpc.max_send_message_length", 2 * MAX_STORED_BATCH_BYTES),
    ("grpc.enable_http_proxy", 0),  # agents are reached directly, whatever the environment says
)


BUSY_INTERVAL = 0.1
"""Seconds before a server is called again that had too many calls under way."""


def open_channel(addr: str, tls: TLSFiles | None) -> grpc.aio.Channel:
    """Return a channel to ``addr``; it connects with its first call.

    Raises:
        ConfigError: ``addr`` is not HOST:PORT, or a TLS file cannot be used.
    """
    split_addr(addr, "agent")
    target = f"dns:///{addr}"  # without a scheme, gRPC takes a host that is called "unix" for one
    if tls is None:
        return grpc.aio.insecure_channel(target, options=OPTIONS)
    return grpc.aio.secure_channel(target, channel_credentials(tls), options=OPTIONS)


def understood(message: Message | None, addr: str) -> Message:
    """Return a message; for bytes that are none, gRPC hands out ``None``.

    Raises:
        UnavailableError: What came is no message of this version.
    """
    if message is None:
        raise UnavailableError(f"{addr} speaks another protocol: it sent a message that this version does not know")
    return message


async def send(call: grpc.aio.StreamStreamCall[Any, Any], message: bytes) -> bool:
    """Write one message; return whether that was possible. If not, the call is over: reading says how it ended.

    ``call.write`` would put an error of gRPC's own, "Internal error from Core", in the place of the status that the
    server ended the call with. Nothing may be written before the server's initial metadata has come.
    """
    try:
        await call._cython_call.send_serialized_message(message)  # type: ignore[attr-defined]
    except cygrpc.InternalError:
        return False
    return True


@contextmanager
def failures(error_of: Callable[[grpc.aio.AioRpcError], ProglogError]) -> Iterator[None]:
    """Raise a ``ProglogError`` for whatever ends a call but its caller: closing a channel cancels the calls on it."""
    try:
        yield
    except grpc.aio.AioRpcError as exc:
        raise error_of(exc) from exc
    except grpc.aio.UsageError as exc:
        raise ClosedError("the client was closed") from exc
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ClosedError("the client was closed") from exc


def error_of(exc: grpc.aio.AioRpcError, addr: str, tls: TLSFiles | None) -> ProglogError:
    """Return what a failed call means to its caller: an agent's own words, or what the transport's failure means."""
    metadata = tuple(exc.trailing_metadata() or ())
    error = from_status(exc.code(), exc.details() or "", metadata)
    if is_named(metadata):
        return error
    if type(error) is UnavailableError:
        return _unreachable(exc.details() or "", addr, tls)
    if type(error) is OverloadedError and "larger than max" in str(error):  # gRPC's word for it, on either side
        return InvalidRequestError(f"the message is larger than {addr}, or this client, takes")
    if type(error) is DeadlineError:
        return DeadlineError(f"{addr} did not answer in time; what was asked for may or may not have happened")
    return error


def _unreachable(details: str, addr: str, tls: TLSFiles | None) -> ProglogError:
    """Distinguish a failed handshake from an unreachable agent."""
    text = details.lower()
    # Without TLS, a failed "handshake" is HTTP/2's, with a silent peer.
    if tls is not None and ("certificate" in text or "ssl" in text or "handshake" in text or "tls" in text):
        if "wrong_version" in text or "wrong version" in text:
            return UnavailableError(f"{addr} does not speak TLS: connect without TLS files")
        return UnauthenticatedError(f"TLS with {addr} failed: {_reason(text) or 'the two disagree in the handshake'}")
    if "socket closed" in text or "connection reset" in text or "goaway" in text or "recvmsg" in text:
        why = "want TLS" if tls is None else "not trust this certificate"
        return UnavailableError(f"{addr} closed the connection: it may {why}, or be stopping")
    if reason := _reason(text):
        return UnavailableError(f"cannot reach {addr}: {reason}")
    return UnavailableError(
        f"cannot reach {addr}" if "failed to connect" in text else f"the connection to {addr} broke"
    )


_KNOWN = (
    ("refused", "connection refused"),
    ("settings frame", "the connection is taken, and nothing is said"),
    ("errors resolving", "no such host"),
    ("host lookup", "no such host"),
    ("keepalive", "it stopped answering"),
    ("ping timeout", "it stopped answering"),
    ("hostname verification", "its certificate has another name"),
    ("certificate has expired", "its certificate has expired"),
    ("certificate_verify_failed", "its certificate is of no authority that is trusted here"),
    *(
        (os.strerror(code).lower(), os.strerror(code))
        for code in (
            errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH,
            errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
        )
    ),
)  # fmt: skip
"""Text in gRPC's details, and its meaning. gRPC's own wording is not passed on."""


def _reason(text: str) -> str:
    return next((words for part, words in _KNOWN if part in text), "")
