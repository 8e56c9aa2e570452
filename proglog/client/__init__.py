"""The public Python client: producers, consumers, positions, status, and the values and errors they deal in.

::

    from proglog.client import Record, connect

    async with connect("127.0.0.1:8400") as client:
        async with client.producer() as producer:
            await producer.send(Record(value=b"hello"))
        async for batch in client.consume():
            print(batch.values())

Everything a program needs is exported here, and nothing else is public. Each name is imported when it is first used
(PEP 562), so importing this package is cheap: gRPC comes with the first client.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proglog.client.client import Client
    from proglog.client.consumer import ConsumeStream, FetchedBatch, Gone
    from proglog.client.cursor import Cursor
    from proglog.client.failover import Consumer
    from proglog.client.membership_client import KeysReport, MemberKeys, MembershipClient, QueryReply, UserEventSeen
    from proglog.client.offset_spec import OffsetSpec
    from proglog.client.position_committer import PositionCommitter
    from proglog.client.positions import NamedPosition
    from proglog.client.producer import Acknowledged, ProduceError, Producer, UnconfirmedError
    from proglog.errors import (
        AccessError,
        ConfigError,
        DataLossError,
        DeadlineError,
        InternalError,
        InvalidRequestError,
        NotFoundError,
        OffsetOutOfRangeError,
        OtherLogError,
        OverloadedError,
        PermissionDeniedError,
        PositionGoneError,
        PreconditionError,
        ProglogError,
        RecordTooLargeError,
        TooFewServersError,
        TooManyCallsError,
        UnauthenticatedError,
        UnavailableError,
    )
    from proglog.record.record import Record, StoredRecord
    from proglog.security.tls import TLSFiles
    from proglog.types import Offset, OriginId, SequenceNumber
    from proglog.wire.contract import ALL_ACKS
    from proglog.wire.model import (
        ClusterEvent,
        ClusterSnapshot,
        DamagedRange,
        LogStatus,
        Member,
        MemberStatus,
        NodeStatus,
        OriginStatus,
        PeerOrigin,
        PeerState,
        PeerStatus,
        Segment,
        Verified,
    )

_EXPORTS = {
    "proglog.client.client": ("Client",),
    "proglog.client.consumer": ("ConsumeStream", "FetchedBatch", "Gone"),
    "proglog.client.cursor": ("Cursor",),
    "proglog.client.failover": ("Consumer",),
    "proglog.client.position_committer": ("PositionCommitter",),
    "proglog.client.positions": ("NamedPosition",),
    "proglog.client.membership_client": (
        "KeysReport", "MemberKeys", "MembershipClient", "QueryReply", "UserEventSeen",
    ),
    "proglog.client.offset_spec": ("OffsetSpec",),
    "proglog.client.producer": ("Acknowledged", "ProduceError", "Producer", "UnconfirmedError"),
    "proglog.errors": (
        "AccessError", "ConfigError", "DataLossError", "DeadlineError", "InternalError",
        "InvalidRequestError", "NotFoundError",
        "OffsetOutOfRangeError", "OtherLogError", "OverloadedError", "PermissionDeniedError", "PositionGoneError",
        "PreconditionError", "ProglogError", "RecordTooLargeError", "TooFewServersError", "TooManyCallsError",
        "UnauthenticatedError",
        "UnavailableError",
    ),
    "proglog.record.record": ("Record", "StoredRecord"),
    "proglog.security.tls": ("TLSFiles",),
    "proglog.types": ("Offset", "OriginId", "SequenceNumber"),
    "proglog.wire.contract": ("ALL_ACKS",),
    "proglog.wire.model": (
        "ClusterEvent", "ClusterSnapshot", "DamagedRange", "LogStatus", "Member", "MemberStatus", "NodeStatus",
        "OriginStatus", "PeerOrigin", "PeerState", "PeerStatus", "Segment", "Verified",
    ),
}  # fmt: skip
"""Public names by the module that defines them; a test holds them to ``__all__`` and to the imports above."""
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

DEFAULT_ADDR = "127.0.0.1:8400"
DEFAULT_TIMEOUT = 10.0
"""Seconds."""


def connect(addr: str = DEFAULT_ADDR, *, tls: "TLSFiles | None" = None, timeout: float = DEFAULT_TIMEOUT) -> "Client":
    """Return a client of the agent at ``addr``. Nothing is sent before its first call.

    Args:
        addr: HOST:PORT of the agent's gRPC server.
        tls: Certificate, key and authority; ``None`` speaks plain text.
        timeout: Seconds that a unary call, or the start of a stream, may take.

    Raises:
        ConfigError: ``addr`` is not HOST:PORT, or a TLS file cannot be used.
    """
    from proglog.client.client import Client

    return Client(addr, tls=tls, timeout=timeout)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


__all__ = [
    "ALL_ACKS",
    "DEFAULT_ADDR",
    "DEFAULT_TIMEOUT",
    "AccessError",
    "Acknowledged",
    "Client",
    "ClusterEvent",
    "ClusterSnapshot",
    "ConfigError",
    "ConsumeStream",
    "Consumer",
    "Cursor",
    "DamagedRange",
    "DataLossError",
    "DeadlineError",
    "FetchedBatch",
    "Gone",
    "InternalError",
    "InvalidRequestError",
    "KeysReport",
    "LogStatus",
    "Member",
    "MemberKeys",
    "MemberStatus",
    "MembershipClient",
    "NamedPosition",
    "NodeStatus",
    "NotFoundError",
    "Offset",
    "OffsetOutOfRangeError",
    "OffsetSpec",
    "OriginId",
    "OriginStatus",
    "OtherLogError",
    "OverloadedError",
    "PeerOrigin",
    "PeerState",
    "PeerStatus",
    "PermissionDeniedError",
    "PositionCommitter",
    "PositionGoneError",
    "PreconditionError",
    "ProduceError",
    "Producer",
    "ProglogError",
    "QueryReply",
    "Record",
    "RecordTooLargeError",
    "Segment",
    "SequenceNumber",
    "StoredRecord",
    "TLSFiles",
    "TooFewServersError",
    "TooManyCallsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnconfirmedError",
    "UserEventSeen",
    "Verified",
    "connect",
]  # fmt: skip
