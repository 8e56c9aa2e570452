"""The one table from errors to gRPC statuses and back.

A status carries a code and a sentence for every client, and in its details a ``google.rpc.ErrorInfo``: a reason, which
is stable and means one thing, and the error's facts by name. Libraries of every language read that; a proglog client
raises the very error that the server did. What comes back is checked: a status from anywhere else still becomes the
nearest error.

Source: AIP-193 (https://google.aip.dev/193), ``google/rpc/status.proto``, ``google/rpc/error_details.proto``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from proglog import errors
from proglog.errors import ProglogError

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata: a serialized ``google.rpc.Status``, where every gRPC library looks for it."""
DOMAIN = "proglog"
MAX_DETAIL_BYTES = 1024
"""Sentences may quote what a caller sent: cut, since all trailing metadata has to fit into 8 KiB."""

Code = grpc.StatusCode

_Fact: TypeAlias = type[int] | type[bytes] | type[str]


class StatusRow(NamedTuple):
    """How one class of errors is said on the wire."""

    kind: type[ProglogError]
    code: grpc.StatusCode
    reason: str
    facts: Mapping[str, _Fact] = {}
    """What the metadata holds, by name: numbers in decimal, bytes in hex."""


_RANGE: Mapping[str, _Fact] = {"start": int, "end": int}
_SEQUENCES: Mapping[str, _Fact] = {"origin": bytes, "expected": int, "found": int}
_PRODUCER: Mapping[str, _Fact] = {"producer_id": bytes, "expected": int, "found": int}

# The most specific class first: the first that matches is what is said.
TABLE: tuple[StatusRow, ...] = (
    StatusRow(
        errors.RecordTooLargeError, Code.INVALID_ARGUMENT, "RECORD_TOO_LARGE", {"size_bytes": int, "limit_bytes": int}
    ),
    StatusRow(errors.UnknownBatchFormatError, Code.INVALID_ARGUMENT, "UNKNOWN_BATCH_FORMAT", {"what": str}),
    StatusRow(errors.MalformedBatchError, Code.INVALID_ARGUMENT, "MALFORMED_BATCH"),
    StatusRow(errors.InvalidRequestError, Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    StatusRow(errors.ConfigError, Code.FAILED_PRECONDITION, "CONFIG"),
    StatusRow(errors.OffsetOutOfRangeError, Code.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE", {"offset": int, **_RANGE}),
    StatusRow(errors.PositionGoneError, Code.OUT_OF_RANGE, "POSITION_GONE", {"origin": bytes, **_RANGE, "reason": str}),
    StatusRow(errors.NotFoundError, Code.NOT_FOUND, "NOT_FOUND"),
    StatusRow(errors.DataLossError, Code.DATA_LOSS, "DATA_LOSS", _RANGE),
    StatusRow(errors.LogFullError, Code.RESOURCE_EXHAUSTED, "LOG_FULL"),
    StatusRow(errors.LogReadOnlyError, Code.FAILED_PRECONDITION, "LOG_READ_ONLY"),
    StatusRow(errors.LogPoisonedError, Code.INTERNAL, "LOG_POISONED"),
    StatusRow(errors.DrainingError, Code.UNAVAILABLE, "DRAINING"),
    StatusRow(errors.LogClosedError, Code.UNAVAILABLE, "LOG_CLOSED"),
    StatusRow(errors.DataDirLockedError, Code.FAILED_PRECONDITION, "DATA_DIR_LOCKED", {"path": str}),
    StatusRow(errors.UnknownFormatError, Code.FAILED_PRECONDITION, "UNKNOWN_FORMAT"),
    StatusRow(errors.StorageError, Code.INTERNAL, "STORAGE"),
    StatusRow(errors.SequenceGapError, Code.FAILED_PRECONDITION, "SEQUENCE_GAP", _SEQUENCES),
    StatusRow(errors.ForkedOriginError, Code.FAILED_PRECONDITION, "FORKED_ORIGIN", {"origin": bytes, "sequence": int}),
    StatusRow(errors.OtherLogError, Code.FAILED_PRECONDITION, "OTHER_LOG"),
    StatusRow(errors.ProducerFencedError, Code.FAILED_PRECONDITION, "PRODUCER_FENCED", _PRODUCER),
    StatusRow(errors.ProducerHoleError, Code.FAILED_PRECONDITION, "PRODUCER_HOLE", _PRODUCER),
    StatusRow(errors.ProducerForgottenError, Code.FAILED_PRECONDITION, "PRODUCER_FORGOTTEN", _PRODUCER),
    StatusRow(errors.ProducerSequenceError, Code.FAILED_PRECONDITION, "PRODUCER_SEQUENCE"),
    StatusRow(errors.TooFewServersError, Code.FAILED_PRECONDITION, "TOO_FEW_SERVERS", {"wanted": int, "servers": int}),
    StatusRow(errors.PositionSupersededError, Code.FAILED_PRECONDITION, "POSITION_SUPERSEDED"),
    StatusRow(errors.TooManyPositionsError, Code.FAILED_PRECONDITION, "TOO_MANY_POSITIONS"),
    StatusRow(errors.IncompatibleReleaseError, Code.FAILED_PRECONDITION, "INCOMPATIBLE_RELEASE"),
    StatusRow(errors.OriginChangedError, Code.FAILED_PRECONDITION, "ORIGIN_CHANGED"),
    StatusRow(errors.SelfConnectionError, Code.FAILED_PRECONDITION, "SELF_CONNECTION"),
    StatusRow(errors.PreconditionError, Code.FAILED_PRECONDITION, "PRECONDITION"),
    StatusRow(
        errors.PermissionDeniedError,
        Code.PERMISSION_DENIED,
        "PERMISSION_DENIED",
        {"subject": str, "action": str, "object": str},
    ),
    StatusRow(errors.UnauthenticatedError, Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    StatusRow(errors.AccessError, Code.PERMISSION_DENIED, "ACCESS"),
    StatusRow(errors.DeadlineError, Code.DEADLINE_EXCEEDED, "DEADLINE"),
    StatusRow(errors.TooManyCallsError, Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    StatusRow(errors.OverloadedError, Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    StatusRow(errors.UnavailableError, Code.UNAVAILABLE, "UNAVAILABLE"),
    StatusRow(errors.InternalError, Code.INTERNAL, "INTERNAL"),
    StatusRow(ProglogError, Code.UNKNOWN, "OTHER"),
)
_BY_REASON = {row.reason: row for row in TABLE}

# What a bare status from elsewhere - a proxy, gRPC itself - is taken for. A proglog server says which error it is, so a
# bare INTERNAL, UNKNOWN or CANCELLED is a transport that broke: gRPC calls one event by each of these, as it happens.
_BY_CODE: dict[grpc.StatusCode, type[ProglogError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidRequestError,
    Code.OUT_OF_RANGE: errors.NotFoundError,
    Code.NOT_FOUND: errors.NotFoundError,
    Code.FAILED_PRECONDITION: errors.PreconditionError,
    Code.PERMISSION_DENIED: errors.AccessError,
    Code.UNAUTHENTICATED: errors.UnauthenticatedError,
    Code.DEADLINE_EXCEEDED: errors.DeadlineError,
    Code.RESOURCE_EXHAUSTED: errors.OverloadedError,
    Code.UNAVAILABLE: errors.UnavailableError,
    Code.CANCELLED: errors.UnavailableError,
    Code.INTERNAL: errors.UnavailableError,
    Code.UNKNOWN: errors.UnavailableError,
    Code.UNIMPLEMENTED: errors.InvalidRequestError,
}


def row_of(error: ProglogError) -> StatusRow:
    """Return how ``error`` is said."""
    return next(row for row in TABLE if isinstance(error, row.kind))


def to_status(error: ProglogError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return code, sentence and trailing metadata of ``error``."""
    row, sentence = row_of(error), _cut(str(error))
    facts = {name: _fact(getattr(error, name)) for name in row.facts}
    status = Status(code=row.code.value[0], message=sentence)
    status.details.add().Pack(ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=facts))
    return row.code, sentence, ((DETAILS_KEY, status.SerializeToString(deterministic=True)),)


def from_status(code: grpc.StatusCode, details: str, metadata: Iterable[tuple[str, Any]] | None) -> ProglogError:
    """Return the error that a status means; never fails, whatever a server sent."""
    for key, value in metadata or ():
        info = _error_info(value) if key == DETAILS_KEY and isinstance(value, bytes) else None
        if info is None:
            continue
        error = _made(info, details)
        if error is not None:
            return error
        if code in (Code.INTERNAL, Code.UNKNOWN):  # a server of another version named it: no broken transport
            return ProglogError(details or code.name.lower())
    return _BY_CODE.get(code, ProglogError)(details or code.name.lower().replace("_", " "))


def is_named(metadata: Iterable[tuple[str, Any]]) -> bool:
    """Return whether a proglog server sent the error, in its own words; else the transport did, or something between."""
    return any(
        key == DETAILS_KEY and isinstance(value, bytes) and _error_info(value) is not None for key, value in metadata
    )


def _error_info(data: bytes) -> ErrorInfo | None:
    """Return what a proglog server says of an error; ``None`` if it is somebody else's, or nothing."""
    info = ErrorInfo()
    try:
        for each in Status.FromString(data).details:
            if each.Is(ErrorInfo.DESCRIPTOR) and each.Unpack(info) and info.domain == DOMAIN:
                return info
    except DecodeError:
        return None
    return None


def _made(info: ErrorInfo, sentence: str) -> ProglogError | None:
    """Return the error; ``None`` if this version does not know its reason, or cannot make sense of its facts."""
    row = _BY_REASON.get(info.reason)
    if row is None:
        return None
    make: Callable[..., ProglogError] = row.kind
    if row.kind in _WITHOUT_A_SENTENCE:
        try:
            return make(*(_value(info.metadata[name], kind) for name, kind in row.facts.items()))
        except (ValueError, TypeError):
            return None
    return make(sentence)


_WITHOUT_A_SENTENCE = {row.kind for row in TABLE if row.facts} | {errors.LogClosedError, errors.DrainingError}
"""Errors that render themselves from their facts."""


def _value(text: str, kind: _Fact) -> int | bytes | str:
    if kind is int:
        return int(text)
    return bytes.fromhex(text) if kind is bytes else text


def _fact(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else _cut(str(value))


def _cut(text: str) -> str:
    data = text.encode("utf-8", "replace")
    return data[:MAX_DETAIL_BYTES].decode("utf-8", "ignore") + "..." if len(data) > MAX_DETAIL_BYTES else data.decode()
