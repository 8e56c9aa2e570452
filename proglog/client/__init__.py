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
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proglog.client.accumulator import Acknowledged, Tally
    from proglog.client.client import Client
    from proglog.client.consumer import Consumer
    from proglog.client.cursor import Cursor
    from proglog.client.delivery import Deliveries, Delivery, Written
    from proglog.client.fetched import FetchedBatch, Gone
    from proglog.client.membership_client import KeysReport, MemberKeys, MembershipClient, QueryReply, UserEventSeen
    from proglog.client.named import NamedConsumer
    from proglog.client.offset_spec import OffsetSpec
    from proglog.client.positions import NamedPosition
    from proglog.client.producer import Producer
    from proglog.errors import (
        AccessError,
        ClosedError,
        ConfigError,
        DataLossError,
        DeadlineError,
        InternalError,
        InvalidRequestError,
        NotFoundError,
        NotWrittenError,
        OffsetOutOfRangeError,
        OtherLogError,
        OverloadedError,
        PermissionDeniedError,
        PositionGoneError,
        PreconditionError,
        ProduceError,
        ProglogError,
        RecordTooLargeError,
        SequenceGapError,
        TooFewServersError,
        TooManyCallsError,
        UnauthenticatedError,
        UnavailableError,
        UnconfirmedError,
        UnknownOutcomeError,
        UsageError,
    )
    from proglog.record.record import Record, StoredRecord
    from proglog.security.tls import TLSFiles
    from proglog.types import Offset, OriginId, SequenceNumber
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
    "proglog.client.consumer": ("Consumer",),
    "proglog.client.cursor": ("Cursor",),
    "proglog.client.membership_client": (
        "KeysReport", "MemberKeys", "MembershipClient", "QueryReply", "UserEventSeen",
    ),
    "proglog.client.delivery": ("Deliveries", "Delivery", "Written"),
    "proglog.client.fetched": ("FetchedBatch", "Gone"),
    "proglog.client.named": ("NamedConsumer",),
    "proglog.client.offset_spec": ("OffsetSpec",),
    "proglog.client.accumulator": ("Acknowledged", "Tally"),
    "proglog.client.positions": ("NamedPosition",),
    "proglog.client.producer": ("Producer",),
    "proglog.errors": (
        "AccessError", "ClosedError", "ConfigError", "DataLossError", "DeadlineError", "InternalError",
        "InvalidRequestError", "NotFoundError", "NotWrittenError", "OffsetOutOfRangeError", "OtherLogError",
        "OverloadedError", "PermissionDeniedError", "PositionGoneError", "PreconditionError", "ProduceError",
        "ProglogError", "RecordTooLargeError", "SequenceGapError", "TooFewServersError", "TooManyCallsError", "UnauthenticatedError",
        "UnavailableError", "UnconfirmedError", "UnknownOutcomeError", "UsageError",
    ),
    "proglog.record.record": ("Record", "StoredRecord"),
    "proglog.security.tls": ("TLSFiles",),
    "proglog.types": ("Offset", "OriginId", "SequenceNumber"),
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


def connect(
    addrs: "str | Sequence[str] | None" = None, *, tls: "TLSFiles | None" = None, timeout: float = DEFAULT_TIMEOUT
) -> "Client":
    """Return a client of one agent or several. Nothing is sent, and no event loop is needed, before its first call.

    Args:
        addrs: HOST:PORT of the agents' gRPC servers, in the order in which they are tried: a list, or one text with
            commas. Left out: PROGLOG_ADDR, or else 127.0.0.1:8400.
        tls: Certificate, key and authority. Left out: PROGLOG_TLS_CERT_FILE, PROGLOG_TLS_KEY_FILE and
            PROGLOG_TLS_CA_FILE; without those, plain text.
        timeout: Seconds that a call may take in all, a record until it has its outcome, and an outage until a consumer
            gives up.

    Raises:
        ConfigError: An address is not HOST:PORT, or the TLS files cannot be used.
        InvalidRequestError: An argument is not what it may be.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or gRPC writes to stderr what it thinks of a connection
    from proglog.client.client import Client
    from proglog.client.environment import addresses, tls_files

    return Client(
        addresses(DEFAULT_ADDR) if addrs is None else addrs, tls=tls_files() if tls is None else tls, timeout=timeout
    )


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
    "DEFAULT_ADDR",
    "DEFAULT_TIMEOUT",
    "AccessError",
    "Acknowledged",
    "Client",
    "ClosedError",
    "ClusterEvent",
    "ClusterSnapshot",
    "ConfigError",
    "Consumer",
    "Cursor",
    "DamagedRange",
    "DataLossError",
    "DeadlineError",
    "Deliveries",
    "Delivery",
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
    "NamedConsumer",
    "NamedPosition",
    "NodeStatus",
    "NotFoundError",
    "NotWrittenError",
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
    "PositionGoneError",
    "PreconditionError",
    "ProduceError",
    "Producer",
    "ProglogError",
    "QueryReply",
    "Record",
    "RecordTooLargeError",
    "Segment",
    "SequenceGapError",
    "SequenceNumber",
    "StoredRecord",
    "TLSFiles",
    "Tally",
    "TooFewServersError",
    "TooManyCallsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnconfirmedError",
    "UnknownOutcomeError",
    "UsageError",
    "UserEventSeen",
    "Verified",
    "Written",
    "connect",
]
